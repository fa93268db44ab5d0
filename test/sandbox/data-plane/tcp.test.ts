import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

import { afterEach, expect, test } from 'vitest';

import type { Configuration } from '../../../sandbox/data-plane/configuration.js';
import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { until } from '../program.js';
import { farm, frontend, probe, server } from './configurations.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** Says its name first, then echoes. */
async function anEcho(name: string) {
  const sockets = new Set<Socket>();
  const listening = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    socket.write(`${name}:`);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const { port } = listening.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    const closed = new Promise((resolve) => listening.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  cleanups.push(stop);
  return { port, sockets, stop };
}

/** A client that collects what it hears. */
function aClient(port: number) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const client = { socket, heard: '', closed: false };
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => (client.heard += chunk));
  socket.on('error', () => socket.destroy());
  socket.once('end', () => (client.closed = true));
  socket.once('close', () => (client.closed = true));
  cleanups.push(async () => socket.destroy());
  return client;
}

const tcp = (servers: Parameters<typeof farm>[0], more: Parameters<typeof farm>[1] = {}): Configuration => ({
  frontends: [frontend({ protocol: 'tcp' })],
  farms: [farm(servers, { protocol: 'tcp', ...more })],
});

async function aDataPlane(configuration: Configuration) {
  const dataPlane = startDataPlane({ retryDelayMs: 10, probeSpeed: 600 });
  cleanups.push(() => dataPlane.close());
  const apply = (next: Configuration) => dataPlane.apply(16_300, next);
  await apply(configuration);
  return { dataPlane, apply, port: dataPlane.portOf(1) };
}

test('carries both directions, and a half-closed connection to its end', async () => {
  const echo = await anEcho('echo');
  const { port } = await aDataPlane(tcp([server(echo.port)]));
  const client = aClient(port);

  client.socket.end('question');

  await until(() => client.closed || client.heard === 'echo:question');
  expect(client.heard).toBe('echo:question');
});

test('leaves open connections on the old environment and sends new ones to the new', async () => {
  const [blue, green] = [await anEcho('blue'), await anEcho('green')];
  const { port, apply, dataPlane } = await aDataPlane(tcp([server(blue.port)]));
  const old = aClient(port);
  await until(() => old.heard === 'blue:');

  await apply(tcp([server(green.port)]));
  const young = aClient(port);
  await until(() => young.heard === 'green:');
  old.socket.write('still here');

  await until(() => old.heard === 'blue:still here');
  expect(dataPlane.loadOn(blue.port).open).toBe(1);
});

test('tries another server when one refuses, and closes when none is left', async () => {
  const [gone, good] = [await anEcho('gone'), await anEcho('good')];
  await gone.stop();
  const { port, apply } = await aDataPlane(tcp([server(gone.port), server(good.port)]));
  for (let count = 0; count < 4; count++) {
    const client = aClient(port);
    await until(() => client.heard === 'good:');
  }

  await apply(tcp([server(gone.port)]));
  const refused = aClient(port);
  await until(() => refused.closed);

  expect(refused.heard).toBe('');
});

test('cuts what runs on a server that goes down, where the server asks for it', async () => {
  const echo = await anEcho('echo');
  const { port } = await aDataPlane(
    tcp([server(echo.port, { probe: true, cutWhenDown: true })], { probe: probe({ type: 'http' }) }),
  );

  const client = aClient(port);

  // The echo is no HTTP server: its probes fail.
  await until(() => client.closed);
});
