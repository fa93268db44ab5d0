import { colors, type Color } from './color.js';
import type { ServerName } from './names.js';
import type { PlatformFacts } from './observation.js';
import { serversOf, type Server, type Service } from './service.js';

/** A server as a doctor sees it: what every later step will rest on. */
export interface ServerExamination {
  readonly platform: PlatformFacts;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly memoryFreeBytes: number;
  readonly diskBytes: number;
  readonly diskFreeBytes: number;
  /** Files that can still be made; missing where the file system does not count them. */
  readonly filesFree?: number;
  /** How far its clock is ahead of the worker's; whole seconds are all that is told. */
  readonly clockAheadMs: number;
  /** `252`; empty where there is no systemd. */
  readonly systemd: string;
  /** Programs that the helper needs and does not find. */
  readonly missingTools: readonly string[];
  /** Open files that the unit may have, or that it would have by default; missing where nobody tells. */
  readonly openFiles?: number;
  /** Who listens on the program's port. */
  readonly port: 'free' | 'the unit' | 'somebody else' | 'somebody';
  /** What sudo lets the login do; missing where only root may know. */
  readonly rights?: readonly string[];
  /** Whether the login is root. */
  readonly isRoot: boolean;
  /** `yes`, `no`, `local`, `remote`; missing where only root may know. */
  readonly tcpForwarding?: string;
  /** `10:30:100`; missing where only root may know. */
  readonly maxStartups?: string;
  /** `Enforcing`, `Permissive`, `Disabled`; missing where there is no SELinux. */
  readonly selinux?: string;
}

export type ExaminedServer =
  | {
      readonly kind: 'examined';
      readonly server: ServerName;
      readonly color: Color;
      readonly facts: ServerExamination;
    }
  | {
      readonly kind: 'not examined';
      readonly server: ServerName;
      readonly color: Color;
      readonly message: string;
    };

/** What keeps a deployment from going well, and what people should only know. */
export interface Diagnosis {
  readonly complaints: readonly string[];
  readonly notes: readonly string[];
}

/** The only program that the login needs sudo for where the helper is installed. */
export const helperRule = '(root) NOPASSWD: /usr/local/lib/verdigris/helper';

const least = {
  diskBytes: 500e6,
  filesFree: 10_000,
  openFiles: 1024,
  systemd: 239,
  clockMs: 60_000,
} as const;

/** Judges all servers of a service, each by itself and blue beside green. Pure. */
export function diagnose(service: Service, examined: readonly ExaminedServer[]): Diagnosis {
  const complaints: string[] = [];
  const notes: string[] = [];
  for (const server of serversOf(service)) {
    const seen = examined.find((each) => each.server === server.name);
    if (seen?.kind !== 'examined') {
      complaints.push(seen?.message ?? `${server.name} was not examined`);
      continue;
    }
    const about = diagnoseOne(service, server, seen.facts);
    complaints.push(...about.complaints.map((words) => `${server.name}: ${words}`));
    notes.push(...about.notes.map((words) => `${server.name}: ${words}`));
  }
  return { complaints, notes: [...notes, ...disparities(examined)] };
}

function diagnoseOne(service: Service, server: Server, facts: ServerExamination): Diagnosis {
  const complaints: string[] = [];
  const notes: string[] = [];
  const complain = (isSo: boolean, words: string) => void (isSo && complaints.push(words));
  const note = (isSo: boolean, words: string) => void (isSo && notes.push(words));

  const { diskFreeBytes, diskBytes, memoryFreeBytes, memoryBytes, clockAheadMs } = facts;
  complain(
    diskFreeBytes < least.diskBytes,
    `${megabytes(diskFreeBytes)} are free for ${server.directory}, needs ${megabytes(least.diskBytes)}`,
  );
  note(
    diskFreeBytes >= least.diskBytes && diskFreeBytes < service.artifact.maxBytes * 3,
    `${megabytes(diskFreeBytes)} are free for ${server.directory}: an artifact of the largest size allowed (${megabytes(service.artifact.maxBytes)}) needs three times its own`,
  );
  note(diskFreeBytes < diskBytes / 10, `its disk is ${percent(1 - diskFreeBytes / diskBytes)} full`);
  complain(
    (facts.filesFree ?? Infinity) < least.filesFree,
    `${facts.filesFree} files can still be made on its disk, needs ${least.filesFree}`,
  );
  note(
    memoryFreeBytes < memoryBytes / 10,
    `${megabytes(memoryFreeBytes)} of ${megabytes(memoryBytes)} memory are free`,
  );
  const seconds = Math.round(Math.abs(clockAheadMs) / 1_000);
  const off = `its clock is ${seconds} s ${clockAheadMs > 0 ? 'ahead of' : 'behind'} the worker's`;
  complain(
    Math.abs(clockAheadMs) > least.clockMs,
    `${off}, needs the same time: what happened when cannot be told`,
  );
  note(Math.abs(clockAheadMs) > 5_000 && Math.abs(clockAheadMs) <= least.clockMs, off);
  complain(
    !(Number(facts.systemd) >= least.systemd),
    facts.systemd === ''
      ? 'it has no systemd, needs one'
      : `its systemd is ${facts.systemd}, needs ${least.systemd} or later`,
  );
  complain(facts.missingTools.length > 0, `it has no ${facts.missingTools.join(', ')}, needs them`);
  note(
    (facts.openFiles ?? Infinity) < least.openFiles,
    `${server.unit} may open ${facts.openFiles} files (LimitNOFILE)`,
  );
  complain(
    facts.port === 'somebody else',
    `another program than ${server.unit} listens on port ${server.port}, needs the port for itself`,
  );
  note(facts.port === 'somebody', `somebody listens on port ${server.port}; who, only root can tell`);
  note(
    facts.tcpForwarding === 'no' || facts.tcpForwarding === 'remote',
    `its sshd does not forward (AllowTcpForwarding ${facts.tcpForwarding}): probes take a longer way`,
  );
  for (const words of rightsBeside(server, facts)) complaints.push(words);
  const { connection } = server;
  note(
    connection.driver === 'ssh' && connection.privilege === 'sudo',
    'the deploying key is as good as root (ssh.privilege: sudo); it is not after verdigris server setup',
  );
  return { complaints, notes };
}

