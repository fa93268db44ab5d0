import { statSync } from 'node:fs';
import { expandVariables, type ExecCommand } from './command-line.js';
import { executionFailure } from './exit-verdict.js';
import { programPath } from './program-environment.js';
import { Session } from './session.js';
import type { UnitSettings } from './unit-settings.js';

/** What came of starting a program of a unit. */
export type Executed =
  | { readonly kind: 'executed'; readonly session: Session }
  | {
      readonly kind: 'not executed';
      readonly step: 'CHDIR' | 'EXEC';
      readonly because: string;
      /** What the process is said to have exited with. */
      readonly status: number;
    };

/** Starts a program in the unit's working directory. */
export async function execute(
  command: ExecCommand,
  settings: UnitSettings,
  owner: string,
  environment: Readonly<Record<string, string>>,
): Promise<Executed> {
  const workingDirectory = directoryFor(settings);
  if (workingDirectory === undefined) {
    const because = 'No such file or directory';
    return { kind: 'not executed', step: 'CHDIR', because, status: executionFailure.changeDirectory };
  }
  try {
    const session = await Session.start({
      owner,
      program: programPath(command.program) ?? command.program,
      words: expandVariables(command, environment),
      workingDirectory,
      environment,
      stdin: 'ignore',
    });
    return { kind: 'executed', session };
  } catch (error) {
    return { kind: 'not executed', step: 'EXEC', because: reasonOf(error), status: executionFailure.execute };
  }
}

/** `undefined` where it has to be there and is not. */
function directoryFor({ workingDirectory }: UnitSettings): string | undefined {
  if (workingDirectory === undefined) return '/';
  if (statSync(workingDirectory.path, { throwIfNoEntry: false })?.isDirectory() === true)
    return workingDirectory.path;
  return workingDirectory.optional ? '/' : undefined;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  ENOEXEC: 'Exec format error',
  ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory',
  ETXTBSY: 'Text file busy',
  ELOOP: 'Too many levels of symbolic links',
  E2BIG: 'Argument list too long',
};

/** In the words of the C library. */
export const reasonOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? (reasons[String(error.code)] ?? error.message) : String(error);
