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

/** For each process that was met, answers in which no further one was: then hardly any is left that was not. */
const noneFurther = 5;

/** Answers that tell which share of the world still meets something else. */
const recent = 100;

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
  const answers = new RecentAnswers();
  for (let good = 0, isProved = false; !isProved;) {
    const sample = await prober.ask(url, question, patience);
    const name = sample.kind === 'answered' ? sample.identity : undefined;
    const right = isServed(sample) && (!toldApart || identities.includes(name ?? ''));
    good = right ? good + 1 : 0;
    met.note(sample, right);
    answers.note(
      right ? undefined : isServed(sample) ? `from "${name ?? 'nobody'}"` : describeSample(sample),
    );
    const divided = [...answers.words, ...met.words];
    patience.progress([`${good} of ${inARow} answers from ${color}`, ...divided].join('; '));
    const isLate = Date.now() > deadlineAtMs;
    isProved = good >= inARow && met.unproved.length === 0 && (met.areAll || isLate);
    if (isLate && !isProved && (!right || good >= inARow)) {
      throw new Failure('TrafficNotMoved', unprovedWords(url, color, identities, divided));
    }
    if (!right) await rest(askAgainMs, patience);
  }
  return { toldApart, ...(met.instances.length > 0 ? { instances: met.instances } : {}) };
}

/** What the last answers were: while a load balancer is divided, a share of the world meets the other environment. */
class RecentAnswers {
  /** What each was where it was not right, in words. */
  #answers: readonly (string | undefined)[] = [];

  note(wrong: string | undefined): void {
    this.#answers = [...this.#answers, wrong].slice(-recent);
  }

  /** Which share of them was not right; none where all were. */
  get words(): readonly string[] {
    const wrong = this.#answers.filter((each) => each !== undefined);
    if (wrong.length === 0) return [];
    const counted = [...new Set(wrong)].map((each) => {
      const count = wrong.filter((other) => other === each).length;
      return `${count} (${Math.round((100 * count) / this.#answers.length)} %) ${each}`;
    });
    return [`of the last ${this.#answers.length} answers ${counted.join(', ')}`];
  }
}

/** What each process of the load balancer has answered so far. */
class InstancesMet {
  readonly #beganAtMs = Date.now();
  readonly #met = new Map<string, { good: number; afterMs: number; lastAt: number }>();
  #answers = 0;
  #lastMetAt = 0;

  note(sample: Sample, right: boolean): void {
    this.#answers++;
    const instance = sample.kind === 'answered' ? sample.instance : undefined;
    if (instance === undefined) return;
    if (!this.#met.has(instance)) this.#lastMetAt = this.#answers;
    const before = this.#met.get(instance) ?? { good: 0, afterMs: 0, lastAt: 0 };
    const isFirst = right && before.good === 0;
    this.#met.set(instance, {
      good: right ? before.good + 1 : 0,
      afterMs: isFirst ? Date.now() - this.#beganAtMs : before.afterMs,
      lastAt: this.#answers,
    });
  }

  /** Whether it is likely that no further one is there. */
  get areAll(): boolean {
    return this.#answers - this.#lastMetAt >= noneFurther * this.#present.length;
  }

  get unproved(): readonly string[] {
    return this.#present.flatMap(([name, { good }]) => (good < perInstance ? [name] : []));
  }

  get words(): readonly string[] {
    const { unproved } = this;
    if (unproved.length === 0) return [];
    return [`instance ${unproved.join(', ')} is behind (${unproved.length} of ${this.#present.length})`];
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

const unprovedWords = (
  url: string,
  color: Color,
  identities: readonly string[],
  divided: readonly string[],
): string =>
  `Cannot prove that ${url} is served by ${color}: ${divided.join('; ')}, needs ${inARow} in a row from ${identities.join(', ') || color}
  see who answers: curl -si ${url}; a load balancer that stays divided needs to be published once more, then its provider's support`;
