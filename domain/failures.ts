/**
 * Everything that can go wrong, named once. `transient` decides whether Temporal tries the step again:
 * a server may come back, a wrong digest will not turn right.
 */
export const failures = {
  // input
  RequestInvalid: { transient: false },
  SecretRefused: { transient: false },
  // artifact
  ArtifactUnreachable: { transient: true },
  ArtifactRefused: { transient: false },
  DigestMismatch: { transient: false },
  ArchiveUnsafe: { transient: false },
  ArchiveIncomplete: { transient: false },
  ProgramIncompatible: { transient: false },
  TemplateRefused: { transient: false },
  // servers
  ServerUnreachable: { transient: true },
  HostKeyMismatch: { transient: false },
  ServerLoginRefused: { transient: false },
  HelperOutdated: { transient: false },
  PolicyRefused: { transient: false },
  ServerBusy: { transient: true },
  ServerTooSlow: { transient: false },
  ExecutorFenced: { transient: false },
  CommandFailed: { transient: true },
  DiskFull: { transient: false },
  DiskReadOnly: { transient: false },
  UnitRefused: { transient: false },
  ForeignRelease: { transient: false },
  EnvironmentHasTraffic: { transient: false },
  ConnectionsLinger: { transient: false },
  PortTaken: { transient: false },
  StartFailed: { transient: false },
  ReleaseUnhealthy: { transient: false },
  WrongProgramRuns: { transient: false },
  ReleaseUnfit: { transient: false },
  // machines, as the provider sees them
  MachineUnknown: { transient: false },
  MachineUnhealthy: { transient: false },
  EnvironmentsUnequal: { transient: false },
  // load balancer
  LoadBalancerUnreachable: { transient: true },
  CredentialRefused: { transient: false },
  LoadBalancerChanged: { transient: false },
  StagedEditsFound: { transient: false },
  RefreshFailed: { transient: true },
  TrafficNotMoved: { transient: true },
  TrafficMoved: { transient: false },
  IdleNotUp: { transient: false },
  StateUnclear: { transient: false },
  // traffic
  IllUnderTraffic: { transient: false },
  EvidenceMissing: { transient: false },
  // Temporal
  TemporalUnreachable: { transient: true },
  // people
  PlanDrifted: { transient: false },
  RollbackAsked: { transient: false },
  Cancelled: { transient: false },
  RollbackBlind: { transient: false },
  TakenOver: { transient: false },
  RepairNeeded: { transient: false },
} as const satisfies Record<string, { readonly transient: boolean }>;

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
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
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
