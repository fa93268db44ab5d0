import type { Color } from '../domain/color.js';
import { Failure } from '../domain/failures.js';
import { describeSample, isServed } from '../domain/health.js';
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
}

/** Answers in a row that prove it. */
export const inARow = 10;

const askAgainMs = 200;

/**
 * Asks every public address until new connections are answered by `color` only, `inARow` times. Knows nothing of Temporal: it is
 * used without it, too. Throws Failure `TrafficNotMoved` when that does not happen in time.
 */
export async function proveTraffic(
  drivers: Pick<Drivers, 'prober'>,
  proof: TrafficProof,
  patience: Patience,
): Promise<{ readonly toldApart: boolean }> {
  const proved = publicAddressesOf(proof.service).map((address) =>
    proveAt(drivers, proof, address, patience),
  );
  return { toldApart: (await Promise.all(proved)).every(({ toldApart }) => toldApart) };
}

async function proveAt(
  { prober }: Pick<Drivers, 'prober'>,
  { service, color, identities, others, deadlineMs }: TrafficProof,
  { url, identify }: PublicAddress,
  patience: Patience,
): Promise<{ readonly toldApart: boolean }> {
  const deadlineAtMs = Date.now() + deadlineMs;
  const toldApart = identities.length > 0 && !identities.some((name) => others.includes(name));
  const question = {
    ...identityQuestion(service),
    path: toldApart ? identify.path : service.prober.path,
    identityHeader: identify.header,
    timeoutMs: service.prober.timeoutMs,
  };
  for (let good = 0, last = 'no answer'; good < inARow;) {
    const sample = await prober.ask(url, question, patience);
    const name = sample.kind === 'answered' ? sample.identity : undefined;
    const right = isServed(sample) && (!toldApart || identities.includes(name ?? ''));
    good = right ? good + 1 : 0;
    last = isServed(sample) ? `answered by "${name ?? 'nobody'}"` : describeSample(sample);
    patience.progress(`${good} of ${inARow} answers from ${color}`);
    if (right) continue;
    if (Date.now() > deadlineAtMs) {
      throw new Failure(
        'TrafficNotMoved',
        `Cannot prove that ${url} is served by ${color}: the last answer was ${last}, needs ${inARow} in a row from ${identities.join(', ') || color}`,
      );
    }
    await rest(askAgainMs, patience);
  }
  return { toldApart };
}
