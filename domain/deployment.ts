import type { Color } from './color.js';
import type { Complaint } from './failures.js';
import type { LeftBehind } from './fleet.js';
import type { DeploymentId, Digest, ReleaseId, ServerName, ServiceId } from './names.js';
import type { Binaries } from './library-search.js';
import type { MessageName, Phase, RunKind, Stage } from './phase.js';
import type { Plan } from './plan.js';
import type { Service } from './service.js';
import type { Split } from './split.js';
import type { Tally } from './traffic.js';

/** What a deployment is asked to do. Enters Temporal as it is: it holds no secret. */
export interface DeploymentRequest {
  readonly service: Service;
  readonly artifact: Artifact;
  /** Who asked, for people to read. */
  readonly requestedBy: string;
  /** For people, for example a tag; the digest is what counts. */
  readonly version?: string;
  /** Why an artifact that was taken back as unfit is deployed once more. */
  readonly again?: string;
  /** Search attributes may only be written where the client found them registered. */
  readonly searchAttributes: boolean;
}

/** The tar.gz that CI built. `url` is `https://...` or `file:///...`, without credentials. */
export interface Artifact {
  readonly url: string;
  readonly sha256: Digest;
}

/** What was read from the artifact once it was fetched and checked. */
export interface ArtifactFacts {
  readonly sizeBytes: number;
  readonly files: number;
  /** What it takes unpacked: bytes, and entries with their directories. */
  readonly unpackedBytes: number;
  readonly entries: number;
  readonly executable: Digest;
  /** Digest of everything that makes the release beside the program: unit and configuration as they are on the servers. */
  readonly settings: Digest;
  /** What the loader will find in it; missing where a worker of an earlier version has read it. */
  readonly binaries?: Binaries;
}

export interface Release {
  readonly id: ReleaseId;
  readonly artifact: Artifact;
  readonly executable: Digest;
  /** Of unit and configuration; its first digits are in the id. */
  readonly settings: Digest;
  readonly version?: string;
}

/**
 * Where a change on a server comes from. `step` grows with every step of a deployment, undo included,
 * `startedAtMs` (the server's clock) with every deployment. A server refuses a lower token; an equal one is a repeat.
 */
export interface FencingToken {
  readonly startedAtMs: number;
  readonly step: number;
}

/** A deployment that ended without needing anybody. */
export type Outcome =
  | {
      readonly kind: 'promoted';
      readonly release: Release;
      readonly live: Color;
      /** Servers that do not run the release: `verdigris converge` brings them back. */
      readonly leftBehind: readonly LeftBehind[];
      readonly notes: readonly string[];
      readonly tally: Tally;
    }
  | { readonly kind: 'refused'; readonly complaints: readonly Complaint[] }
  | {
      readonly kind: 'rolled back';
      readonly during: Stage;
      readonly because: Complaint;
      readonly live: Color | 'nothing';
      readonly notes: readonly string[];
      readonly tally: Tally;
    }
  | {
      readonly kind: 'rejected';
      readonly by: string;
      readonly reason: string;
      readonly live: Color | 'nothing';
      readonly notes: readonly string[];
      readonly tally: Tally;
    };

/** What the person leaves undone who takes a deployment over: details of the workflow's failure. */
export interface TakenOver {
  readonly by: string;
  readonly reason: string;
  readonly undone: readonly string[];
}

/** Exit codes of `deploy --wait`; 1 is kept for "Verdigris itself broke". */
export const exitCodes = {
  promoted: 0,
  refused: 2,
  'rolled back': 10,
  rejected: 11,
  'taken over': 20,
  'needs a person': 20,
  'waited too long': 21,
} as const;

/** What a message may carry. Everything is optional: a bare signal from the Temporal UI is valid. */
export interface Message {
  /** Ignored by any other deployment. The full run id, or its last eight digits or more. */
  readonly deployment?: DeploymentId | string;
  readonly by?: string;
  readonly reason?: string;
  /** `approve`: what the person has seen; a mismatch refuses it. */
  readonly plan?: string;
  readonly evidence?: string;
  /** `rollback`: go back although nothing proves that the old environment is better. */
  readonly force?: boolean;
  /** `extend`: how much longer. */
  readonly byMs?: number;
}

export interface ServerStatus {
  readonly server: ServerName;
  readonly color: Color;
  /** For people: `waiting`, `installed`, `active`, `verified`, `restored`, ... */
  readonly state: string;
  readonly detail?: string;
}

/** What was proved before people were asked. */
export interface Evidence {
  readonly hash: string;
  readonly lines: readonly string[];
}

type PlanList = 'servers' | 'objects' | 'liveRuns';

/** Everything a person may wonder about. Answered by query, and from the memo when no worker is alive. */
export interface Status {
  readonly service: ServiceId;
  readonly deployment: DeploymentId;
  readonly kind: RunKind;
  readonly requestedBy: string;
  readonly stage: Stage;
  /** The phase that was reached, also while rolling back. */
  readonly phase: Phase;
  /** Epoch milliseconds. */
  readonly since: number;
  readonly release?: Release;
  readonly live: Color | 'unknown' | 'nothing';
  readonly idle: Color | 'unknown';
  readonly split?: Split;
  /** Without its long lists where it is a large fleet's and the memo tells it. */
  readonly plan?: Omit<Plan, PlanList> & Partial<Pick<Plan, PlanList>>;
  readonly evidence?: Evidence;
  readonly servers: readonly ServerStatus[];
  /** Servers that it goes on without. */
  readonly leftBehind?: readonly LeftBehind[];
  /** What is awaited, in a sentence; `undefined` while it works. */
  readonly awaits?: string;
  readonly deadline?: number;
  /** What can be done now. */
  readonly accepts: readonly MessageName[];
  /** What happens next, and when, in a sentence. */
  readonly next: string;
  readonly notes: readonly string[];
  readonly problem?: Complaint;
  readonly tally: Tally;
  readonly outcome?: Outcome;
}
