import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { afterEach, expect, test } from 'vitest';

import { startDataPlane } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { probeOnce } from '../../../sandbox/data-plane/probe.js';
import { program, until } from '../program.js';
import { farm, frontend, probe, server } from './configurations.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

test.each([
  ['default', '', false, 200, 'fine', true],
  ['default', '', false, 302, 'moved', true],
  ['default', '', false, 503, 'ill', false],
  ['status', '200,204', false, 204, '', true],
  ['status', '200', true, 204, '', true],
  ['status', '200', false, 404, '', false],
  ['contains', 'ready', false, 200, 'it is ready', true],
  ['contains', 'ready', true, 200, 'it is ready', false],
  ['matches', '^v\\d+$', false, 200, 'v12', true],
  ['matches', '^v\\d+$', false, 200, 'version', false],
] as const)('%s "%s" (negated: %s) of %i "%s": %s', async (match, pattern, negate, status, body, passed) => {
  const answering = await program('answering', (_, response) => void response.writeHead(status).end(body));
  cleanups.push(() => answering.stop());

  const result = await probeOnce(
    probe({ match, pattern, negate }),
    { address: '127.0.0.1', port: answering.port },
    5000,
  );

  expect(result).toMatchObject({ passed, checkCode: status, checkStatus: passed ? 'L7OK' : 'L7STS' });
});

test('asks as the provider documents: HTTP/1.0, a Host only from the URL', async () => {
  const heard: string[] = [];
  const listening = createServer((socket) => {
    socket.once('data', (chunk) => {
      heard.push(chunk.toString('latin1'));
      socket.end('HTTP/1.0 200 OK\r\n\r\n');
    });
  });
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => new Promise((resolve) => listening.close(resolve)));
  const target = { address: '127.0.0.1', port: (listening.address() as AddressInfo).port };

  await probeOnce(probe({ method: 'OPTIONS', url: '/health' }), target, 5000);
  await probeOnce(probe({ url: 'http://shop.example/health?x=1' }), target, 5000);

  expect(heard).toEqual([
    'OPTIONS /health HTTP/1.0\r\n\r\n',
    'GET /health?x=1 HTTP/1.0\r\nHost: shop.example\r\n\r\n',
  ]);
});

test('tells refused, silent and senseless servers apart', async () => {
  const mute = createServer((socket) => void socket.resume().on('error', () => socket.destroy()));
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  const mutePort = (mute.address() as AddressInfo).port;
  const babbling = createServer((socket) => void socket.resume().end('hello\r\n'));
  await new Promise<void>((resolve) => babbling.listen(0, '127.0.0.1', resolve));
  const at = (port: number) => ({ address: '127.0.0.1', port });
  cleanups.push(() => new Promise((resolve) => babbling.close(resolve)));

  expect(await probeOnce(probe(), at(mutePort), 50)).toMatchObject({ passed: false, checkStatus: 'L7TOUT' });
  expect(await probeOnce(probe({ type: 'tcp' }), at(mutePort), 5000)).toMatchObject({
    passed: true,
    checkStatus: 'L4OK',
  });
  expect(await probeOnce(probe(), at((babbling.address() as AddressInfo).port), 5000)).toMatchObject({
    passed: false,
    checkStatus: 'L7RSP',
  });
  await new Promise((resolve) => mute.close(resolve));
  expect(await probeOnce(probe(), at(mutePort), 5000)).toMatchObject({ passed: false, checkStatus: 'L4CON' });
});

test('only servers that a frontend can reach are probed', async () => {
  const [used, routed, unused] = await Promise.all(['used', 'routed', 'unused'].map((name) => program(name)));
  const dataPlane = startDataPlane({ probeSpeed: 600 });
  cleanups.push(() => dataPlane.close());
  for (const one of [used!, routed!, unused!]) cleanups.push(() => one.stop());
  const probed = (port: number, farmId: number) =>
    farm([server(port, { probe: true }), server(port, { serverId: 1 })], { farmId, probe: probe() });
  const route = { routeId: 1, action: { kind: 'farm', farmId: 11 } as const, rules: [] };
  await dataPlane.apply(16_300, {
    frontends: [frontend({ routes: [route] })],
    farms: [probed(used!.port, 10), probed(routed!.port, 11), probed(unused!.port, 12)],
  });

  await until(() => used!.requests() > 2 && routed!.requests() > 2);

  expect(unused!.requests()).toBe(0);
  expect(dataPlane.serverStates(12, unused!.port)).toEqual([{ instanceId: 16_300, status: 'no check' }]);
  expect(dataPlane.serverStates(10, 1)).toEqual([{ instanceId: 16_300, status: 'no check' }]);
  expect(dataPlane.serverStates(10, used!.port)).toMatchObject([{ status: 'UP', checkCode: 200 }]);
  expect(dataPlane.serverStates(10, 999)).toEqual([]);
});
