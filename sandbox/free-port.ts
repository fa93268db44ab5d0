import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ports that the kernel gives to outgoing connections (from 32768): one of those could take a port between the
 * moment that it was found free and the moment that its program binds it.
 */
const range = { first: 15_000, last: 32_767 } as const;

/** Nobody has bound them yet, perhaps. */
const given = new Set<number>();

/** A port of 127.0.0.1 that nobody used a moment ago; whoever binds it must be ready to find it taken. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(range.first, range.last + 1);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
