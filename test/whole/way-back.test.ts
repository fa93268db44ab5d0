import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, vi } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { lost, test, underLoad, type RunningSandbox } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

describe('verdigris rollback', () => {
  test('takes a promoted release back, and an open deployment too, without losing a request', async ({
    aSandbox,
  }) => {
    const running = await aSandbox();
    const before = await running.fingerprint('blue');
    const { tally } = await underLoad(running, async () => {
      await running.promote('2.0.0');
      expect(await running.verdigris(['rollback', '--reason', 'a try'])).toMatchObject({
        exitCode: 0,
        output: expect.stringMatching(/blue is live/),
      });
      expect(await running.servedBy()).toBe('1.0.0');

      const handle = await running.start(await running.build('3.0.0'), '3.0.0');
      await running.untilStage('approve');
      expect(await running.verdigris(['rollback'])).toMatchObject({ exitCode: 0 });
      expect((await handle.result()) as Outcome).toMatchObject({ kind: 'rolled back', live: 'blue' });
    });

    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(running.refreshes()).toBe(2);
    expect(await running.fingerprint('blue')).toEqual(before);
    // The second deployment was put over 2.0.0, which therefore runs again.
    expect(await versionsOn(running, 'green')).toEqual(['2.0.0', '2.0.0']);
  });
});

describe('verdigris adopt', () => {
  test('takes over what runs by hand without a restart, and puts it back from its own files when undone', async ({
    aSandbox,
  }) => {
    const running = await aSandbox();
    const { tally } = await underLoad(running, async () => {
      await running.promote('2.0.0');
      const pids = running.pids('blue');
      const refused = await running.start(await running.build('3.0.0'), '3.0.0');
      expect((await refused.result()) as Outcome).toMatchObject({
        kind: 'refused',
        complaints: expect.arrayContaining([
          { failure: 'ForeignRelease', message: expect.stringMatching(/"blue-1"(.|\n)*verdigris adopt/) },
        ]),
      });

      expect(await running.verdigris(['adopt'])).toMatchObject({ exitCode: 0 });
      expect(running.pids('blue')).toEqual(pids);

      const handle = await running.start(await running.build('3.0.0'), '3.0.0');
      await running.untilStage('approve');
      expect(await versionsOn(running, 'blue')).toEqual(['3.0.0', '3.0.0']);
      await running.send('reject', { by: 'ann' });
      expect((await handle.result()) as Outcome).toMatchObject({ kind: 'rejected', live: 'green' });
    });

    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(await versionsOn(running, 'blue')).toEqual(['1.0.0', '1.0.0']);
    for (const [index, { directory }] of running.servers('blue').entries()) {
      const pid = running.pids('blue')[index];
      expect(await readlink(`/proc/${pid}/exe`)).toBe(join(directory, 'greeter'));
    }
  });
});

/** What the programs themselves say, past the load balancer. */
const versionsOn = (running: RunningSandbox, color: 'blue' | 'green') =>
  Promise.all(
    running.servers(color).map(async ({ port }) => {
      const { headers } = await fetch(`http://127.0.0.1:${port}/version`, {
        headers: { connection: 'close' },
      });
      return headers.get('x-greeter-version');
    }),
  );
