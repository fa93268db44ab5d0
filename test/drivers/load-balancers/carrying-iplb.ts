import { onTestFinished } from 'vitest';
import { proveTraffic, type TrafficProved } from '../../../activities/public-proof.js';
import { colors, otherColor, type Color } from '../../../domain/color.js';
import type { LoadBalancerObservation } from '../../../domain/observation.js';
import type { OvhIplbSettings, Service, TestersMark } from '../../../domain/service.js';
import type { Split } from '../../../domain/split.js';
import type { LoadBalancerDriver, RouteChange, RouteReport } from '../../../drivers/load-balancers/driver.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { ruleFor } from '../../../drivers/load-balancers/ovh-iplb/routes.js';
import { endless } from '../../../drivers/patience.js';
import { createHttpProber } from '../../../drivers/traffic/http.js';
import type { OvhApi, OvhClient } from '../../../ovh/api.js';
import type { JsonObject } from '../../../sandbox/ovh-api/json.js';
import { startOvhApi, type OvhApi as Emulator } from '../../../sandbox/ovh-api/ovh-api.js';
import { ask, type HttpAnswer } from '../../sandbox/load.js';
import { program, type Program } from '../../sandbox/program.js';
import { transportTo } from '../../support/in-process.js';
import { apiSettingsOf, aServer, apiOf } from './emulation.js';
import type { CarryingDataPlane } from './switching-under-load.js';

/** A program that tells its environment as a body, and its own name too. It keeps who asks for `/slowly` waiting. */
interface Held extends Program {
  readonly color: Color;
  /** Answers that wait to be ended. */
  readonly waiting: (() => void)[];
}

export interface CarryingIplb {
  readonly programs: Readonly<Record<Color, readonly Held[]>>;
  readonly emulator: Emulator;
  readonly driver: LoadBalancerDriver;
  readonly api: OvhClient;
  driverOver(api: OvhApi): LoadBalancerDriver;
  readonly settings: OvhIplbSettings;
  /** Where the world comes in. */
  readonly port: number;
  observe(): Promise<LoadBalancerObservation>;
  route(to: Split, more?: Partial<RouteChange>): Promise<RouteReport>;
  /** One request from the world. */
  ask(as?: Asking): Promise<HttpAnswer>;
  /** Who answers so many requests, and how often. */
  answers(count: number, as?: Asking): Promise<Readonly<Record<string, number>>>;
  /** As a deployment proves a switch. */
  prove(color: Color, deadlineMs: number, patience?: typeof endless): Promise<TrafficProved>;
}

type Asking = NonNullable<Parameters<typeof ask>[1]>;

export interface Equipment {
  readonly mark?: TestersMark;
  /** How the mixed farm holds on to clients; as the farms of blue and green do. */
  readonly stickiness?: 'cookie' | 'sourceIp';
  /** Servers of each environment. Default: one. */
  readonly each?: number;
}

/**
 * Two real programs behind an emulated load balancer that really carries what is published, with a mixed farm, backups and a route
 * for testers. Closed when the test ends.
 */
