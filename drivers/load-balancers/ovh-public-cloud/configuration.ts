import { z } from 'zod';
import pMap from 'p-map';
import type { OvhPublicCloudSettings } from '../../../domain/service.js';
import type { OvhApi, Query } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { readAs } from '../ovh-document.js';
import { Balancer, Listener, Member, Monitor, Policy, Pool, Rule } from './documents.js';

/**
 * One load balancer as it was accepted; with nothing being applied it is also what runs. Of pools, members, monitors and
 * policies only those that the service's own traffic can depend on.
 */
export interface Configuration {
  readonly balancer: Balancer;
  /** All of them, by id. */
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly pools: ReadonlyMap<string, Pool>;
  /** By pool. */
  readonly members: ReadonlyMap<string, readonly Member[]>;
  /** By pool. A pool has one at most. */
  readonly monitors: ReadonlyMap<string, readonly Monitor[]>;
  /** By listener, with their rules. */
  readonly policies: ReadonlyMap<string, readonly Policy[]>;
}

const atOnce = 8;

/** Reads a load balancer. Changes nothing. */
export class ConfigurationReader {
  readonly #api: OvhApi;
  readonly #settings: OvhPublicCloudSettings;
  readonly #root: string;

  constructor(api: OvhApi, settings: OvhPublicCloudSettings) {
    this.#api = api;
    this.#settings = settings;
    this.#root = rootOf(settings);
  }

  async everything(signal?: AbortSignal): Promise<Configuration> {
    const { listeners, stagingListener } = this.#settings;
    const ours = [...listeners, ...(stagingListener === undefined ? [] : [stagingListener])];
    const [levers, monitors, policies] = await Promise.all([
      this.levers(signal),
      this.#ofEach(poolsOf(this.#settings), (id) =>
        this.#get('healthMonitor', z.array(Monitor), signal, { poolId: id }),
      ),
      this.#ofEach(ours, (id) => this.#policies(id, signal)),
    ]);
    return { ...levers, monitors, policies };
  }

  /** Only what traffic is moved with, for a way back that must be quick. */
  async levers(signal?: AbortSignal): Promise<Configuration> {
    const [balancer, listeners, pools, members] = await Promise.all([
      this.#get(`loadbalancer/${this.#settings.id}`, Balancer, signal),
      this.listeners(signal),
      this.#get('pool', z.array(Pool), signal, { loadbalancerId: this.#settings.id }),
      this.#ofEach(poolsOf(this.#settings), (id) => this.#get(`pool/${id}/member`, z.array(Member), signal)),
    ]);
    return {
      balancer,
      listeners,
      pools: new Map(pools.map((one) => [one.id, one])),
      members,
      monitors: new Map(),
      policies: new Map(),
    };
  }

  async listeners(signal?: AbortSignal): Promise<ReadonlyMap<string, Listener>> {
    const mine = { loadbalancerId: this.#settings.id };
    const listeners = await this.#get('listener', z.array(Listener), signal, mine);
    return new Map(listeners.map((one) => [one.id, one]));
  }

  async #policies(listener: string, signal: AbortSignal | undefined): Promise<readonly Policy[]> {
    const policies = await this.#get('l7Policy', z.array(Policy), signal, { listenerId: listener });
    return Promise.all(
      policies.map(async (policy) => {
        const rules = await this.#ifThere(() =>
          this.#get(`l7Policy/${policy.id}/l7Rule`, z.array(Rule), signal),
        );
        return { ...policy, rules: rules ?? [] };
      }),
    );
  }

  async #ofEach<Kind>(
    ids: readonly string[],
    read: (id: string) => Promise<readonly Kind[]>,
  ): Promise<Map<string, readonly Kind[]>> {
    const found = await pMap(ids, async (id) => [id, (await this.#ifThere(() => read(id))) ?? []] as const, {
      concurrency: atOnce,
    });
    return new Map(found);
  }

  /** What the configuration names need not be there. */
  async #ifThere<Kind>(read: () => Promise<Kind>): Promise<Kind | undefined> {
    try {
      return await read();
    } catch (error) {
      if (error instanceof OvhError && error.status === 404) return undefined;
      throw error;
    }
  }

  #get<Kind>(
    name: string,
    kind: z.ZodType<Kind>,
    signal: AbortSignal | undefined,
    query: Query = {},
  ): Promise<Kind> {
    return readAs(this.#api, `${this.#root}/${name}`, kind, { query, ...(signal ? { signal } : {}) });
  }
}

/** The pools that traffic of the service may be sent to. */
export const poolsOf = ({ pools, mixed }: OvhPublicCloudSettings): readonly string[] => [
  pools.blue,
  pools.green,
  ...(mixed?.pools ?? []),
];

/** The path in the API below which a region's load balancers are. */
export function rootOf({ project, region }: Pick<OvhPublicCloudSettings, 'project' | 'region'>): string {
  for (const part of [project, region]) {
    if (!/^[A-Za-z0-9._-]+$/.test(part))
      throw new TypeError(`Cannot use "${part}" in a path: needs letters, digits, dots and dashes`);
  }
  return `/cloud/project/${project}/region/${region}/loadbalancing`;
}
