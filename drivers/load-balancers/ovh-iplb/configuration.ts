import pMap from 'p-map';
import type { z } from 'zod';
import { OvhError } from '../../../ovh/error.js';
import type { OvhApi, Query } from '../../../ovh/api.js';
import type { OvhIplbSettings } from '../../../domain/service.js';
import {
  BackendServer,
  Certificate,
  Defined,
  DefinedRoutes,
  Farm,
  Frontend,
  Ids,
  PendingChanges,
  Route,
  type Pending,
} from './documents.js';
import { readAs } from '../ovh-document.js';

/**
 * The stored configuration of one load balancer by name; a name is also the object's path (`http/farm/77212/server/31`).
 * What really runs cannot be read: it is this once nothing is pending.
 */
export interface Configuration {
  readonly frontends: ReadonlyMap<string, Frontend>;
  readonly farms: ReadonlyMap<string, Farm>;
  readonly servers: ReadonlyMap<string, BackendServer>;
  readonly routes: ReadonlyMap<string, Route>;
  readonly certificates: ReadonlyMap<string, Certificate>;
}

/** What to read of a load balancer, by name. Of a farm's servers all, or those that get no traffic. */
export interface Levers {
  readonly frontends: readonly string[];
  readonly farms: ReadonlyMap<string, 'inactive' | 'all'>;
  /** Servers to read in any case. */
  readonly servers: readonly string[];
  readonly routes: readonly string[];
}

/** Calls in flight at once. */
const atOnce = 8;

/** Reads a load balancer's stored configuration. Changes nothing. */
export class ConfigurationReader {
  readonly #api: OvhApi;
  readonly #root: string;

  constructor(api: OvhApi, settings: Pick<OvhIplbSettings, 'serviceName'>) {
    this.#api = api;
    this.#root = rootOf(settings);
  }

  /** Every object of the load balancer, whosever it is. */
  async everything(signal?: AbortSignal): Promise<Configuration> {
    const [frontends, farms, routes, certificates] = await Promise.all([
      this.#get('definedFrontends', Defined, signal),
      this.#get('definedFarms', Defined, signal),
      this.#get('definedRoutes', DefinedRoutes, signal),
      this.#get('ssl', Ids, signal),
    ]);
    const farmNames = farms.map(({ type, id }) => `${type}/farm/${id}`);
    const servers = await pMap(farmNames, (farm) => this.#serverNames(farm, {}, signal), {
      concurrency: atOnce,
    });
    return this.#objects(
      {
        frontends: frontends.map(({ type, id }) => `${type}/frontend/${id}`),
        farms: farmNames,
        servers: servers.flat(),
        routes: routes.map(({ type, routeId }) => `${type}/route/${routeId}`),
        certificates: certificates.map((id) => `ssl/${id}`),
      },
      signal,
    );
  }

  /** Only what traffic is moved with, for a way back that must be quick. */
  async levers(levers: Levers, signal?: AbortSignal): Promise<Configuration> {
    const servers = await pMap(
      [...levers.farms],
      ([farm, which]) => this.#serverNames(farm, which === 'all' ? {} : { status: which }, signal),
      { concurrency: atOnce },
    );
    const { frontends, routes } = levers;
    const names = {
      frontends,
      farms: [...levers.farms.keys()],
      servers: [...new Set([...servers.flat(), ...levers.servers])],
      routes,
      certificates: [],
    };
    return this.#objects(names, signal);
  }

  async pending(signal?: AbortSignal): Promise<Pending> {
    const pending = await this.#get('pendingChanges', PendingChanges, signal);
    return pending.filter(({ number }) => number > 0);
  }

  async #objects(
    names: Readonly<Record<keyof Configuration, readonly string[]>>,
    signal: AbortSignal | undefined,
  ): Promise<Configuration> {
    const [frontends, farms, servers, routes, certificates] = await Promise.all([
      this.#all(names.frontends, Frontend, signal),
      this.#all(names.farms, Farm, signal),
      this.#all(names.servers, BackendServer, signal),
      this.#all(names.routes, Route, signal),
      this.#all(names.certificates, Certificate, signal),
    ]);
    return { frontends, farms, servers, routes, certificates };
  }

  async #serverNames(
    farm: string,
    query: Query,
    signal: AbortSignal | undefined,
  ): Promise<readonly string[]> {
    const ids = await this.#ifThere(() => this.#get(`${farm}/server`, Ids, signal, query));
    return (ids ?? []).map((id) => `${farm}/server/${id}`);
  }

  async #all<Kind>(
    names: readonly string[],
    kind: z.ZodType<Kind>,
    signal: AbortSignal | undefined,
  ): Promise<Map<string, Kind>> {
    const found = await pMap(
      names,
      async (name) => [name, await this.#ifThere(() => this.#get(name, kind, signal))] as const,
      { concurrency: atOnce },
    );
    return new Map(found.flatMap(([name, object]) => (object === undefined ? [] : [[name, object]])));
  }

  /** Somebody may delete an object between the list and the look. */
  async #ifThere<Kind>(read: () => Promise<Kind>): Promise<Kind | undefined> {
    try {
      return await read();
    } catch (error) {
      if (error instanceof OvhError && error.status === 404) return undefined;
      throw error;
    }
  }

  async #get<Kind>(
    name: string,
    kind: z.ZodType<Kind>,
    signal: AbortSignal | undefined,
    query: Query = {},
  ): Promise<Kind> {
    return readAs(this.#api, `${this.#root}/${name}`, kind, { query, ...(signal ? { signal } : {}) });
  }
}

/** The path of the load balancer in the API. */
export function rootOf({ serviceName }: Pick<OvhIplbSettings, 'serviceName'>): string {
  if (!/^[A-Za-z0-9._-]+$/.test(serviceName)) {
    throw new TypeError(
      `Cannot use "${serviceName}" as a load balancer: needs letters, digits, dots and dashes`,
    );
  }
  return `/ipLoadbalancing/${serviceName}`;
}
