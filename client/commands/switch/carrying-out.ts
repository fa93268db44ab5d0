import { inARow, proveTraffic } from '../../../activities/public-proof.js';
import { otherColor } from '../../../domain/color.js';
import { exitCodes } from '../../../domain/deployment.js';
import { Failure } from '../../../domain/failures.js';
import type { HandSwitchState } from '../../../domain/hand-switch.js';
import type { ServerName } from '../../../domain/names.js';
import { allTo } from '../../../domain/split.js';
import { writeRecord, type HandSwitchRecord } from '../../../drivers/hand-switches.js';
import type { RouteReport } from '../../../drivers/load-balancers/driver.js';
import { Refusal } from '../../refusal.js';
import { indented } from '../../words.js';
import type { HandSession } from '../switch.js';
import { Interruptions } from './interrupting.js';
import { sayingOnce, type View } from './view.js';

/** What was agreed to. */
export interface Order extends Pick<View, 'names'> {
  /** Of the record. */
  readonly file: string;
  readonly leaveOut: readonly ServerName[];
  /** The record as it is written before anything else is. */
  readonly begun: HandSwitchRecord;
}

const proofDeadlineMs = 60_000;

/** Where Ctrl-C led, once nothing was published. */
const interruptedCode = 130;

/** Moves the traffic, proves it, and keeps the record of it. Gives the exit code. */
export async function carryOut(session: HandSession, order: Order): Promise<number> {
  const { file, begun } = order;
  const interruptions = new Interruptions();
  try {
    await writeFirst(file, begun);
    const moved = await move(session, order, interruptions);
    if (moved.kind === 'failed') return await endedBadly(session, order, moved);
    const proof = await prove(session, order, interruptions);
    return await ended(session, order, moved.report, proof);
  } finally {
    interruptions.end();
  }
}

/** Without a record nobody could tell later what was stored by this. */
async function writeFirst(file: string, begun: HandSwitchRecord): Promise<void> {
  try {
    await writeRecord(file, begun);
  } catch (error) {
    throw new Refusal(
      `Cannot write the record "${file}": ${(error as Error).message}, needs a place for it before anything is changed\n  name one: --record FILE`,
      { cause: error },
    );
  }
}

type Moved =
  | { readonly kind: 'moved'; readonly report: RouteReport }
  | { readonly kind: 'failed'; readonly error: unknown; readonly interrupted: boolean };

async function move(
  { service, drivers, output }: HandSession,
  { begun, leaveOut }: Order,
  interruptions: Interruptions,
): Promise<Moved> {
  const signal = interruptions.stage(() =>
    output.notice(
      'Stopping: what is stored and not published is put back; what is being published is seen through',
    ),
  );
  try {
    const driver = await drivers.loadBalancer(service);
    const report = await driver.route(
      {
        to: allTo(begun.to),
        expected: begun.objects,
        purpose: begun.force ? 'rollback' : 'forward',
        leaveOut,
      },
      { signal, progress: sayingOnce(output, /storing|refresh|publishing|put/) },
    );
    return { kind: 'moved', report };
  } catch (error) {
    return { kind: 'failed', error, interrupted: signal.aborted };
  }
}

type Proof =
  | { readonly kind: 'proved'; readonly toldApart: boolean }
  | { readonly kind: 'not proved'; readonly because: string };

async function prove(
  { service, drivers, output }: HandSession,
  { names, begun }: Order,
  interruptions: Interruptions,
): Promise<Proof> {
  const signal = interruptions.stage(() =>
    output.notice('Stopping: the traffic has moved, the proof is given up'),
  );
  output.say(`    asking ${service.publicAddress.url}`);
  const proof = {
    service,
    color: begun.to,
    identities: names.own,
    others: names.others,
    deadlineMs: proofDeadlineMs,
  };
  try {
    const quiet = { signal, progress: () => undefined };
    return { kind: 'proved', ...(await proveTraffic(drivers, proof, quiet)) };
  } catch (error) {
    if (signal.aborted) return { kind: 'not proved', because: 'it was stopped' };
    if (error instanceof Failure) return { kind: 'not proved', because: error.message };
    throw error;
  }
}