export async function aCarryingIplb(
  dataPlane: CarryingDataPlane,
  { mark = { kind: 'header', name: 'X-Preview', value: 'please' }, stickiness, each = 1 }: Equipment = {},
): Promise<CarryingIplb> {
  const several = (color: Color) =>
    Promise.all(Array.from({ length: each }, (_, index) => held(color, `${color}-${index + 1}`)));
  const programs = { blue: await several('blue'), green: await several('green') };
  const all = [...programs.blue, ...programs.green];
  const emulator = await startOvhApi({ dataPlane, behaviour: { todoMs: 0, doingMs: 0 } });
  const create = async (path: string, body: JsonObject, idField: string): Promise<number> => {
    const full = `/ipLoadbalancing/${emulator.serviceName}/http/${path}`;
    const made = await emulator.admin.editAsSomebodyElse('POST', full, body);
    return (made as Record<string, number>)[idField] ?? 0;
  };
  const probe = { type: 'http', method: 'GET', url: '/', interval: 30 };
  const farm = { zone: 'all', port: 80, balance: 'roundrobin', probe, ...(stickiness ? { stickiness } : {}) };
  const aFarm = () => create('farm', farm, 'farmId');
  const place = (port: number, where: number, more: JsonObject = {}) =>
    create(
      `farm/${where}/server`,
      { address: '127.0.0.1', port, status: 'active', probe: true, ...more },
      'serverId',
    );
  const aFrontend = (port: string, defaultFarmId: number) =>
    create('frontend', { zone: 'all', port, defaultFarmId }, 'frontendId');

  const farms = { blue: await aFarm(), green: await aFarm() };
  const mixedFarm = await aFarm();
  for (const { color, port } of all) {
    await place(port, farms[color]);
    await place(port, mixedFarm);
    await place(port, farms[otherColor(color)], { backup: true, status: 'inactive' });
  }
  const frontend = await aFrontend('80', farms.blue);
  const action = { type: 'farm', target: String(farms.blue) };
  const route = await create('route', { frontendId: frontend, action }, 'routeId');
  await create(`route/${route}/rule`, { ...ruleFor(mark) }, 'ruleId');
  const settings: OvhIplbSettings = {
    driver: 'ovh-iplb',
    api: apiSettingsOf(emulator),
    serviceName: emulator.serviceName,
    protocol: 'http',
    frontends: [frontend],
    stagingFrontend: await aFrontend('8888', farms.green),
    farms,
    mixed: { farm: mixedFarm, stagingFrontend: await aFrontend('8889', mixedFarm) },
    fallback: 'old-environment',
    testers: { route, by: mark },
    refreshDeadlineMs: 30_000,
  };
  const api = apiOf(emulator, {
    rate: { perSecond: 10_000, burst: 10_000 },
    transport: transportTo(emulator),
  });
  const servers = colors.flatMap((color) =>
    programs[color].map(({ port }, index) => aServer(color, port, index + 1)),
  );
  const driverOver = (over: OvhApi) => createOvhIplb({ api: over, settings, servers });
  const driver = driverOver(api);
  onTestFinished(async () => {
    api.close();
    await emulator.close();
    await dataPlane.close();
    await Promise.all(all.map((one) => one.stop()));
  });
  await emulator.admin.refreshAsSomebodyElse();
  const observe = () => driver.observe(endless);
  await observe();
  const port = dataPlane.portOf(frontend);
  return {
    programs,
    emulator,
    driver,
    api,
    driverOver,
    settings,
    port,
    observe,
    ask: (as) => ask(port, as),
    async route(to, more) {
      const { objects } = await observe();
      return driver.route({ to, expected: objects, purpose: 'forward', leaveOut: [], ...more }, endless);
    },
    async answers(count, as) {
      const seen: Record<string, number> = {};
      for (let asked = 0; asked < count; asked++) {
        const { body } = await ask(port, as);
        seen[body] = (seen[body] ?? 0) + 1;
      }
      return seen;
    },
    prove: (color, deadlineMs, patience = endless) =>
      proveTraffic(
        { prober: createHttpProber() },
        {
          service: serviceAt(port),
          color,
          identities: [color],
          others: [otherColor(color)],
          deadlineMs,
        },
        patience,
      ),
  };
}

async function held(color: Color, name: string): Promise<Held> {
  const waiting: (() => void)[] = [];
  const started = await program(name, ({ url }, response) => {
    response.setHeader('X-Version', color).setHeader('X-Server', name);
    if (url === '/slowly') waiting.push(() => response.end(color));
    else response.end(color);
  });
  return { ...started, color, waiting };
}

const serviceAt = (port: number): Service =>
  ({
    publicAddress: { url: `http://127.0.0.1:${port}`, identify: { path: '/', header: 'x-version' } },
    prober: { path: '/', timeoutMs: 5_000 },
    health: { path: '/', status: 200, timeoutMs: 5_000 },
  }) as unknown as Service;
