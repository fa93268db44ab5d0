/** Measurements of one way to do it, by the clock and by what the processors had to do for it. */
export interface Row {
  readonly name: string;
  readonly seconds: readonly number[];
  readonly processorSeconds: readonly number[];
}

/** Lines with minimum, median and maximum of each row, and the medians as multiples of the first row's. */
export function table(title: string, rows: readonly Row[]): string {
  const [first] = rows;
  const lines = rows.map((row) => {
    const by = (measured: 'seconds' | 'processorSeconds') =>
      `${spread(row[measured])} ${times(row[measured], first?.[measured] ?? [])}`;
    return `  ${row.name.padEnd(34)} ${by('seconds')}  |  ${by('processorSeconds')}`;
  });
  const head = `  ${'s: min / median / max'.padEnd(34)} ${'by the clock'.padEnd(34)}  |  of all processors`;
  return [title, head, ...lines].join('\n');
}

const spread = (numbers: readonly number[]): string =>
  [Math.min(...numbers), median(numbers), Math.max(...numbers)]
    .map((each) => each.toFixed(2).padStart(7))
    .join(' / ');

const times = (numbers: readonly number[], first: readonly number[]): string =>
  `${(median(numbers) / median(first)).toFixed(1)} x`.padStart(7);

export const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
