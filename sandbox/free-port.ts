import { createServer } from 'node:net';

/** A port of 127.0.0.1 that nobody used a moment ago; whoever binds it must be ready to find it taken. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address !== null && typeof address === 'object'
          ? resolve(address.port)
          : reject(new Error('Cannot find a free port: the listener has no address')),
      );
    });
  });
