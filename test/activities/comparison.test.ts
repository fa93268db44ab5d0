import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { compareEnvironments } from '../../activities/comparison.js';
import { Failure } from '../../domain/failures.js';
import type { Sample } from '../../domain/health.js';
import { ServerName } from '../../domain/names.js';
import type { Server, Service } from '../../domain/service.js';
import type { Drivers } from '../../drivers/drivers.js';
import { endless, type Patience } from '../../drivers/patience.js';

const names = (color: 'blue' | 'green', size: number): readonly Server[] =>
  Array.from({ length: size }, (_, index) => ({
    name: ServerName(`${color}-${index + 1}`),
    color,
  })) as unknown as readonly Server[];

const serviceOf = (size: number): Service =>
  ({
    environments: { blue: names('blue', size), green: names('green', size) },
    health: { path: '/health', status: 200, timeoutMs: 1_000 },
    prober: { path: '/' },
  }) as unknown as Service;

const answered: Sample = { kind: 'answered', status: 200, tookMs: 1 };
const mute: Sample = { kind: 'silent', because: 'no answer within 1000 ms' };

/** As a machine answers that is frozen: not before it is given up. */
const frozen = ({ signal }: Patience): Promise<never> =>
  new Promise((_, reject) => {
    signal.throwIfAborted();
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });

/** Told a moment later, so that those asked at the same time have shared the try. */
async function refused(): Promise<never> {
  await new Promise(setImmediate);
  throw new Failure('ServerUnreachable', 'it refuses connections\n  see how it is');
}

let asked: string[];

async function compare(
  size: number,
  answer: (server: string, patience: Patience) => Promise<Sample>,
  patience: Patience = endless,
) {
  const drivers = {
    server: (_service: Service, name: ServerName) => ({
      server: { name },
      probe: (_question: unknown, patient: Patience) => {
        asked.push(name);
        return answer(name, patient);
      },
    }),
  } as unknown as Drivers;
  return compareEnvironments(drivers, { service: serviceOf(size), except: [] }, patience);
}

const times = (server: string): number => asked.filter((name) => name === server).length;

beforeEach(() => {
  asked = [];
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => void vi.useRealTimers());

describe('the comparison of both environments', () => {
  test.each([1, 2, 7, 40])('asks each of %i servers its share of thirty questions', async (size) => {
    const { blue, green } = await compare(size, () => Promise.resolve(answered));
    expect([blue, green]).toEqual([Array(30).fill(answered), Array(30).fill(answered)]);
    const counts = names('green', Math.min(size, 30)).map(({ name }) => times(name));
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });

  test('asks a server that cannot be reached once more only, and it counts as silent as often as the others were asked', async () => {
    const { green } = await compare(10, (server) =>
      server === 'green-1' ? refused() : Promise.resolve(answered),
    );
    expect(times('green-1')).toBe(2);
    expect(green.filter((sample) => sample !== answered)).toEqual(
      Array(3).fill({ kind: 'silent', because: 'it refuses connections' }),
    );
  });

  test('asks one on that is lost for a moment', async () => {
    const { green } = await compare(2, (server) =>
      server === 'green-1' && times(server) <= 3 ? refused() : Promise.resolve(answered),
    );
    expect(times('green-1')).toBe(15);
    expect(green.filter((sample) => sample !== answered)).toHaveLength(3);
  });

  test('gives frozen machines up side by side, all in the time of one', async () => {
    const comparing = compare(10, (_, patience) => frozen(patience));
    await vi.advanceTimersByTimeAsync(10_999);
    expect(new Set(asked).size).toBe(20);
    await vi.advanceTimersByTimeAsync(1);
    const { blue, green } = await comparing;
    expect(asked).toHaveLength(20);
    expect(blue).toHaveLength(30);
    expect(green[0]).toEqual({ kind: 'silent', because: 'green-1 was not reached within 11 s' });
  });

  test('asks one that never answers three times, and one that answers at times to the end', async () => {
    await compare(6, (server) =>
      Promise.resolve(
        server === 'green-1' || (server === 'green-2' && times(server) % 2 === 0) ? mute : answered,
      ),
    );
    expect([times('green-1'), times('green-2')]).toEqual([3, 5]);
  });

  test('ends with whoever waits for it', async () => {
    const ending = new AbortController();
    const comparing = compare(1, (_, patience) => frozen(patience), {
      signal: ending.signal,
      progress: () => undefined,
    });
    ending.abort(new Error('the step was cancelled'));
    await expect(comparing).rejects.toThrow('the step was cancelled');
  });
});
