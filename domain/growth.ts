/** What the process behind a server holds at one moment. */
export interface Holdings {
  readonly atMs: number;
  readonly descriptors: number;
  /** How many it may open. */
  readonly descriptorLimit: number;
  readonly residentKilobytes: number;
  /** Of the machine. */
  readonly memoryKilobytes: number;
}

/** Fewer prove nothing. */
const looksNeeded = 12;

const quarters = 4;

/** What would last longer than this at its pace is for people to find, not for a deployment. */
const horizonMs = 3_600_000;

/**
 * Why a process leaks, by looks at it over one stretch of time, oldest first; `undefined` where that is not proved. What fills a
 * cache or takes up new visitors grows fast and then slows down; a leak grows all the time, and will come to its limit.
 */
export function leakIn(looks: readonly Holdings[]): string | undefined {
  return (
    leakOf(looks, {
      name: 'open descriptors grow',
      held: ({ descriptors }) => descriptors,
      limit: ({ descriptorLimit }) => descriptorLimit,
      notable: 64,
      words: String,
    }) ??
    leakOf(looks, {
      name: 'memory grows',
      held: ({ residentKilobytes }) => residentKilobytes,
      limit: ({ memoryKilobytes }) => memoryKilobytes,
      notable: 16 * 1024,
      words: (kilobytes) => `${Math.round(kilobytes / 1024)} MB`,
    })
  );
}

interface Holding {
  readonly name: string;
  readonly held: (look: Holdings) => number;
  readonly limit: (look: Holdings) => number;
  /** Less growth than this is no matter. */
  readonly notable: number;
  readonly words: (amount: number) => string;
}

function leakOf(looks: readonly Holdings[], holding: Holding): string | undefined {
  const [first, last] = [looks.at(0), looks.at(-1)];
  if (!first || !last || looks.length < looksNeeded) return undefined;
  const amounts = looks.map(holding.held);
  const [before, now] = [holding.held(first), holding.held(last)];
  const grown = now - before;
  if (grown < holding.notable || grown < before / 2 || !isSteady(amounts)) return undefined;
  const tookMs = last.atMs - first.atMs;
  const leftMs = ((holding.limit(last) - now) / grown) * tookMs;
  if (leftMs > horizonMs) return undefined;
  return `${holding.name} without end: ${holding.words(before)}, and ${holding.words(now)} after ${Math.round(tookMs / 1000)} s`;
}

/** Whether each quarter lies above the one before, and the last step up is at least half of the first. */
function isSteady(amounts: readonly number[]): boolean {
  const parts = Array.from({ length: quarters }, (_, index) =>
    amounts.slice(
      Math.floor((index * amounts.length) / quarters),
      Math.floor(((index + 1) * amounts.length) / quarters),
    ),
  );
  const rises = parts.every(
    (part, index) => index === 0 || Math.min(...part) > Math.max(...(parts[index - 1] ?? [])),
  );
  const [one = 0, two = 0, three = 0, four = 0] = parts.map(
    (part) => part.reduce((sum, amount) => sum + amount, 0) / part.length,
  );
  return rises && four - three >= (two - one) / 2;
}

/** Looks kept, at most: of a longer time every second one goes. */
const looksKept = 120;

/** Looks kept apart that tell of the last moments alone: a leak may begin late. */
const looksRecent = 24;

/** The life of one process as far as it was looked at. Holds few looks, however long that is. */
export class HoldingsSoFar {
  #all: readonly Holdings[] = [];
  #recent: readonly Holdings[] = [];
  #every = 1;
  #seen = 0;

  /** Takes the next look, and tells what all of them prove. */
  take(look: Holdings): string | undefined {
    this.#recent = [...this.#recent, look].slice(-looksRecent);
    if (this.#seen++ % this.#every === 0) this.#all = [...this.#all, look];
    if (this.#all.length > looksKept) {
      this.#all = this.#all.filter((_, index) => index % 2 === 0);
      this.#every *= 2;
    }
    return leakIn(this.#all) ?? leakIn(this.#recent);
  }
}
