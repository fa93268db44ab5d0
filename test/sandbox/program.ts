import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A program behind the load balancer, in this process. It answers with its own name. */
export interface Program {
  readonly name: string;
  readonly port: number;
  readonly server: Server;
  /** Connections open now. */
  readonly connections: ReadonlySet<Socket>;
  /** Requests answered so far. */
  readonly requests: () => number;
  stop(): Promise<void>;
}

export async function program(
  name: string,
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) =>
    void response.end(name),
  port = 0,
): Promise<Program> {
  const connections = new Set<Socket>();
  let count = 0;
  const server = createServer((request, response) => {
    count++;
    answer(request, response);
  });
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    name,
    port: (server.address() as AddressInfo).port,
    server,
    connections,
    requests: () => count,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Looks until `holds`, for as long as the test has time. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}