async function ended(
  session: HandSession,
  order: Order,
  { changed, tookMs, published, skewMs = 0 }: RouteReport,
  proof: Proof,
): Promise<number> {
  const { service, output, command } = session;
  const { file, begun } = order;
  const { to, force, staged } = begun;
  const alongside = [...(force ? staged : []), ...published];
  const isProved = proof.kind === 'proved';
  await writeEnd(session, order, isProved ? 'proved' : 'moved', {
    published: alongside,
    tookMs: Math.round(tookMs),
    ...(isProved ? {} : { because: proof.because }),
  });
  const { url } = service.publicAddress;
  output.say([
    '',
    changed
      ? `Switched ${service.id} to ${to} in ${(tookMs / 1_000).toFixed(1)} s.`
      : `All traffic of ${service.id} goes to ${to}; nothing had to be changed.`,
    ...(isProved ? [`  ${provedLine(url, to, proof)}`] : indented([`Not proved: ${proof.because}`])),
    ...(skewMs > 0
      ? [`  between the first load balancer and the last: ${(skewMs / 1_000).toFixed(1)} s`]
      : []),
    ...alongside.map((edit) => `  went out with it: ${edit}`),
    `  record: ${file}`,
    `  back again: ${command(`switch ${otherColor(to)} --without-temporal`)}`,
    `  once Temporal is back: ${command('status')}; a deployment that is open finds the traffic moved, and asks a person`,
  ]);
  output.document({ service: service.id, to, changed, proved: isProved, published: alongside, record: file });
  return isProved ? 0 : exitCodes['needs a person'];
}

const provedLine = (url: string, to: string, { toldApart }: Extract<Proof, { kind: 'proved' }>): string =>
  toldApart
    ? `${inARow} new connections in a row were answered by ${to} at ${url}`
    : `${url} answers; blue and green name themselves alike or could not be asked, so that ${to} serves is known from the load balancer only`;

/** Says what is true now, and how to go on. */
async function endedBadly(
  session: HandSession,
  order: Order,
  { error, interrupted }: Extract<Moved, { kind: 'failed' }>,
): Promise<number> {
  const { service, command } = session;
  const { begun } = order;
  const failure = error instanceof Failure ? error : undefined;
  const isClean = failure ? !failure.ambiguous && !perhapsPublished.has(failure.failure) : interrupted;
  const because = error instanceof Error ? error.message : String(error);
  await writeEnd(session, order, isClean ? 'not moved' : 'unclear', { because });
  if (interrupted && !failure) {
    throw new Refusal('Stopped: the traffic goes where it went before, and what was stored was put back', {
      exitCode: interruptedCode,
      cause: error,
    });
  }
  if (!failure) throw error;
  const again = command(`switch ${begun.to} --without-temporal`);
  throw new Refusal(
    isClean
      ? `${because}\n  ${service.id} is served as before: nothing was published, or it was put back`
      : `${because}\n  what runs is not certain; finish it with the same command: ${again}\n  the API's query ids, for support, are in the record: ${order.file}`,
    { exitCode: isClean ? exitCodes.refused : exitCodes['needs a person'], cause: error },
  );
}

/** After these a part of the load balancer may run the new configuration. */
const perhapsPublished: ReadonlySet<string> = new Set(['RefreshFailed', 'TrafficNotMoved']);

/** The traffic is where it is, whether this can be written or not. */
async function writeEnd(
  { calls, output }: HandSession,
  { file, begun }: Order,
  state: HandSwitchState,
  facts: Partial<HandSwitchRecord>,
): Promise<void> {
  try {
    await writeRecord(file, { ...begun, ...facts, state, endedAt: new Date().toISOString(), calls });
  } catch (error) {
    output.notice(`Cannot write the end into the record "${file}": ${(error as Error).message}`);
  }
}
