import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A stretch of network in front of a port on loopback, which can be cut for whoever goes through it. */
export interface Relay {
  readonly url: string;
  /** Where it leads from now on. */
  lead(port: number): void;
  /** Refuses new connections and drops those that are open, until it is healed. */
  cut(isCut: boolean): void;
  close(): Promise<void>;
}

export async function startRelay(): Promise<Relay> {
  const sockets = new Set<Socket>();
  let target = 0;
  let isCut = false;
  const track = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  };
  const dropAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer({ allowHalfOpen: true }, (near) => {
    track(near);
    if (isCut) return void near.destroy();
    const far = track(connect({ host: '127.0.0.1', port: target, allowHalfOpen: true }));
    near.pipe(far).pipe(near);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lead: (port) => void (target = port),
    cut(cut) {
      isCut = cut;
      if (cut) dropAll();
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      dropAll();
      await closed;
    },
  };
}
