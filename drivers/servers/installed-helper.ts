import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** Where a helper is installed and what it looks at there. */
export interface HelperPlace {
  readonly path: string;
  /** Holds `<unit>.policy` for each unit that may be released. */
  readonly policies: string;
  readonly unitDirectory: string;
  readonly searchPath: string;
}

/** Where `verdigris server setup` puts it: the same everywhere, since a sudo rule names it. */
export const helperPlace: HelperPlace = {
  path: '/usr/local/lib/verdigris/helper',
  policies: '/etc/verdigris',
  unitDirectory: '/etc/systemd/system',
  searchPath: '/usr/sbin:/usr/bin:/sbin:/bin',
};

const source = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

/** The helper as it is installed: bound to its place, and with the part that obeys a policy. */
export function installedHelper({ path, policies, unitDirectory, searchPath } = helperPlace): string {
  const bound = [
    `installed_at='${path}' policies='${policies}'`,
    `unit_directory='${unitDirectory}'`,
    `PATH='${searchPath}'`,
  ].join('\n');
  return source('helper.sh')
    .replace(/^# @installed$/m, () => bound)
    .replace(/^# @policy$/m, () => source('helper-policy.sh').replace(/^# shellcheck shell=sh\n/, ''));
}

let digest: string | undefined;

/** What a worker demands of the helper that it finds installed. */
export const installedHelperDigest = (): string =>
  (digest ??= createHash('sha256').update(installedHelper()).digest('hex'));
