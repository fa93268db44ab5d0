import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { colors, otherColor, type Color } from '../../../domain/color.js';
import type { OvhIplbSettings, OvhPublicCloudSettings, Server } from '../../../domain/service.js';
import { allTo } from '../../../domain/split.js';
import type { LoadBalancerDriver } from '../../../drivers/load-balancers/driver.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { createOvhPublicCloud } from '../../../drivers/load-balancers/ovh-public-cloud.js';
import { endless } from '../../../drivers/patience.js';
import type { OvhApi } from '../../../ovh/api.js';
import { setUpIplb, setUpPublicCloud, type SetUp } from '../../../sandbox/control-panel.js';
import type { DataPlane } from '../../../sandbox/data-plane/data-plane.js';
import { startLoad, type LoadTally } from '../../../sandbox/load.js';
import { startOvhApi, type OvhApi as Emulator } from '../../../sandbox/ovh-api/ovh-api.js';
import { ask } from '../../sandbox/load.js';
import { program, until, type Program } from '../../sandbox/program.js';
import { apiSettingsOf, aServer, apiOf, placeOf } from './emulation.js';

/** Something that carries what the emulated API publishes. */
export interface CarryingDataPlane extends DataPlane {
  portOf(frontendId: number): number;
  close(): Promise<void>;
}

export interface SwitchingOptions {
  /** Default: an OVHcloud Load Balancer. */
  readonly product?: 'ovh-iplb' | 'ovh-public-cloud';
  readonly switches: number;
  readonly requestsPerSecond: number;
  /** The load goes on, and so do the switches, until it has sent as many. */
  readonly atLeastRequests: number;
  /** How long the same load runs before, without any switch. */
  readonly controlMs: number;
}

export interface Switched {
  /** What visitors saw without any switch. What fails there is nobody's doing, and voids the rest. */
  readonly control: LoadTally;
  readonly tally: LoadTally;
  /** What each switch took, from the first call to the proof. */
  readonly tookMs: readonly number[];
  /** For each stream that was open during a switch: where it was begun, and what came of it. */
  readonly streams: readonly { readonly from: Color; readonly body: string }[];
}

/** Two programs behind an emulated load balancer, and the real driver that sends the traffic there and back under load. */
export async function switchThereAndBack(
  dataPlane: CarryingDataPlane,
  { product = 'ovh-iplb', switches, requestsPerSecond, atLeastRequests, controlMs }: SwitchingOptions,
): Promise<Switched> {
  const programs = { blue: await streaming('blue'), green: await streaming('green') };
  const isPublicCloud = product === 'ovh-public-cloud';
  const emulator = await startOvhApi({
    ...(isPublicCloud ? {} : { dataPlane }),
    behaviour: { todoMs: 5, doingMs: 40, updatingMs: 20 },
  });
  const servers = colors.map((color) => aServer(color, programs[color].port));
  const places = servers.map(placeOf);
  const made = isPublicCloud
    ? await setUpPublicCloud(emulator, dataPlane, places)
    : await setUpIplb(emulator, places);
  const api = apiOf(emulator, { rate: { perSecond: 10_000, burst: 10_000 } });
  const driver = driverOver(api, emulator, made, servers);
  const port = dataPlane.portOf(made.ids.frontend);
  const load = () =>
    startLoad({
      url: `http://127.0.0.1:${port}`,
      requestsPerSecond,
      streamPath: '/slowly',
      timeoutMs: 20_000,
    });

  try {
    const quiet = load();
    await sleep(controlMs);
    const control = await quiet.stop();

    const tookMs: number[] = [];
    const streams: Switched['streams'][number][] = [];
    const busy = load();
    let live: Color = 'blue';
    const answered = (): number => programs.blue.requests() + programs.green.requests();
    const before = answered();
    // What answers is asked by the load balancer, too: more than a tenth of it where the load is late.
    while (tookMs.length < switches || answered() - before < 1.4 * atLeastRequests) {
      const stream = ask(port, { path: '/stream' }).then(({ body }) => body, String);
      const open = programs[live];
      await until(() => open.waiting() > 0);
      const beganAtMs = performance.now();
      const to = otherColor(live);
      const { objects } = await driver.observe(endless);
      await driver.route({ to: allTo(to), expected: objects, purpose: 'forward', leaveOut: [] }, endless);
      tookMs.push(performance.now() - beganAtMs);
      open.finish();
      streams.push({ from: live, body: await stream });
      live = to;
    }
    return { control, tally: await busy.stop(), tookMs, streams };
  } finally {
    api.close();
    await emulator.close();
    await dataPlane.close();
    await Promise.all([programs.blue.stop(), programs.green.stop()]);
  }
}

interface Streaming extends Program {
  /** Streams that wait to be finished. */
  waiting(): number;
  finish(): void;
}

/** A program that tells its name at once, slowly, or in a stream that ends when it is told to. */
async function streaming(name: Color): Promise<Streaming> {
  const open: (() => void)[] = [];
  const started = await program(name, ({ url }, response) => {
    if (url === '/stream') {
      response.write(`begun on ${name}, `);
      open.push(() => response.end(`ended on ${name}`));
    } else if (url === '/slowly') {
      response.write(name);
      setTimeout(() => response.end(name), 500);
    } else response.end(name);
  });
  return {
    ...started,
    waiting: () => open.length,
    finish: () => {
      for (const end of open.splice(0)) end();
    },
  };
}

function driverOver(
  api: OvhApi,
  emulator: Emulator,
  { section }: SetUp,
  servers: readonly Server[],
): LoadBalancerDriver {
  if (section['driver'] === 'ovh-iplb') {
    const settings = {
      protocol: 'http',
      refreshDeadlineMs: 30_000,
      ...section,
      api: apiSettingsOf(emulator),
    };
    return createOvhIplb({ api, settings: settings as unknown as OvhIplbSettings, servers });
  }
  const settings = {
    weights: {},
    updateDeadlineMs: 30_000,
    statusDelayMs: 0,
    ...section,
    api: apiSettingsOf(emulator),
  };
  return createOvhPublicCloud({ api, settings: settings as unknown as OvhPublicCloudSettings, servers });
}