/** Where the helper is installed, any other right makes it worthless. */
function rightsBeside({ connection }: Server, { rights, isRoot }: ServerExamination): readonly string[] {
  if (connection.driver !== 'ssh' || connection.privilege !== 'installed') return [];
  if (isRoot) return [`${connection.user} is root, needs a login without rights`];
  return (rights ?? [])
    .filter((right) => right !== helperRule)
    .map(
      (right) => `sudo lets ${connection.user} do more than run the helper, needs no other rule: ${right}`,
    );
}

/** Blue and green are to carry the same: where they cannot, people should know before the switch. */
function disparities(examined: readonly ExaminedServer[]): readonly string[] {
  const of = (color: Color) =>
    examined.flatMap((each) => (each.kind === 'examined' && each.color === color ? [each.facts] : []));
  const [blue, green] = colors.map(of);
  if (!blue?.length || !green?.length || examined.some(({ kind }) => kind === 'not examined')) return [];
  const sum = (facts: readonly ServerExamination[], value: (each: ServerExamination) => number) =>
    facts.reduce((total, each) => total + value(each), 0);
  const kinds = (
    facts: readonly ServerExamination[],
    value: (each: ServerExamination) => string | undefined,
  ) => [...new Set(facts.map((each) => value(each) ?? 'unknown'))].sort().join(' and ');

  const notes: string[] = [];
  const [blueCpus, greenCpus] = [sum(blue, (each) => each.processors), sum(green, (each) => each.processors)];
  if (blueCpus !== greenCpus) notes.push(`blue has ${blueCpus} processors, green has ${greenCpus}`);
  const [blueMemory, greenMemory] = [
    sum(blue, (each) => each.memoryBytes),
    sum(green, (each) => each.memoryBytes),
  ];
  // Machines of one size differ by what their kernels keep for themselves.
  if (Math.abs(blueMemory - greenMemory) > Math.max(blueMemory, greenMemory) * 0.05)
    notes.push(`blue has ${megabytes(blueMemory)} of memory, green has ${megabytes(greenMemory)}`);
  for (const [what, value] of [
    ['machine', ({ platform }: ServerExamination) => platform.machine],
    ['glibc', ({ platform }: ServerExamination) => platform.glibc],
    ['systemd', ({ systemd }: ServerExamination) => systemd],
    ['system', ({ platform }: ServerExamination) => platform.system],
    ['open files', ({ openFiles }: ServerExamination) => describeLimit(openFiles)],
  ] as const) {
    const [ofBlue, ofGreen] = [kinds(blue, value), kinds(green, value)];
    if (ofBlue !== ofGreen) notes.push(`${what}: ${ofBlue} in blue, ${ofGreen} in green`);
  }
  return notes;
}

/** For people. systemd's `infinity` is the largest number there is. */
export const describeLimit = (limit: number | undefined): string =>
  limit === undefined ? 'unknown' : limit === Number.MAX_SAFE_INTEGER ? 'unlimited' : String(limit);

const megabytes = (bytes: number): string =>
  bytes >= 10e9 ? `${Math.round(bytes / 1e9)} GB` : `${Math.round(bytes / 1e6)} MB`;

const percent = (share: number): string => `${Math.floor(share * 100)} %`;
