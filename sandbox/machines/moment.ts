/** One instant on both clocks that systemd reports. */
export interface Moment {
  /** Since 1970. */
  readonly realtimeMicroseconds: number;
  /** Since the machine below was booted; never goes back. */
  readonly monotonicMicroseconds: number;
}

export const now = (): Moment => ({
  realtimeMicroseconds: Date.now() * 1000,
  monotonicMicroseconds: Number(process.hrtime.bigint() / 1000n),
});

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** `Mon 2026-11-23 06:01:21 UTC`; nothing for what never happened. */
export function timestamp(moment: Moment | undefined): string {
  if (moment === undefined) return '';
  const date = new Date(moment.realtimeMicroseconds / 1000);
  const iso = date.toISOString();
  return `${days[date.getUTCDay()]} ${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
}
