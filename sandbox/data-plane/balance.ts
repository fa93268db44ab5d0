import type { Balance } from './configuration.js';

/** What the algorithms need to know of a server. */
export interface Weighted {
  readonly weight: number;
  readonly inFlight: number;
  /** Smooth weighted round robin: grows by the weight with each pick, falls by the total when picked. */
  credit: number;
}

/** Picks one of `candidates`, all of which have a weight above 0. `key` decides for `source` and `uri`. */
export function pick<Server extends Weighted>(
  balance: Balance,
  candidates: readonly Server[],
  key: string,
): Server | undefined {
  switch (balance) {
    case 'first':
      return candidates[0];
    case 'roundrobin':
      return nextInTurn(candidates);
    case 'leastconn':
      return leastBusy(candidates);
    case 'source':
    case 'uri':
      return byHash(candidates, key);
    default:
      return balance satisfies never;
  }
}

function nextInTurn<Server extends Weighted>(candidates: readonly Server[]): Server | undefined {
  let chosen: Server | undefined;
  let total = 0;
  for (const candidate of candidates) {
    total += candidate.weight;
    candidate.credit += candidate.weight;
    if (chosen === undefined || candidate.credit > chosen.credit) chosen = candidate;
  }
  if (chosen !== undefined) chosen.credit -= total;
  return chosen;
}

/** Equally busy servers take turns, else a farm without load would send everything to its first server. */
function leastBusy<Server extends Weighted>(candidates: readonly Server[]): Server | undefined {
  let least = Infinity;
  for (const { inFlight, weight } of candidates) least = Math.min(least, inFlight / weight);
  return nextInTurn(candidates.filter(({ inFlight, weight }) => inFlight / weight === least));
}

function byHash<Server extends Weighted>(candidates: readonly Server[], key: string): Server | undefined {
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
  let place = hashOf(key) % total;
  return candidates.find(({ weight }) => (place -= weight) < 0);
}

/** 32-bit FNV-1a: enough to spread addresses, and the same in every run. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return hash;
}
