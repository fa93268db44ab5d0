import type { Color } from '../domain/color.js';
import { Failure } from '../domain/failures.js';
import { describeSample, isServed, type Sample } from '../domain/health.js';
import { publicAddressesOf, type PublicAddress, type Service } from '../domain/service.js';
import type { Drivers } from '../drivers/drivers.js';
import type { Patience } from '../drivers/patience.js';
import { identityQuestion } from './identity.js';
import { rest } from './rest.js';

export interface TrafficProof {
  readonly service: Service;
  readonly color: Color;
  /** How the servers of `color` name themselves, and how the others do. */
  readonly identities: readonly string[];
  readonly others: readonly string[];
  readonly deadlineMs: number;
  /** What testers send. Without it everybody is asked for. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface TrafficProved {
  readonly toldApart: boolean;
  /** When each process of the load balancer that was met began to answer as it shall; absent where none tells its name. */
  readonly instances?: readonly Instance[];
}

export interface Instance {
  readonly name: string;
  /** From the begin of the proof to its first right answer with no wrong one after it. */
  readonly afterMs: number;
}

/** Answers in a row that prove it. */
export const inARow = 10;

/** Of those, from each process of the load balancer that was met: they change at different moments. */
const perInstance = 3;

/** A process that has not been met among so many answers is gone: it is not waited for. */
const goneAfter = 200;

const askAgainMs = 200;

/**
 * Asks every public address until new connections are answered by `color` only, `inARow` times, whichever process of the load
 * balancer they meet. Knows nothing of Temporal: it is used without it, too. Throws Failure `TrafficNotMoved` when that does not
 * happen in time.
 */
export async function proveTraffic(
  drivers: Pick<Drivers, 'prober'>,
  proof: TrafficProof,
  patience: Patience,
): Promise<TrafficProved> {
  const proved = await Promise.all(
    publicAddressesOf(proof.service).map((address) => proveAt(drivers, proof, address, patience)),
  );
  const instances = proved.flatMap((one) => one.instances ?? []);
  return {
    toldApart: proved.every(({ toldApart }) => toldApart),
    ...(instances.length > 0 ? { instances } : {}),
  };
}

async function proveAt(
  { prober }: Pick<Drivers, 'prober'>,
  { service, color, identities, others, deadlineMs, headers }: TrafficProof,
  { url, identify }: PublicAddress,
  patience: Patience,
): Promise<TrafficProved> {
  const deadlineAtMs = Date.now() + deadlineMs;
  const toldApart = identities.length > 0 && !identities.some((name) => others.includes(name));
  const question = {
    ...identityQuestion(service),
    path: toldApart ? identify.path : service.prober.path,
    identityHeader: identify.header,
    timeoutMs: service.prober.timeoutMs,
    ...(headers ? { headers } : {}),
  };
  const met = new InstancesMet();
  for (let good = 0, last = 'no answer'; good < inARow || met.unproved.length > 0;) {
    const sample = await prober.ask(url, question, patience);
    const name = sample.kind === 'answered' ? sample.identity : undefined;
    const right = isServed(sample) && (!toldApart || identities.includes(name ?? ''));
    good = right ? good + 1 : 0;
    met.note(sample, right);
    last = isServed(sample) ? `answered by "${name ?? 'nobody'}"` : describeSample(sample);
    patience.progress(`${good} of ${inARow} answers from ${color}`);
    if (Date.now() > deadlineAtMs && (!right || good >= inARow)) {
      throw new Failure('TrafficNotMoved', unprovedWords({ url, color, identities, last, met }));
    }
    if (!right) await rest(askAgainMs, patience);
  }
  return { toldApart, ...(met.instances.length > 0 ? { instances: met.instances } : {}) };
}

/** What each process of the load balancer has answered so far. */
class InstancesMet {
  readonly #beganAtMs = Date.now();
  readonly #met = new Map<string, { good: number; afterMs: number; lastAt: number }>();
  #answers = 0;

  note(sample: Sample, right: boolean): void {
    this.#answers++;
    const instance = sample.kind === 'answered' ? sample.instance : undefined;
    if (instance === undefined) return;
    const before = this.#met.get(instance) ?? { good: 0, afterMs: 0, lastAt: 0 };
    const isFirst = right && before.good === 0;
    this.#met.set(instance, {
      good: right ? before.good + 1 : 0,
      afterMs: isFirst ? Date.now() - this.#beganAtMs : before.afterMs,
      lastAt: this.#answers,
    });
  }

  get unproved(): readonly string[] {
    return this.#present.flatMap(([name, { good }]) => (good < perInstance ? [name] : []));
  }

  get instances(): readonly Instance[] {
    return this.#present
      .map(([name, { afterMs }]) => ({ name, afterMs }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  get #present() {
    return [...this.#met].filter(([, { lastAt }]) => this.#answers - lastAt < goneAfter);
  }
}

function unprovedWords({
  url,
  color,
  identities,
  last,
  met,
}: {
  readonly url: string;
  readonly color: Color;
  readonly identities: readonly string[];
  readonly last: string;
  readonly met: InstancesMet;
}): string {
  const behind = met.unproved.length === 0 ? '' : `; instance ${met.unproved.join(', ')} is behind`;
  return `Cannot prove that ${url} is served by ${color}: the last answer was ${last}${behind}, needs ${inARow} in a row from ${identities.join(', ') || color}`;
}
