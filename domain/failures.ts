/**
 * Everything that can go wrong, named once. `transient` decides whether Temporal tries the step again:
 * a server may come back, a wrong digest will not turn right. `next` is what to do about it where a message knows nothing better;
 * what a person asked for needs nothing.
 */
export const failures = {
  // input
  RequestInvalid: { transient: false, next: 'mend the configuration, and look again: verdigris check' },
  SecretRefused: {
    transient: false,
    next: "look at the worker's worker.yaml, and check again: verdigris check",
  },
  // artifact
  ArtifactUnreachable: {
    transient: true,
    next: 'look whether it is there and may be read, and deploy again: verdigris deploy',
  },
  ArtifactRefused: {
    transient: false,
    next: 'look at artifact: in the configuration, and deploy again: verdigris deploy',
  },
  DigestMismatch: {
    transient: false,
    next: 'upload it once more, and deploy what was uploaded: verdigris deploy',
  },
  ArchiveUnsafe: { transient: false, next: 'pack it anew, and deploy that: verdigris deploy' },
  ArchiveIncomplete: { transient: false, next: 'pack it anew, and deploy that: verdigris deploy' },
  ProgramIncompatible: {
    transient: false,
    next: 'build it for what the servers have (verdigris server doctor), and deploy that: verdigris deploy',
  },
  TemplateRefused: {
    transient: false,
    next: 'mend the template, or the values that it asks for: verdigris check',
  },
  // servers
  ServerUnreachable: { transient: true, next: 'see how it is: verdigris server doctor' },
  HostKeyMismatch: { transient: false, next: 'find out which machine it is: verdigris server doctor' },
  ServerLoginRefused: {
    transient: false,
    next: 'let the worker in, and look again: verdigris server doctor',
  },
  HelperOutdated: { transient: false, next: 'put the one of this worker there: verdigris server setup' },
  PolicyRefused: { transient: false, next: 'have it allowed by an administrator: verdigris server setup' },
  ServerBusy: { transient: true, next: 'see what it is at: verdigris server doctor' },
  ServerTooSlow: { transient: false, next: 'see how it is: verdigris server doctor' },
  ExecutorFenced: { transient: false, next: 'see who is at work there: verdigris status' },
  CommandFailed: { transient: true, next: 'see how it is: verdigris server doctor' },
  DiskFull: {
    transient: false,
    next: 'make room, and go on: verdigris retry; where it has ended: verdigris deploy',
  },
  DiskReadOnly: {
    transient: false,
    next: 'make it writable, and go on: verdigris retry; where it has ended: verdigris deploy',
  },
  UnitRefused: { transient: false, next: 'mend the unit file, and deploy again: verdigris deploy' },
  ForeignRelease: { transient: false, next: 'take it over, with its files kept: verdigris adopt' },
  EnvironmentHasTraffic: { transient: false, next: 'see where the traffic goes: verdigris check' },
  ConnectionsLinger: {
    transient: false,
    next: 'wait longer or cut them (drain: in the configuration), and deploy again: verdigris deploy',
  },
  PortTaken: { transient: false, next: 'see who has it: verdigris server doctor' },
  StartFailed: { transient: false, next: 'mend the program, and deploy again: verdigris deploy' },
  ReleaseUnhealthy: { transient: false, next: 'mend the program, and deploy again: verdigris deploy' },
  WrongProgramRuns: {
    transient: false,
    next: 'look at ExecStart of its unit and at program.executable, and check again: verdigris check',
  },
  ReleaseUnfit: { transient: false, next: 'deploy one that is fit: verdigris deploy' },
  // machines, as the provider sees them
  MachineUnknown: {
    transient: false,
    next: 'look at ovh: of the server in the configuration, and check again: verdigris check',
  },
  MachineUnhealthy: {
    transient: false,
    next: 'look at it in the control panel, and check again: verdigris check',
  },
  EnvironmentsUnequal: {
    transient: false,
    next: 'make them equal, or have it told only (machines.unequal: warn): verdigris check',
  },
  // load balancer
  LoadBalancerUnreachable: { transient: true, next: 'see whether its API answers: verdigris ovh whoami' },
  CredentialRefused: {
    transient: false,
    next: 'see what it may do: verdigris ovh whoami; what is needed: verdigris ovh rules',
  },
  LoadBalancerChanged: { transient: false, next: 'look at it, and deploy again: verdigris plan' },
  StagedEditsFound: {
    transient: false,
    next: 'apply them or take them back in the control panel, and look again: verdigris check',
  },
  RefreshFailed: { transient: true, next: 'see how it is by now: verdigris check' },
  TrafficNotMoved: { transient: true, next: 'see where the traffic goes: verdigris check' },
  TrafficMoved: {
    transient: false,
    next: 'move it back and go on: verdigris retry; go back: verdigris rollback',
  },
  IdleNotUp: {
    transient: false,
    next: "look at the load balancer's probe of it, and deploy again: verdigris deploy",
  },
  StateUnclear: { transient: false, next: 'look at what is: verdigris check; settle it: verdigris repair' },
  // traffic
  IllUnderTraffic: { transient: false, next: 'mend the program, and deploy again: verdigris deploy' },
  EvidenceMissing: { transient: false, next: 'bake once more: verdigris retry; go back: verdigris rollback' },
  // Temporal
  TemporalUnreachable: {
    transient: true,
    next: 'see whether it answers: verdigris status; move the traffic without it: verdigris switch --without-temporal',
  },
  // people
  PlanDrifted: { transient: false, next: 'look at it, and deploy again: verdigris plan' },
  RollbackAsked: { transient: false, next: undefined },
  Cancelled: { transient: false, next: undefined },
  RollbackBlind: {
    transient: false,
    next: 'compare again: verdigris retry; go back all the same: verdigris rollback --force',
  },
  TakenOver: { transient: false, next: 'when it is settled: verdigris repair' },
  RepairNeeded: { transient: false, next: 'settle it: verdigris repair' },
} as const satisfies Record<string, { readonly transient: boolean; readonly next: string | undefined }>;

