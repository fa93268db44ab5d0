import { open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { execa, ExecaError } from 'execa';
import { z } from 'zod';
import { Failure } from '../domain/failures.js';
import { Secret, type SecretReference } from '../domain/secret.js';
import type { Secrets } from '../drivers/secrets.js';
import { grantedTo, mapNeeds, nameNeeds, namePattern, refusedBy } from './grants.js';

const text = (needs: string) => z.string({ error: needs }).min(1, needs);

const milliseconds = 'needs a number of milliseconds above 0';

const SecretSchema = z
  .strictObject(
    {
      /** Name of an environment variable of the worker. */
      env: text('needs the name of an environment variable').optional(),
      /** Path of a file that only the worker can read, relative to this file. */
      file: text('needs the path of a file').optional(),
      /** Program and arguments that print the value; no shell in between. */
      exec: z
        .array(text('needs text'), { error: 'needs a list: a program and its arguments' })
        .min(1, 'is empty, needs a program')
        .optional(),
      /** How long `exec` may take. */
      timeoutMs: z.int({ error: milliseconds }).positive(milliseconds).default(10_000),
      /** Put before the value, for example `Bearer `. */
      prefix: z.string({ error: 'needs text' }).default(''),
      ...grantedTo,
    },
    { error: mapNeeds('where it comes from (file, env or exec), services and hosts') },
  )
  .refine(({ env, file, exec }) => [env, file, exec].filter((source) => source !== undefined).length === 1, {
    error: 'needs exactly one of env, file and exec',
  });

type SecretSettings = z.infer<typeof SecretSchema>;

/** The part `secrets:` of `worker.yaml`, by the names that services use. */
export const SecretsSchema = z
  .record(z.string().regex(namePattern, nameNeeds), SecretSchema, { error: 'needs names of secrets' })
  .default({});

export type SecretsConfiguration = z.infer<typeof SecretsSchema>;

/**
 * What names of secrets resolve to, as `sourcePath` (`worker.yaml`) says. Looked up each time, so that a rotated value is
 * used at once; what `exec` prints is kept for half a minute, because a fleet asks for the same key a thousand times.
 */
export function createSecrets(configuration: SecretsConfiguration, sourcePath: string): Secrets {
  const printed = new Map<string, { readonly untilMs: number; readonly value: Promise<string> }>();

  const execOnce = (name: string, settings: SecretSettings): Promise<string> => {
    const known = printed.get(name);
    if (known && known.untilMs > Date.now()) return known.value;
    const value = outputOf(settings, dirname(sourcePath));
    printed.set(name, { untilMs: Date.now() + keptMs, value });
    value.catch(() => printed.delete(name));
    return value;
  };

  return {
    async resolve({ secret: name }: SecretReference, { service, host }): Promise<Secret> {
      const refuse = (why: string) =>
        new Failure('SecretRefused', `Cannot use secret "${name}" for ${service} at ${host}: ${why}`);
      const settings = Object.hasOwn(configuration, name) ? configuration[name] : undefined;
      if (!settings) throw refuse(`${sourcePath} has no such secret, needs secrets.${name}`);
      const refused = refusedBy(settings, { service, host }, `secrets.${name}`, sourcePath);
      if (refused !== undefined) throw refuse(refused);
      const value = await valueOf(settings, () => execOnce(name, settings), sourcePath).catch(
        (error: unknown) => {
          throw error instanceof Unavailable
            ? refuse(`${error.message} (secrets.${name} in ${sourcePath})`)
            : error;
        },
      );
      return new Secret(settings.prefix + value);
    },
  };
}

const keptMs = 30_000;

/** Why there is no value. Made from facts only, never from what a program printed or a file holds. */
class Unavailable extends Error {}

async function valueOf(
  { env, file }: SecretSettings,
  exec: () => Promise<string>,
  sourcePath: string,
): Promise<string> {
  if (env !== undefined) return valueOfVariable(env);
  const raw = file === undefined ? await exec() : await contentOf(pathFrom(file, sourcePath));
  const value = raw.replace(/\r?\n$/, '');
  if (value === '')
    throw new Unavailable(file === undefined ? 'its program printed nothing' : 'its file is empty');
  return value;
}

function valueOfVariable(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') {
    throw new Unavailable(
      `the worker's environment variable ${name} is ${value === undefined ? 'not set' : 'empty'}`,
    );
  }
  return value;
}

/** A path of `worker.yaml`, which is relative to it. */
export const pathFrom = (file: string, sourcePath: string): string =>
  resolve(dirname(sourcePath), file.replace(/^~(?=\/)/, homedir()));

const maxBytes = 1024 * 1024;

async function contentOf(path: string): Promise<string> {
  const handle = await open(path).catch(({ code }: NodeJS.ErrnoException) => {
    throw new Unavailable(`the worker cannot open "${path}" (${code})`);
  });
  try {
    const { mode, size } = await handle.stat();
    if ((mode & 0o170000) !== 0o100000) throw new Unavailable(`"${path}" is no regular file`);
    if ((mode & 0o006) !== 0) {
      throw new Unavailable(
        `everybody on the worker's machine can read or write "${path}", needs: chmod 600 ${path}`,
      );
    }
    if (size > maxBytes) throw new Unavailable(`"${path}" is larger than ${maxBytes} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

async function outputOf({ exec = [], timeoutMs }: SecretSettings, directory: string): Promise<string> {
  const [program = '', ...words] = exec;
  try {
    const { stdout } = await execa(program, words, {
      cwd: directory,
      stdin: 'ignore',
      stderr: 'ignore',
      timeout: timeoutMs,
      forceKillAfterDelay: 500,
      maxBuffer: maxBytes,
      stripFinalNewline: false,
    });
    return stdout;
  } catch (error) {
    // Not even as a cause: the library's error carries the command's output and arguments.
    if (error instanceof ExecaError) throw new Unavailable(`"${program}" ${howItEnded(error, timeoutMs)}`);
    throw error;
  }
}

function howItEnded(
  { timedOut, isMaxBuffer, signal, exitCode, code }: ExecaError,
  timeoutMs: number,
): string {
  if (timedOut) return `did not end within ${timeoutMs} ms`;
  if (isMaxBuffer) return `printed more than ${maxBytes} bytes`;
  if (signal !== undefined) return `was ended by ${signal}`;
  return exitCode === undefined
    ? `could not be started (${code ?? 'unknown reason'})`
    : `ended with exit code ${exitCode}`;
}
