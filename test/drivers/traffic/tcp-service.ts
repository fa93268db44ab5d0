import * as net from 'node:net';
import * as tls from 'node:tls';

/** One request as it arrived, and the connection to answer on. */
export interface Arrival {
  readonly socket: net.Socket;
  /** Counts from 1 on its connection. */
  readonly nth: number;
  readonly path: string;
}

export interface TcpService {
  readonly url: string;
  /** Requests that arrived so far. */
  readonly arrivals: readonly Arrival[];
  readonly connections: number;
  close(): Promise<void>;
}

export const response = (status: number, body = 'ok', headers = ''): string =>
  `HTTP/1.1 ${status} X\r\ncontent-length: ${body.length}\r\n${headers}\r\n${body}`;

/** A service on loopback whose every byte is the test's choice: it splits requests, `answer` does the rest. */
export async function aTcpService(
  answer: (arrival: Arrival) => void,
  secure?: { readonly key: string; readonly cert: string },
): Promise<TcpService> {
  const arrivals: Arrival[] = [];
  const sockets = new Set<net.Socket>();
  let connections = 0;

  const accept = (socket: net.Socket) => {
    connections++;
    sockets.add(socket);
    let nth = 0;
    let buffered = '';
    socket.on('data', (chunk) => {
      buffered += chunk.toString('latin1');
      for (let end = buffered.indexOf('\r\n\r\n'); end >= 0; end = buffered.indexOf('\r\n\r\n')) {
        const arrival = { socket, nth: ++nth, path: buffered.split(' ')[1] ?? '' };
        buffered = buffered.slice(end + 4);
        arrivals.push(arrival);
        answer(arrival);
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };

  const server = secure ? tls.createServer(secure, accept) : net.createServer(accept);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    url: `${secure ? 'https' : 'http'}://127.0.0.1:${port}`,
    arrivals,
    get connections() {
      return connections;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
