import type { Status } from '../domain/deployment.js';
import type { DeploymentId, ServiceId } from '../domain/names.js';
import { lookAt, type EndedRun, type ServiceRun } from './service-run.js';
import { TemporalUnreachable, type Temporal } from './temporal.js';

/** Why following a run came to an end. Only the first means that the run did. */
export type Followed =
  | { readonly kind: 'ended'; readonly run: EndedRun }
  | { readonly kind: 'approval awaited'; readonly status: Status }
  | { readonly kind: 'person needed'; readonly status: Status }
  | { readonly kind: 'waited too long' }
  | { readonly kind: 'interrupted'; readonly by: NodeJS.Signals };

/** Who is told what is seen. */
export interface FollowView {
  /** Called at every look, changed or not. */
  show(status: Status, nowMs: number): void;
  /** Something about the looking itself: no worker answers, Temporal cannot be reached. */
  notice(text: string): void;
  /** Nothing more will be shown. */
  close(): void;
}

export interface FollowOptions {
  readonly view: FollowView;
  /** Stop once the run waits for an approval. */
  readonly untilApproval?: boolean;
  /** Go on although a person is needed, for those who only watch. */
  readonly pastNeed?: boolean;
  readonly timeoutMs?: number;
  readonly everyMs?: number;
}

/** A timer of Node that is asked for more ends at once. */
const longestTimerMs = 2 ** 31 - 1;

const lookEveryMs = 1_000;
/** Between two looks while Temporal is away. */
const awayEveryMs = 3_000;

/**
 * Follows a run until it ends or there is a reason to stop. Lives through restarts of workers and of
 * Temporal; SIGINT, SIGTERM and SIGHUP end the following, never the run.
 */
export async function follow(
  temporal: Temporal,
  service: ServiceId,
  id: DeploymentId,
  options: FollowOptions,
): Promise<Followed> {
  const stop = new AbortController();
  const release = onSignals((by) => stop.abort(by));
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => stop.abort('timeout'), Math.min(options.timeoutMs, longestTimerMs));
  try {
    return await Promise.race([watch(temporal, service, id, options, stop.signal), stopped(stop.signal)]);
  } finally {
    clearTimeout(timer);
    release();
    stop.abort('done');
    options.view.close();
  }
}

function stopped(signal: AbortSignal): Promise<Followed> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () =>
      resolve(
        signal.reason === 'timeout'
          ? { kind: 'waited too long' }
          : { kind: 'interrupted', by: signal.reason as NodeJS.Signals },
      ),
    );
  });
}

function onSignals(stop: (by: NodeJS.Signals) => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let isStopped = false;
  const hear = (signal: NodeJS.Signals) => {
    isStopped = true;
    stop(signal);
  };
  for (const signal of signals) process.on(signal, hear);
  const release = () => {
    for (const signal of signals) process.off(signal, hear);
  };
  return () => {
    if (isStopped) setTimeout(release, echoMs).unref();
    else release();
  };
}

/**
 * One Ctrl-C may come twice: npm and its like pass on what the terminal has sent to all already. The second must not end us before
 * it is said that the run goes on.
 */
const echoMs = 2_000;

async function watch(
  temporal: Temporal,
  service: ServiceId,
  id: DeploymentId,
  { view, untilApproval = false, pastNeed = false, everyMs = lookEveryMs }: FollowOptions,
  signal: AbortSignal,
): Promise<Followed> {
  const notice = onceEach(view);
  for (;;) {
    const run = await lookOrNothing(temporal, service, id);
    if (signal.aborted) return stopped(signal);
    notice(
      'away',
      run === undefined,
      `  Temporal at ${temporal.address} does not answer; the run does not depend on us, still trying`,
    );
    if (run) {
      notice(
        'memo',
        isLeftAlone(run),
        `  no worker answers on task queue "${temporal.taskQueue}"; showing what was last written down`,
      );
      if (run.status) view.show(run.status, Date.now());
      const reason = reasonToStop(run, untilApproval, pastNeed);
      if (reason) return reason;
    }
    await pause(run ? everyMs : awayEveryMs, signal);
  }
}

async function lookOrNothing(
  temporal: Temporal,
  service: ServiceId,
  id: DeploymentId,
): Promise<ServiceRun | undefined> {
  try {
    return await lookAt(temporal, service, id);
  } catch (error) {
    if (error instanceof TemporalUnreachable) return undefined;
    throw error;
  }
}

const isLeftAlone = (run: ServiceRun): boolean => run.kind === 'open' && run.told === 'by the memo';

function reasonToStop(run: ServiceRun, untilApproval: boolean, pastNeed: boolean): Followed | undefined {
  if (run.kind === 'ended') return { kind: 'ended', run };
  const { status } = run;
  if (!status) return undefined;
  if (untilApproval && status.stage === 'approve') return { kind: 'approval awaited', status };
  if (!pastNeed && status.stage === 'needs a person') return { kind: 'person needed', status };
  return undefined;
}

/** Says a thing when it becomes the case, and again only after it was not. */
function onceEach(view: FollowView): (key: string, isSo: boolean, text: string) => void {
  const said = new Set<string>();
  return (key, isSo, text) => {
    if (!isSo) said.delete(key);
    else if (!said.has(key)) {
      said.add(key);
      view.notice(text);
    }
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
