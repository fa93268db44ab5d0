import { expect, onTestFinished } from 'vitest';
import { fleetOf, historySizeOf, type HistorySize } from '../test/support/history-size.js';
import { test } from '../test/support/world.js';

/** Servers in each environment. */
const sizes = [2, 50, 200];

const rows: string[] = [];

test.for(sizes)(
  'what a deployment to one of two environments of %i servers leaves in Temporal',
  async (size, { aWorld }) => {
    const world = await aWorld(fleetOf(size));
    const beganAt = performance.now();
    expect(await world.deploy('v2')).toMatchObject({ kind: 'promoted' });
    const seconds = (performance.now() - beganAt) / 1000;
    rows.push(row(size, await historySizeOf(world.handle()), seconds));
    onTestFinished(() => {
      if (rows.length === sizes.length)
        console.info(['\nA promotion in Temporal, drivers in memory', head, ...rows].join('\n'));
    });
  },
);

const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`;

const columns = (...cells: readonly string[]): string => cells.map((cell) => cell.padStart(12)).join('');

const head = columns(
  'servers',
  'history',
  'per server',
  'events',
  'memo',
  'seconds',
  'longest input / result',
);

function row(size: number, found: HistorySize, seconds: number): string {
  const { events, history, memo, longestInput, longestResult } = found;
  return `${columns(
    `${size} + ${size}`,
    kilobytes(history),
    kilobytes(history / (2 * size)),
    String(events),
    kilobytes(memo),
    seconds.toFixed(1),
  )}   ${longestInput.of} ${kilobytes(longestInput.bytes)} / ${longestResult.of} ${kilobytes(longestResult.bytes)}`;
}
