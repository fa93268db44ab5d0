import { Failure, isFailureName, type FailureName } from '../../domain/failures.js';
import type { Privilege, Server } from '../../domain/service.js';
import { helperPlace, installedHelperDigest, travellingHelper } from './installed-helper.js';
import { shellLine, type Command } from './quoting.js';

export type HelperCommand =
  | 'observe'
  | 'examine'
  | 'install'
  | 'activate'
  | 'restore'
  | 'drain'
  | 'stop'
  | 'remove'
  | 'mark-unfit'
  | 'mark-fit'
  | 'adopt'
  | 'watch'
  | 'last-words';

/** `name=value` words of one command. */
export type HelperWords = Readonly<Record<string, string | number>>;

/** The line for the remote shell that runs one command of the helper: the installed one, or one that travels with it. */
export function helperLine(
  server: Server,
  privilege: Privilege,
  command: HelperCommand,
  words: HelperWords,
): string {
  const all = { directory: server.directory, unit: server.unit, port: server.port, ...words };
  const given = Object.entries(all).map(([name, value]) => `${name}=${value}`);
  // The installed one refuses to work for a worker that means another.
  const version = privilege === 'installed' ? [`helper=${installedHelperDigest()}`] : [];
  return shellLine([...howToRun[privilege](command), command, ...given, ...version]);
}

const travelling = (command: HelperCommand): Command => ['sh', '-c', travellingHelper(command), 'verdigris'];

const howToRun: Readonly<Record<Privilege, (command: HelperCommand) => Command>> = {
  installed: () => ['sudo', '-n', helperPlace.path],
  sudo: (command) => ['sudo', '-n', ...travelling(command)],
  none: travelling,
};

/** What the helper answered, as it arrives. */
export class HelperReply {
  readonly #fields: (readonly [key: string, value: string])[] = [];
  #ended = false;

  /** Takes one line of output and tells what it says; `undefined` for one that is not the helper's. */
  take(line: string): { readonly key: string; readonly value: string } | undefined {
    if (line === 'ok') {
      this.#ended = true;
      return undefined;
    }
    const equals = line.indexOf('=');
    if (equals < 1) return undefined;
    const field = { key: line.slice(0, equals), value: unescaped(line.slice(equals + 1)) };
    this.#fields.push([field.key, field.value]);
    return field;
  }

  /** The value of a key that is given once; empty where it is missing. */
  one(key: string): string {
    return this.#fields.find(([name]) => name === key)?.[1] ?? '';
  }

  /** Whether it said that all was done. */
  get ended(): boolean {
    return this.#ended;
  }

  all(key: string): readonly string[] {
    return this.#fields.flatMap(([name, value]) => (name === key ? [value] : []));
  }

  /** Throws unless the helper said that all was done. `cannot` begins the sentence, `stray` is what else was printed. */
  prove(cannot: string, stray: string, privilege: Privilege = 'none'): void {
    const words = stray.trim();
    const setUp = '\n  as an administrator: verdigris server setup';
    if (this.#fields.length === 0 && words.startsWith('sudo:')) {
      const why =
        privilege === 'installed'
          ? `sudo does not let this user run ${helperPlace.path}, needs the helper and its rule${setUp}`
          : 'sudo does not let this user run the helper, needs a rule with NOPASSWD';
      throw new Failure('ServerLoginRefused', `${cannot}: ${why}\n${words}`);
    }
    if (
      privilege === 'installed' &&
      this.#fields.length > 0 &&
      this.one('helper') !== installedHelperDigest()
    ) {
      throw new Failure(
        'HelperOutdated',
        `${cannot}: the helper installed there is ${this.one('helper').slice(0, 12) || 'of no known version'}, this worker needs ${installedHelperDigest().slice(0, 12)}${setUp}`,
      );
    }
    if (this.#ended) return;
    const name: FailureName | undefined = namedFailure(this.one('error'));
    if (name) {
      const cure = name === 'PolicyRefused' ? setUp : '';
      throw new Failure(name, `${cannot}: ${this.one('message').trimEnd()}${cure}${this.#beside}`);
    }
    throw new Failure(
      'CommandFailed',
      `${cannot}: the helper ended half way, needs to be given the command again${words === '' ? '' : `\n${words}`}`,
      { ambiguous: true },
    );
  }

  /** What it told before it failed. */
  get #beside(): string {
    const incident =
      this.one('killed') === 'yes'
        ? [
            'incident: systemd had to kill (SIGKILL) what ran before: it did not end within TimeoutStopSec of its unit',
          ]
        : [];
    return [...incident, ...new Set(this.all('note'))].map((note) => `\n  ${note}`).join('');
  }
}

const namedFailure = (name: string): FailureName | undefined => (isFailureName(name) ? name : undefined);

const unescaped = (value: string): string =>
  value.replaceAll(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
