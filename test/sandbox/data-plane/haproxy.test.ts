import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Configuration } from '../../../sandbox/data-plane/configuration.js';
import { haproxyConfiguration } from '../../../sandbox/data-plane/haproxy-configuration.js';
import { startHaproxy, type HaproxyOptions } from '../../../sandbox/data-plane/haproxy-data-plane.js';
import { ask, startLoad } from '../load.js';
import { program, until } from '../program.js';
import { farm, frontend, probe, server } from './configurations.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function aHaproxy(options: Partial<HaproxyOptions> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'verdigris-haproxy-'));
  cleanups.push(() => rm(directory, { recursive: true }));
  const haproxy = startHaproxy({ directory, ...options });
  cleanups.push(() => haproxy.close());
  const apply = async (configuration: Configuration) => {
    for (const { instanceId } of haproxy.instances) await haproxy.apply(instanceId, configuration);
  };
  return { haproxy, apply };
}

async function aProgram(...wanted: Parameters<typeof program>) {
  const started = await program(...wanted);
  cleanups.push(() => started.stop());
  return started;
}

const to = (farmId: number, blue: number, green: number): Configuration => ({
  frontends: [
    frontend({ defaultFarmId: farmId }),
    frontend({ frontendId: 2, defaultFarmId: farmId === 10 ? 11 : 10 }),
  ],
  farms: [
    farm([server(blue, { probe: true })], { farmId: 10, probe: probe() }),
    farm([server(green, { probe: true })], { farmId: 11, probe: probe() }),
  ],
});

test('asks in its file what the API says, each word quoted, and only for farms that are reached', () => {
  const rendering = {
    instanceId: 7,
    node: 'n1',
    socket: '/run/s',
    bind: () => '127.0.0.1:80',
    probeSpeed: 60,
  };
  const wanted = probe({ url: 'example.org/health?a=$b', match: 'status', pattern: '200,204', negate: true });
  const text = haproxyConfiguration(
    {
      frontends: [frontend({ httpHeader: ["X-It: it's %ci"] })],
      farms: [farm([server(8080, { probe: true })], { probe: wanted }), farm([], { farmId: 12 })],
    },
    rendering,
  );
  expect(text).toContain(`http-request add-header 'X-It' 'it'\\''s %ci'`);
  expect(text).toContain(`http-check send meth GET uri '/health?a=$b' ver HTTP/1.0 hdr Host 'example.org'`);
  expect(text).toContain('http-check expect ! status 200,204');
  expect(text).not.toContain('farm-12');
  expect(() =>
    haproxyConfiguration({ frontends: [frontend({ redirectLocation: '/x' })], farms: [] }, rendering),
  ).toThrow(/Cannot run frontend "1" in HAProxy/);
});

const isHere = spawnSync('haproxy', ['-v']).status === 0;
if (!isHere && process.env['VERDIGRIS_DEMAND_ALL']) test('HAProxy is here', () => expect(isHere).toBe(true));

describe.skipIf(!isHere)('HAProxy as the data plane', () => {
  test('carries the new configuration from a reload on, and loses nothing over many', async () => {
    const [blue, green] = [await aProgram('blue'), await aProgram('green')];
    const { haproxy, apply } = await aHaproxy();
    await apply(to(10, blue.port, green.port));
    const port = haproxy.portOf(1);
    expect(await ask(port)).toMatchObject({ body: 'blue', headers: { 'x-iplb-instance': '16300' } });
    expect((await ask(haproxy.portOf(2))).body).toBe('green');

    const load = startLoad(port, 2);
    for (const farmId of [11, 10, 11, 10, 11]) await apply(to(farmId, blue.port, green.port));
    const tally = await load.stop();

    expect(tally.failures).toEqual([]);
    expect([...tally.byBody.keys()].toSorted()).toEqual(['blue', 'green']);
    // The worker before may still have answered while it went.
    await until(async () => (await ask(port)).body === 'green');
  });

  test('tells what it thinks of each server, and never that a check is newer than it is', async () => {
    const [blue, green] = [await aProgram('blue'), await aProgram('green')];
    const { haproxy, apply } = await aHaproxy();
    const before = Date.now();
    await apply(to(10, blue.port, green.port));
    expect(haproxy.serverStates(11, green.port)).toMatchObject([{ instanceId: 16_300, status: 'UP' }]);
    const state = (farmId: number, port: number) => haproxy.serverStates(farmId, port)[0];
    await until(async () => (state(11, green.port)?.checkTime ?? 0) > before);
    expect(state(11, green.port)).toMatchObject({ status: 'UP', checkStatus: 'L7OK', checkCode: 200 });

    const stoppedAt = Date.now();
    await green.stop();
    await until(async () => state(11, green.port)?.status === 'DOWN');
    expect(state(11, green.port)).toMatchObject({ checkStatus: 'L4CON' });
    expect(state(10, blue.port)).toMatchObject({ status: 'UP' });
    await until(async () => (state(10, blue.port)?.checkTime ?? 0) > stoppedAt);
    expect(haproxy.serverStates(12, 1)).toEqual([]);
  });

  test('shares its ports between instances', async () => {
    const blue = await aProgram('blue');
    const { haproxy, apply } = await aHaproxy({ zones: ['gra', 'rbx'] });
    await apply(to(10, blue.port, blue.port));
    const seen = new Set<unknown>();
    await until(async () => {
      seen.add((await ask(haproxy.portOf(1))).headers['x-iplb-instance']);
      return seen.size === 2;
    });
  });
});
