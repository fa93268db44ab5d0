/** Quantities as people write them: `10s`, `72h`, `200 MB`, `0.1 %`. Each maker gives `undefined` for anything else. */

const millisecondsPer: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const bytesPer: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

export const durationPattern = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)$/;
export const sizePattern = /^(\d+(?:\.\d+)?) ?(B|KB|MB|GB|KiB|MiB|GiB)$/;
export const percentPattern = /^(\d+(?:\.\d+)?) ?%$/;

/** Milliseconds of `500ms`, `10s`, `2m`, `72h`, `3d`. */
export const parseDuration = (text: string): number | undefined =>
  parseQuantity(text, durationPattern, millisecondsPer);

/** Bytes of `200 MB`, `1 GiB`. */
export const parseSize = (text: string): number | undefined => parseQuantity(text, sizePattern, bytesPer);

/** Share, 0 to 1, of `0.1 %`. */
export function parsePercent(text: string): number | undefined {
  const number = percentPattern.exec(text)?.[1];
  const percent = Number(number);
  // Divided in decimal: 0.1 / 100 is 0.001 exactly as people read it.
  return number === undefined || percent > 100 ? undefined : Number((percent / 100).toPrecision(12));
}

function parseQuantity(
  text: string,
  pattern: RegExp,
  units: Readonly<Record<string, number>>,
): number | undefined {
  const [, number, unit] = pattern.exec(text) ?? [];
  const factor = unit === undefined ? undefined : units[unit];
  return factor === undefined ? undefined : Math.round(Number(number) * factor);
}

/** `90 s`, `2 m`, `72 h`: the largest unit that keeps it exact, or two units. */
export function describeDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const [large, largeUnit, small, smallUnit] =
    seconds < 3_600
      ? [Math.floor(seconds / 60), 'm', seconds % 60, 's']
      : [Math.floor(seconds / 3_600), 'h', Math.floor((seconds % 3_600) / 60), 'm'];
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}
