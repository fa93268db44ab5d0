import type { Readable } from 'node:stream';
import type { FencingToken } from '../../domain/deployment.js';
import type { HealthQuestion, Sample, WatchedLook } from '../../domain/health.js';
import type { Digest, ReleaseId } from '../../domain/names.js';
import type { ServerExamination } from '../../domain/examination.js';
import type { ServerFacts } from '../../domain/observation.js';
import type { Secret } from '../../domain/secret.js';
import type { Server } from '../../domain/service.js';
import type { Space } from '../../domain/space.js';
import type { Told } from '../../domain/told.js';
import type { Patience } from '../patience.js';

/**
 * One server: where releases are installed, activated and watched.
 *
 * Every change is atomic, may be repeated, and carries a fencing token: a lower one than the server has seen is refused
 * (`ExecutorFenced`), an equal one is a repeat. All methods may throw Failure `ServerUnreachable`, `HostKeyMismatch`,
 * `ServerLoginRefused`, `ServerBusy` (another executor holds the lock), `CommandFailed`.
 */
export interface ServerDriver {
  readonly server: Server;

  /** What is there and what runs. Reads only. */
  observe(patience: Patience): Promise<ServerFacts>;

  /** What deployments rest on there: what the machine is, and what is left of it. Reads only. */
  examine(patience: Patience): Promise<ServerExamination>;

  /**
   * Puts a release into its own directory, checked and complete, beside what runs. Nothing is started or stopped.
   * Does nothing when that release is installed already. Releases beyond `keep` that are neither active nor previous are removed.
   * @throws Failure `DigestMismatch` (what arrived is not the artifact), `DiskFull`, `UnitRefused` (systemd finds fault with the unit),
   * `ProgramIncompatible` (the server's loader cannot bring the program up)
   */
  install(installation: Installation, token: FencingToken, patience: Patience): Promise<Told>;

  /**
   * Makes an installed release the active one: stops what runs, one rename, starts. Does nothing when it is active and running.
   * Lingering connections on the program's port are waited for, and then cut or the reason to refuse.
   * @throws Failure `ConnectionsLinger`, `ForeignRelease`, `StartFailed` (with the program's last words)
   */
  activate(
    release: ReleaseId,
    drain: DrainOrder,
    token: FencingToken,
    patience: Patience,
  ): Promise<DrainReport>;

  /**
   * Puts back what was active before: `release`, or nothing (stopped, `current` removed).
   * Harmless when nothing was changed: what is already as asked is left running.
   */
  restore(
    release: ReleaseId | 'nothing',
    drainAtMostMs: number,
    token: FencingToken,
    patience: Patience,
  ): Promise<DrainReport>;

  /** Waits until no connection lingers on the program's port, at most `atMostMs`. */
  drain(atMostMs: number, patience: Patience): Promise<DrainReport>;

  /** Stops the program; the active release stays what it is. */
  stop(token: FencingToken, patience: Patience): Promise<StopReport>;

  /**
   * Removes an installed release that is not active, keeping its last words, unit and reason under `.verdigris/failed/`.
   * Harmless when it is not there.
   */
  remove(release: ReleaseId, because: string, token: FencingToken, patience: Patience): Promise<void>;

  /**
   * Writes down that a release must not run again; installed or not, it is never chosen as a way back.
   * Nothing is stopped or removed.
   */
  markUnfit(release: ReleaseId, because: string, token: FencingToken, patience: Patience): Promise<void>;

  /** Takes such a mark back. Harmless where there is none. */
  markFit(release: ReleaseId, token: FencingToken, patience: Patience): Promise<void>;

  /**
   * Takes over what runs under its own unit in a flat directory: it becomes a release of its own (id from its program's
   * digest), with the old files kept and nothing restarted. Does nothing when nothing foreign is there.
   * @returns the release that is active now.
   */
  adopt(token: FencingToken, patience: Patience): Promise<ReleaseId | 'nothing'>;

  /** Puts one question to the program, from the machine itself. Never throws for a bad answer: that is a sample. */
  probe(question: HealthQuestion, patience: Patience): Promise<Sample>;

  /** Looks at the process every `everyMs`, through one command, until the caller breaks off. */
  watch(everyMs: number, patience: Patience): AsyncIterable<WatchedLook>;

  /** The program's last lines, newest last, at most `lines`. */
  lastWords(lines: number, patience: Patience): Promise<readonly string[]>;
}

export interface Installation {
  readonly release: ReleaseId;
  readonly artifact: Digest;
  readonly sizeBytes: number;
  /** Opens the artifact's bytes (tar.gz) from the start; called once per attempt. */
  readonly open: () => Readable;
  /** What it takes at its peak: that much has to be free. */
  readonly needs: Space & { readonly inodes: number };
  /** The unit file of this release, filled in for this server. */
  readonly unitFile: string;
  /** Files of the release that are filled in for this server, in the place of those of the artifact. */
  readonly files: readonly FilledFile[];
  /** Directories below `shared/`, made where they are missing and given to the program's user. */
  readonly shared: readonly string[];
  /** What `/proc/PID/exe` must be, relative to the release. */
  readonly executable: string;
  /** The system's loader that the program asks for; left out for a static one. */
  readonly loader?: string;
  readonly keep: number;
}

export interface FilledFile {
  /** Relative to the release; the artifact has a file there. */
  readonly path: string;
  readonly content: Secret;
  /** Only the program's user may read it. */
  readonly private: boolean;
}

/** How lingering connections are waited for, and what happens to those that remain. */
export interface DrainOrder {
  readonly atMostMs: number;
  readonly lingering: 'cut' | 'refuse';
}

export interface StopReport extends Told {
  /** It did not end in its time: systemd killed it (SIGKILL). */
  readonly killed: boolean;
}

export interface DrainReport extends StopReport {
  /** Connections that still lingered when the wait ended. */
  readonly cut: number;
  readonly waitedMs: number;
}
