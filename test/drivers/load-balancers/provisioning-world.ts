import { ServerName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { Color } from '../../../domain/color.js';
import type { Server } from '../../../domain/service.js';
import type { Named } from '../../../drivers/load-balancers/provisioning.js';
import type { OvhApi, OvhApiOptions, OvhClient } from '../../../ovh/api.js';
import type { AccessRule } from '../../../sandbox/ovh-api/access-rules.js';
import { asTheRealOne } from '../../../sandbox/ovh-api/behaviour.js';
import {
  startOvhApi,
  type OvhApi as Emulator,
  type OvhApiBehaviour,
} from '../../../sandbox/ovh-api/ovh-api.js';
import type { PublicCloudLoadBalancer } from '../../../sandbox/ovh-api/public-cloud/load-balancer.js';
import { SilentDataPlane } from '../../../sandbox/ovh-api/silent-data-plane.js';
import { transportTo } from '../../support/in-process.js';
import { VirtualTime } from '../../support/virtual-time.js';
import { apiOf, paced } from './emulation.js';

const asSlowAsReal: Partial<OvhApiBehaviour> = {
  todoMs: 5_000,
  doingMs: 90_000,
  updatingMs: 7_000,
  creatingMs: 120_000,
};

/** An OVHcloud Load Balancer and a Public Cloud one, both bare, without a network and in virtual time. */
export class ProvisioningWorld {
  readonly time: VirtualTime;
  readonly emulator: Emulator;
  readonly balancer: PublicCloudLoadBalancer;
  readonly #clients: OvhClient[] = [];
  readonly #bare: readonly [unknown, unknown];

  private constructor(time: VirtualTime, emulator: Emulator, balancer: PublicCloudLoadBalancer) {
    this.time = time;
    this.emulator = emulator;
    this.balancer = balancer;
    this.#bare = [emulator.admin.state(), emulator.publicCloud.state()];
  }

  static async create(): Promise<ProvisioningWorld> {
    const time = new VirtualTime();
    const clock = time.epochMs;
    const dataPlane = new SilentDataPlane({ clock });
    const emulator = await startOvhApi({ dataPlane, behaviour: asSlowAsReal, clock, sleep: time.sleep });
    return new ProvisioningWorld(time, emulator, emulator.publicCloud.add(new SilentDataPlane({ clock })));
  }

  client(options: Partial<OvhApiOptions> = {}): OvhClient {
    const client = apiOf(this.emulator, {
      time: this.time,
      transport: transportTo(this.emulator),
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  /** A client whose key may do this and nothing else. */
  clientThatMay(rules: readonly AccessRule[]): OvhClient {
    const { account } = this.emulator.admin;
    const { applicationKey, applicationSecret } = this.emulator.credentials;
    const application = account.application(applicationKey);
    if (!application) throw new Error('the emulator has lost its application');
    const { consumerKey } = account.addCredential(application, { rules, state: 'validated' });
    return this.client({
      keys: {
        applicationKey: new Secret(applicationKey),
        applicationSecret: new Secret(applicationSecret),
        consumerKey: new Secret(consumerKey),
      },
    });
  }

  /** A call past credentials. */
  async call(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<never> {
    return (await this.emulator.admin.editAsSomebodyElse(method, path, body as never)) as never;
  }

  /** Both load balancers are bare again, and behave as they did. */
  async reset(): Promise<void> {
    const { emulator, balancer } = this;
    emulator.faults.clear();
    await balancer.settled();
    emulator.admin.behave({ ...asTheRealOne, ...asSlowAsReal });
    await emulator.admin.restore(this.#bare[0]);
    await emulator.publicCloud.restore(this.#bare[1]);
    for (const client of this.#clients.splice(0)) client.close();
    emulator.journal.clear();
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.emulator.close();
  }
}

/** Dies instead of making its next write once it has made `writes`. What it reads before that changes nothing. */
export function mortal(api: OvhApi, writes: number): OvhApi {
  let left = writes;
  return paced(api, async (_nth, isWrite) => {
    if (isWrite && left-- <= 0) throw new Error('killed');
  });
}

/** What is named, by the key that names it: `farms.blue`. */
export const byKey = (named: readonly Named[]): Readonly<Record<string, Named['id']>> =>
  Object.fromEntries(named.map(({ path, id }) => [path.join('.'), id]));

export function aServer(color: Color, index: number): Server {
  const port = 8080 + index;
  return {
    name: ServerName(`${color}-${index}`),
    color,
    address: `10.0.0.${(color === 'blue' ? 1 : 5) + index}`,
    port,
    unit: 'greeter.service',
    directory: '/srv/greeter',
    probe: { address: '127.0.0.1', port },
    connection: { driver: 'in-memory', world: 'servers' },
  };
}

export const environments = {
  blue: [aServer('blue', 0), aServer('blue', 1)],
  green: [aServer('green', 0), aServer('green', 1)],
};
