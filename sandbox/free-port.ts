import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ports that the kernel gives to outgoing connections (from 32768): one of those could take a port between the
 * moment that it was found free and the moment that its program binds it.
 */
const range = { first: 15_000, last: 32_767 } as const;

/** Ports are shared out in blocks. Whoever holds the first port of one has all of it, as long as its process lives. */
const blockSize = 32;
const blocks = Math.floor((range.last + 1 - range.first) / blockSize);

/** Of this process, and not given out yet. */
const left: number[] = [];
let more: Promise<void> | undefined;

/**
 * A port of 127.0.0.1 that nobody used a moment ago, and that no other process here is given, however late its program binds it.
 * Another program may still take it: whoever binds it must be ready to find it taken.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = left.pop();
    if (port === undefined) await (more ??= takeBlock());
    else if (await isFree(port)) return port;
  }
}

async function takeBlock(): Promise<void> {
  try {
    left.push(...(await aBlock()));
  } finally {
    more = undefined;
  }
}

async function aBlock(): Promise<readonly number[]> {
  for (let tried = 0, block = randomInt(blocks); tried < blocks; tried += 1, block = (block + 1) % blocks) {
    const first = range.first + block * blockSize;
    if (await hold(first)) return Array.from({ length: blockSize - 1 }, (_, index) => first + 1 + index);
  }
  throw new Error(
    `Cannot find a free port: all ${blocks} blocks from ${range.first} on are held, needs programs to end`,
  );
}

/** Holds it until this process ends, without keeping that from ending; false where somebody has it. */
const hold = (port: number): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const holder = createServer((connection) => connection.destroy()).unref();
    holder.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    holder.listen(port, '127.0.0.1', () => resolve(true));
  });

export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