export type FailureName = keyof typeof failures;

export const isFailureName = (name: string | null | undefined): name is FailureName =>
  name !== null && name !== undefined && Object.hasOwn(failures, name);

/** A failure with a name from the table. What a driver throws; an activity turns it into Temporal's. */
export class Failure extends Error {
  readonly failure: FailureName;
  /** Whether the change asked for may have taken effect all the same. */
  readonly ambiguous: boolean;

  constructor(
    failure: FailureName,
    message: string,
    options: { readonly cause?: unknown; readonly ambiguous?: boolean } = {},
  ) {
    super(advised(failure, message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = failure;
    this.failure = failure;
    this.ambiguous = options.ambiguous ?? false;
  }
}

/** What went wrong, as outcomes, status and reports carry it. */
export interface Complaint {
  readonly failure: FailureName | 'Unexpected';
  /** `Cannot <action> "<subject>": <what is the case>, <what is needed>`; further lines say what is true now and what to do. */
  readonly message: string;
}

/** For people: what went wrong, and what to do about it. Every complaint is made here, so that none says no next step. */
export const asComplaint = (failure: Complaint['failure'], message: string): Complaint => ({
  failure,
  message: advised(failure, message),
});

/** What went wrong alone, for where it is part of a sentence. */
export const inOneLine = (message: string): string => message.split('\n')[0] ?? '';

/** What to do where nobody has a name for what went wrong. */
const nextAfterUnexpected = 'see what it is at: verdigris status; try it again: verdigris retry';

/** Lines after the first that only quote what a program has said. */
const quoting = /^ {2}last words of /;

/** A message with a line that says what to do: its own, or the one that is known for its kind. */
function advised(failure: Complaint['failure'], message: string): string {
  const next = failure === 'Unexpected' ? nextAfterUnexpected : failures[failure].next;
  const [, ...more] = message.split('\n');
  const hasOwn = more.some((line) => line.startsWith('  ') && !quoting.test(line));
  return next === undefined || hasOwn ? message : `${message}\n  ${next}`;
}
