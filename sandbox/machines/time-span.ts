const millisecondsPer: Readonly<Record<string, number>> = {
  us: 0.001,
  usec: 0.001,
  µs: 0.001,
  ms: 1,
  msec: 1,
  '': 1000,
  s: 1000,
  sec: 1000,
  second: 1000,
  seconds: 1000,
  m: 60_000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hr: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000,
  w: 604_800_000,
  week: 604_800_000,
  weeks: 604_800_000,
};

/** Milliseconds of a span as systemd writes them (`1min 30s`, `2.5`, `infinity`), or `undefined` when it is none. */
export function parseTimeSpan(text: string): number | undefined {
  const span = text.trim();
  if (span === 'infinity') return Infinity;

  const term = /\s*(\d+(?:\.\d+)?)\s*([a-zµ]*)/y;
  let milliseconds = 0;
  while (term.lastIndex < span.length) {
    const [, amount, unit] = term.exec(span) ?? [];
    const factor = unit === undefined ? undefined : millisecondsPer[unit];
    if (factor === undefined) return undefined;
    milliseconds += Number(amount) * factor;
  }
  return span === '' ? undefined : milliseconds;
}

/** The span as `systemctl show` prints it: `1min 30s`, `100ms`, `infinity`. */
export function formatTimeSpan(milliseconds: number): string {
  if (milliseconds === Infinity) return 'infinity';

  let rest = milliseconds;
  const terms: string[] = [];
  for (const unit of ['w', 'd', 'h', 'min', 's', 'ms']) {
    const factor = millisecondsPer[unit] ?? 1;
    const amount = Math.floor(rest / factor);
    if (amount > 0) terms.push(`${amount}${unit}`);
    rest -= amount * factor;
  }
  return terms.join(' ') || '0';
}
