import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { colors, type Color } from '../../../domain/color.js';
import { SecretName, ServerName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { OvhIplbSettings, Server } from '../../../domain/service.js';
import { allTo } from '../../../domain/split.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { endless } from '../../../drivers/patience.js';
import { createOvhApi, type OvhApi, type OvhClient } from '../../../ovh/api.js';
import { provision } from '../../../sandbox/control-panel.js';
import { startHaproxy } from '../../../sandbox/data-plane/haproxy-data-plane.js';
import { startOvhApi, type OvhApi as Emulator } from '../../../sandbox/ovh-api/ovh-api.js';
import { ask } from '../../sandbox/load.js';
import { program, until, type Program } from '../../sandbox/program.js';
import { paced } from './faulty-world.js';

const isHere = spawnSync('haproxy', ['-v']).status === 0;

/** A sample of what drivers promise, told by the answers of programs behind a real load balancer. */
describe.skipIf(!isHere && !process.env['VERDIGRIS_DEMAND_ALL'])(
  'an OVHcloud Load Balancer that is HAProxy',
  () => {
    let directory: string;
    let haproxy: ReturnType<typeof startHaproxy>;
    let emulator: Emulator;
    let client: OvhClient;
    let programs: Readonly<Record<Color, Program>>;
    let driverOver: (api: OvhApi) => LoadBalancerDriver;
    let port: number;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'verdigris-haproxy-sample-'));
      programs = { blue: await program('blue'), green: await program('green') };
      haproxy = startHaproxy({ directory });
      emulator = await startOvhApi({ dataPlane: haproxy, behaviour: { todoMs: 0, doingMs: 0 } });
      const servers = colors.map((color) => aServer(color, programs[color].port));
      const ids = await provision(emulator, servers.map(placeOf));
      const unused = { secret: SecretName('unused') };
      const settings: OvhIplbSettings = {
        driver: 'ovh-iplb',
        api: {
          endpoint: emulator.url,
          applicationKey: unused,
          applicationSecret: unused,
          consumerKey: unused,
        },
        serviceName: emulator.serviceName,
        protocol: 'http',
        frontends: [ids.frontend],
        stagingFrontend: ids.stagingFrontend,
        farms: ids.farms,
        refreshDeadlineMs: 60_000,
      };
      const { applicationKey, applicationSecret, consumerKey } = emulator.credentials;
      client = createOvhApi({
        endpoint: emulator.url,
        caFile: emulator.caFile,
        keys: {
          applicationKey: new Secret(applicationKey),
          applicationSecret: new Secret(applicationSecret),
          consumerKey: new Secret(consumerKey),
        },
        rate: { perSecond: 1_000, burst: 1_000 },
      });
      driverOver = (api) => createOvhIplb({ api, settings, servers });
      port = haproxy.portOf(ids.frontend);
    });
    afterAll(async () => {
      client.close();
      await emulator.close();
      await haproxy.close();
      for (const color of colors) await programs[color].stop();
      await rm(directory, { recursive: true });
    });

    const route = (to: Color, api: OvhApi = client) =>
      driverOver(api).route(
        { to: allTo(to), expected: undefined, purpose: 'rollback', leaveOut: [] },
        endless,
      );
    // The worker before may still answer while it goes.
    const untilAllAnswer = (color: Color) =>
      until(async () => {
        const answers = await Promise.all(Array.from({ length: 4 }, () => ask(port)));
        return answers.every(({ body }) => body === color);
      });

    test('moves all traffic there and back, and says what is live', async () => {
      for (const color of ['green', 'blue'] as const) {
        expect(await route(color)).toMatchObject({ changed: true });
        await untilAllAnswer(color);
        expect((await driverOver(client).observe(endless)).traffic).toEqual({
          kind: 'split',
          split: allTo(color),
        });
      }
    });

    test('sees servers up only once HAProxy has looked at them', async () => {
      const states = async () =>
        (await driverOver(client).observe(endless)).backends.map(({ state }) => state);
      await until(async () => (await states()).every((state) => state === 'up'));
    });

    test('ends in the asked traffic after a crash behind each write and the call that follows', async () => {
      for (let writes = 0; writes < 4; writes++) {
        const from: Color = writes % 2 === 0 ? 'blue' : 'green';
        const to: Color = from === 'blue' ? 'green' : 'blue';
        let written = 0;
        const dying = paced(client, async (_nth, isWrite) => {
          if (written > writes) throw new Error('killed');
          if (isWrite) written++;
        });
        const [ended] = await Promise.allSettled([route(to, dying)]);
        if (ended.status === 'rejected') expect(String(ended.reason)).toContain('killed');
        await route(to);
        await untilAllAnswer(to);
      }
    });
  },
);

const aServer = (color: Color, port: number): Server => ({
  name: ServerName(`${color}-1`),
  color,
  address: '127.0.0.1',
  port,
  unit: 'greeter.service',
  directory: '/srv/greeter',
  probe: { address: '127.0.0.1', port },
  connection: { driver: 'in-memory', world: 'servers' },
});

const placeOf = ({ name, color, address, port, directory }: Server) => ({
  name,
  color,
  address,
  port,
  directory,
  hostKey: '',
  ssh: { host: address, port: 22 },
});
