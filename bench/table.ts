/** Measurements of one way to do it, in seconds. */
export interface Row {
  readonly name: string;
  readonly seconds: readonly number[];
}

/** Lines with minimum, median and maximum of each row, and the median as a multiple of the first row's. */
export function table(title: string, rows: readonly Row[]): string {
  const first = median(rows[0]?.seconds ?? []);
  const lines = rows.map(({ name, seconds }) => {
    const shown = [Math.min(...seconds), median(seconds), Math.max(...seconds)].map((each) =>
      each.toFixed(2).padStart(7),
    );
    return `  ${name.padEnd(34)} ${shown.join(' / ')}   ${(median(seconds) / first).toFixed(1)} x`;
  });
  return [title, `  ${'s: min / median / max'.padEnd(34)}`, ...lines].join('\n');
}

export const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
