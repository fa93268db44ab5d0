import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startDataPlane } from '../sandbox/data-plane/embedded-data-plane.js';
import { startHaproxy } from '../sandbox/data-plane/haproxy-data-plane.js';
import {
  switchThereAndBack,
  type CarryingDataPlane,
  type Switched,
} from '../test/drivers/load-balancers/switching-under-load.js';

const options = { switches: 50, requestsPerSecond: 500, atLeastRequests: 10_000, controlMs: 3_000 } as const;

test('switches there and back under load, embedded', () => measured('embedded', startDataPlane()));

test('switches there and back under load, HAProxy', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'verdigris-switching-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  await measured('HAProxy', startHaproxy({ directory }));
});

async function measured(name: string, dataPlane: CarryingDataPlane): Promise<void> {
  const switched = await switchThereAndBack(dataPlane, options);
  console.info(figures(name, switched));
  expect(switched.tookMs.length).toBeGreaterThanOrEqual(options.switches);
}

function figures(name: string, { control, tally, tookMs, streams }: Switched): string {
  const whole = streams.filter(({ from, body }) => body === `begun on ${from}, ended on ${from}`).length;
  const rows: readonly (readonly [string, string])[] = [
    ['switches', `${tookMs.length}, each a refresh of 45 ms at the emulated API`],
    ['a switch took', `p50 ${percentile(tookMs, 50)} ms, p99 ${percentile(tookMs, 99)} ms`],
    [
      'requests',
      `${tally.sent}, ${Math.round(tally.sent / (tally.observedMs / 1_000))} a second, on kept and on new connections`,
    ],
    ['lost', `${tally.failed} (${control.failed} of ${control.sent} without any switch)`],
    ['idle ones closed as used', `${tally.idleClosed} (${control.idleClosed} without any switch)`],
    [
      'a request took',
      `p50 ${Math.round(tally.p50Ms)} ms, p99 ${Math.round(tally.p99Ms)} ms (${Math.round(control.p50Ms)} and ${Math.round(control.p99Ms)} without any switch)`,
    ],
    [
      'open streams',
      `${whole} of ${streams.length} ended where they began; ${tally.streams.cut} of ${tally.streams.ended + tally.streams.cut} others were cut`,
    ],
  ];
  return [
    `\nSwitching there and back, ${name}`,
    ...rows.map(([label, value]) => `  ${label.padEnd(26)} ${value}`),
  ].join('\n');
}

const percentile = (numbers: readonly number[], percent: number): number => {
  const sorted = numbers.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? Number.NaN);
};
