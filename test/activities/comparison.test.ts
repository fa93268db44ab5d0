import { expect, test } from 'vitest';
import { compareEnvironments } from '../../activities/comparison.js';
import { Failure } from '../../domain/failures.js';
import type { Sample } from '../../domain/health.js';
import { ServerName } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';

const service = {
  environments: {
    blue: [{ name: ServerName('blue-1') }, { name: ServerName('blue-2') }],
    green: [{ name: ServerName('green-1') }],
  },
  health: { path: '/health', status: 200, timeoutMs: 1 },
  prober: { path: '/' },
} as unknown as Service;

const good: Sample = { kind: 'answered', status: 200, tookMs: 1 };

/** Compares where blue-1 cannot be asked for so many times, and tells how often each server was. */
async function compare(timesLost: number) {
  const asked: Record<string, number> = { 'blue-1': 0, 'blue-2': 0, 'green-1': 0 };
  const probe = async (name: string) => {
    const times = (asked[name] = (asked[name] ?? 0) + 1);
    await new Promise(setImmediate);
    if (name === 'blue-1' && times <= timesLost)
      throw new Failure('ServerUnreachable', 'Cannot probe "blue-1": it does not answer');
    return good;
  };
  const drivers = { server: (_: Service, name: string) => ({ probe: () => probe(name) }) } as never;
  const samples = await compareEnvironments(
    drivers,
    { service, except: [] },
    { signal: new AbortController().signal, progress: () => undefined },
  );
  const count = (kind: Sample['kind']) => samples.blue.filter((sample) => sample.kind === kind).length;
  return { asked, samples, silent: count('silent'), answered: count('answered') };
}

test('a server that cannot be asked is given up, and all its answers are missing', async () => {
  const { asked, samples, silent, answered } = await compare(Infinity);
  expect({ silent, answered }).toEqual({ silent: 15, answered: 15 });
  // Three at a time, and once more: not all fifteen, each of which would take as long as a connection may.
  expect(asked['blue-1']).toBeLessThanOrEqual(6);
  expect([asked['blue-2'], asked['green-1']]).toEqual([15, 30]);
  expect(samples.blue[0]).toEqual({ kind: 'silent', because: 'Cannot probe "blue-1": it does not answer' });
});

test('one that is lost for a moment is asked on', async () => {
  const { asked, silent, answered } = await compare(3);
  expect({ silent, answered }).toEqual({ silent: 3, answered: 27 });
  expect(asked['blue-1']).toBe(15);
});
