import type { Color } from './color.js';
import type { Split } from './split.js';

/**
 * A mixed farm holds the servers of both environments, and divides new traffic by their weights. Every server of an
 * environment has the same one, so with `n` servers of weight `w` each the share of green is n·w(green) of the sum of both.
 */
export type PerColor = Readonly<Record<Color, number>>;

/** A server with weight 0 gets no balanced traffic: who gets a share has at least 1. */
export const lightest = 1;
export const heaviest = 256;

/** How far a share may be from the asked one: relative to the smaller of the two, and at all. */
const tolerance = { relative: 0.05, absolute: 0.004 };

/** The weights by which `servers` divide traffic nearest to `split`, the smallest that do; none where even those are not near. */
export function weightsFor(split: Split, servers: PerColor): PerColor | undefined {
  if (split.blue <= 0 || split.green <= 0 || servers.blue < 1 || servers.green < 1) return undefined;
  const asked = split.green / (split.blue + split.green);
  const ratio = (split.green * servers.blue) / (split.blue * servers.green);
  let best: PerColor | undefined;
  let bestError = Infinity;
  for (let blue = lightest; blue <= heaviest; blue++) {
    for (const green of [Math.floor(ratio * blue), Math.ceil(ratio * blue)].map(bounded)) {
      const error = Math.abs(shareOfGreen({ blue, green }, servers) - asked);
      if (error < bestError - negligible) {
        best = { blue, green };
        bestError = error;
      }
    }
  }
  const borne = Math.min(Math.min(asked, 1 - asked) * tolerance.relative, tolerance.absolute);
  return bestError <= borne ? best : undefined;
}

/** The smallest share of one environment that its servers can be given, in percent. */
export function smallestShare(color: Color, servers: PerColor): number {
  const others = color === 'blue' ? servers.green : servers.blue;
  return (100 * servers[color] * lightest) / (servers[color] * lightest + others * heaviest);
}

/**
 * How weights divide traffic, in percent: as it was asked for where these are the weights that come of that, else as it is, to
 * a millionth. `undefined` where nobody has any weight.
 */
export function splitOf(weights: readonly (readonly [Color, number])[]): Split | undefined {
  const of = (color: Color): readonly number[] =>
    weights.flatMap(([one, weight]) => (one === color && weight > 0 ? [weight] : []));
  const [blue, green] = [of('blue'), of('green')];
  const total = sum(blue) + sum(green);
  if (total === 0) return undefined;
  const exact = (100 * sum(green)) / total;
  const servers = { blue: blue.length, green: green.length };
  const each = new Set([
    ...blue.map((weight) => `blue ${weight}`),
    ...green.map((weight) => `green ${weight}`),
  ]);
  const isUniform = each.size === Math.sign(blue.length) + Math.sign(green.length);
  const asked = isUniform ? [0, 1].map((digits) => parted(exact, digits)).find(comesOf) : undefined;
  return asked ?? parted(exact, 4);

  function comesOf(split: Split): boolean {
    const wanted = weightsFor(split, servers);
    return wanted?.blue === blue[0] && wanted?.green === green[0];
  }
}

const parted = (green: number, digits: number): Split => ({
  blue: rounded(100 - rounded(green, digits), digits),
  green: rounded(green, digits),
});

const shareOfGreen = (weights: PerColor, servers: PerColor): number =>
  (servers.green * weights.green) / (servers.green * weights.green + servers.blue * weights.blue);

/** Below what a computer's arithmetic tells apart. */
const negligible = 1e-12;

const bounded = (weight: number): number => Math.min(heaviest, Math.max(lightest, weight));
const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
