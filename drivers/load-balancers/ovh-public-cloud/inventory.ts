import pMap from 'p-map';
import { z } from 'zod';
import type { OvhPublicCloudSettings } from '../../../domain/service.js';
import type { OvhApi, Query } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { readAs } from '../ovh-document.js';
import { rootOf } from './configuration.js';
import { Balancer, Listener, Member, Monitor, Policy, Pool } from './documents.js';

/** A load balancer as provisioning sees it. Members and monitors are those of pools that may be the service's. */
export interface Inventory {
  readonly balancer: Balancer;
  readonly listeners: readonly Listener[];
  readonly pools: readonly Pool[];
  readonly members: ReadonlyMap<string, readonly Member[]>;
  readonly monitors: ReadonlyMap<string, readonly Monitor[]>;
  /** Pools that policies send traffic to. */
  readonly redirected: ReadonlySet<string>;
}

const atOnce = 4;

/** Reads by lists alone, which is all that a credential for provisioning may. Changes nothing. */
export class InventoryReader {
  readonly #api: OvhApi;
  readonly #root: string;
  readonly #id: string;

  constructor(
    api: OvhApi,
    { project, region, id }: Pick<OvhPublicCloudSettings, 'project' | 'region' | 'id'>,
  ) {
    this.#api = api;
    this.#root = rootOf({ project, region });
    this.#id = id;
  }

  async everything(isOurs: (pool: Pool) => boolean): Promise<Inventory> {
    const [balancer, listeners, pools] = await Promise.all([
      readAs(this.#api, `${this.#root}/loadbalancer/${this.#id}`, Balancer),
      this.listeners(),
      this.pools(),
    ]);
    const ours = pools.filter(isOurs).map(({ id }) => id);
    const [members, monitors, policies] = await Promise.all([
      byId(ours, (id) => this.members(id)),
      byId(ours, (id) => this.monitors(id)),
      pMap(listeners, ({ id }) => this.#list('l7Policy', Policy, { listenerId: id }), {
        concurrency: atOnce,
      }),
    ]);
    const redirected = policies.flat().flatMap(({ redirectPoolId }) => redirectPoolId ?? []);
    return { balancer, listeners, pools, members, monitors, redirected: new Set(redirected) };
  }

  listeners(): Promise<readonly Listener[]> {
    return this.#list('listener', Listener, { loadbalancerId: this.#id });
  }

  pools(): Promise<readonly Pool[]> {
    return this.#list('pool', Pool, { loadbalancerId: this.#id });
  }

  /** None of a pool that is not known yet. */
  async members(pool: string): Promise<readonly Member[]> {
    try {
      return await this.#list(`pool/${pool}/member`, Member);
    } catch (error) {
      if (error instanceof OvhError && error.status === 404) return [];
      throw error;
    }
  }

  monitors(pool: string): Promise<readonly Monitor[]> {
    return this.#list('healthMonitor', Monitor, { poolId: pool });
  }

  #list<Kind>(name: string, kind: z.ZodType<Kind>, query: Query = {}): Promise<readonly Kind[]> {
    return readAs(this.#api, `${this.#root}/${name}`, z.array(kind), { query });
  }
}

async function byId<Kind>(
  ids: readonly string[],
  read: (id: string) => Promise<Kind>,
): Promise<ReadonlyMap<string, Kind>> {
  return new Map(await pMap(ids, async (id) => [id, await read(id)] as const, { concurrency: atOnce }));
}
