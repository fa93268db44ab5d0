import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ProcessWatch, type ProcessWatchOrder } from '../../activities/process-watch.js';
import { Failure } from '../../domain/failures.js';
import type { WatchedLook } from '../../domain/health.js';
import { Digest, ServerName } from '../../domain/names.js';
import { endless, type Patience } from '../../drivers/patience.js';
import type { ServerDriver } from '../../drivers/servers/driver.js';

const program = Digest('a'.repeat(64));
const proved = { active: true, pid: 7, startedAtUs: 1_000, restarts: 0, words: 'active (running)' };
const well: WatchedLook = { ...proved, program, coreDumps: 0 };
const lost = new Failure('ServerUnreachable', 'Cannot watch "green-1": the connection was lost\nand more');

let watch: ProcessWatch;
let given: Command[];

/** One streaming command, as the test speaks in its place. */
class Command {
  readonly #looks: WatchedLook[] = [];
  #end: { readonly error?: Error } | undefined;

  tell(look: WatchedLook): void {
    this.#looks.push(look);
  }

  end(error?: Error): void {
    this.#end = error ? { error } : {};
  }

  async *answers({ signal }: Patience): AsyncIterable<WatchedLook> {
    for (;;) {
      const look = this.#looks.shift();
      if (look) yield look;
      else if (this.#end?.error) throw this.#end.error;
      else if (this.#end) return;
      else await new Promise((resolve) => setTimeout(resolve, 1));
      signal.throwIfAborted();
    }
  }
}

function watching(order: Partial<ProcessWatchOrder> = {}): void {
  const driver = {
    server: { name: ServerName('green-1') },
    watch(_everyMs: number, patience: Patience) {
      const command = new Command();
      given.push(command);
      return command.answers(patience);
    },
  } as Partial<ServerDriver> as ServerDriver;
  watch = new ProcessWatch(
    driver,
    {
      everyMs: 1,
      program,
      process: proved,
      forLeaks: true,
      before: { ms: 0, because: 'it has not answered yet', seenAtMs: Date.now() },
      ...order,
    },
    endless,
  );
}

/** The command that was given last, once there are as many. */
const command = (number: number): Promise<Command> =>
  vi.waitUntil(() => given[number - 1], { interval: 1, timeout: 30_000 }) as Promise<Command>;

const pass = (ms: number): void => void vi.setSystemTime(Date.now() + ms);

beforeEach(() => {
  given = [];
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(async () => {
  await watch.end();
  vi.useRealTimers();
});

test('finds nothing wrong with the process that proved itself', async () => {
  watching();
  expect(watch.sees).toBe(false);
  (await command(1)).tell(well);
  await vi.waitUntil(() => watch.sees);
  expect(watch.illness()).toBeUndefined();
  expect(watch.unwatched.ms).toBe(0);
});

test.each([
  [
    'a process that ended',
    { active: false, pid: 0, words: 'failed (failed)' },
    'the program has ended (failed (failed))',
  ],
  ['a restart by systemd', { pid: 8, restarts: 1 }, 'the program was restarted 1 times by systemd'],
  ['another process', { pid: 8 }, 'another process runs (pid 8, was 7)'],
  ['another program', { program: Digest('b'.repeat(64)) }, 'it runs another program (bbbbbbbbbbbb)'],
  ['a core dump of a child', { coreDumps: 1 }, 'a process of it has dumped core once since it was started'],
])('finds %s', async (_, change, illness) => {
  watching();
  (await command(1)).tell({ ...well, ...change });
  await vi.waitUntil(() => watch.sees);
  expect(watch.illness()).toContain(illness);
});

test('takes a process that has proved nothing as it is found, with the core dumps that it has', async () => {
  watching({ process: undefined });
  const stream = await command(1);
  stream.tell({ ...well, pid: 9, coreDumps: 2 });
  await vi.waitUntil(() => watch.sees);
  expect(watch.illness()).toBeUndefined();
  stream.tell({ ...well, pid: 9, coreDumps: 3 });
  await vi.waitUntil(() => watch.illness() !== undefined);
});

test.each([
  ['fails', lost],
  ['ends by itself', undefined],
])('gives a command that %s again, and finds what happened meanwhile', async (_, error) => {
  watching();
  const first = await command(1);
  first.tell(well);
  await vi.waitUntil(() => watch.sees);
  first.end(error);
  (await command(2)).tell({ ...well, pid: 8 });
  await vi.waitUntil(() => watch.illness() !== undefined);
  expect(watch.illness()).toContain('another process runs');
});

test('goes on to watch for growth over a link that breaks again and again', async () => {
  watching();
  for (let look = 0; look < 24; look++) {
    const stream = await command(look + 1);
    pass(9_000);
    const holds = {
      descriptors: 20 + 20 * look,
      descriptorLimit: 1_024,
      residentKilobytes: 1_000,
      memoryKilobytes: 1e6,
    };
    stream.tell({ ...well, holds });
    stream.end(lost);
  }
  await command(25);
  expect(watch.illness()).toContain('open descriptors grow without end');
});

test('tells for how long it saw nothing, and why, and what is open counts', async () => {
  watching();
  const first = await command(1);
  first.tell(well);
  await vi.waitUntil(() => watch.sees);
  first.end(lost);
  const second = await command(2);
  pass(60_000);
  expect(watch.sees).toBe(false);
  expect(watch.illness()).toBeUndefined();
  expect(watch.unwatched).toEqual({ server: 'green-1', ms: expect.any(Number), because: lost.message });
  expect(watch.unwatched.ms).toBeGreaterThanOrEqual(60_000);
  second.tell(well);
  await vi.waitUntil(() => watch.sees);
  const told = watch.unwatched.ms;
  expect(told).toBeGreaterThanOrEqual(60_000);
  pass(5_000);
  expect(watch.unwatched.ms).toBe(told);
});

test('counts what an earlier worker did not see, and the time since it was lost', async () => {
  watching({ before: { ms: 5_000, because: 'the worker was lost', seenAtMs: Date.now() - 30_000 } });
  expect(watch.unwatched).toMatchObject({ server: 'green-1', because: 'the worker was lost' });
  expect(watch.unwatched.ms).toBeGreaterThanOrEqual(35_000);
});

test('calls a look that is late on a busy machine no gap', async () => {
  watching();
  (await command(1)).tell(well);
  await vi.waitUntil(() => watch.sees);
  pass(9_000);
  expect(watch.unwatched.ms).toBe(0);
});

test('does not go on over a mistake of its own', async () => {
  watching();
  (await command(1)).end(new TypeError('a mistake'));
  await vi.waitUntil(() => {
    try {
      watch.illness();
      return false;
    } catch (error) {
      return (error as Error).message === 'a mistake';
    }
  });
});
