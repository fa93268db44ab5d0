import type { DataPlane, Instance } from '../../data-plane/data-plane.js';
import { badRequest, notFound } from '../api-error.js';
import { shownAs, textOf, type Json, type JsonObject } from '../json.js';
import { SilentDataPlane } from '../silent-data-plane.js';
import { isoDate, signed, type Call, type Method, type Product, type Resource } from '../resource.js';
import {
  availableFarmProbes,
  availableRouteActions,
  availableRouteRules,
  availableZones,
} from './catalogue.js';
import { collection, root } from './collection.js';
import { requireFit, text, oneOf } from './field.js';
import { protocols, type KindName } from './kinds.js';
import { LoadBalancer, type EditingRules, type LoadBalancerState } from './load-balancer.js';
import {
  Refreshes,
  type RefreshesState,
  type RefreshesWorld,
  type RefreshOptions,
  type Task,
} from './refresh.js';

export interface IplbOptions extends EditingRules, RefreshOptions, RefreshesWorld {}

interface OwnedState {
  readonly serviceName: string;
  readonly instances: readonly Instance[];
  readonly loadBalancer: LoadBalancerState;
  readonly refreshes: RefreshesState;
}

/** The product "OVHcloud Load Balancer": the customer's load balancers and their tree of resources. */
export class Iplb implements Product {
  readonly resources: readonly Resource[];
  readonly #options: IplbOptions;
  readonly #owned = new Map<string, Owned>();

  constructor(options: IplbOptions) {
    this.#options = options;
    this.resources = this.#resources();
  }

  /** Gives the customer one more. */
  add(dataPlane: DataPlane, serviceName?: string): Owned {
    const loadBalancer = new LoadBalancer(dataPlane, this.#options, serviceName);
    const owned = { loadBalancer, refreshes: new Refreshes(loadBalancer, this.#options, this.#options) };
    this.#owned.set(loadBalancer.serviceName, owned);
    return owned;
  }

  owned(serviceName: string): Owned | undefined {
    return this.#owned.get(serviceName);
  }

  state(): readonly OwnedState[] {
    return [...this.#owned.values()].map(({ loadBalancer, refreshes }) => ({
      serviceName: loadBalancer.serviceName,
      instances: loadBalancer.dataPlane.instances,
      loadBalancer: loadBalancer.state(),
      refreshes: refreshes.state(),
    }));
  }

  /** Load balancers that are not here yet come back without anything that carries their traffic. */
  async restore(state: unknown): Promise<void> {
    for (const one of state as readonly OwnedState[]) {
      const { serviceName, instances } = one;
      const silent = (): DataPlane => new SilentDataPlane({ instances, clock: this.#options.clock });
      const { loadBalancer, refreshes } = this.owned(serviceName) ?? this.add(silent(), serviceName);
      loadBalancer.restore(one.loadBalancer);
      await refreshes.restore(one.refreshes);
    }
  }

  close(): Promise<void> {
    return this.settled();
  }

  /** Settles when no refresh is carried out any more. */
  async settled(): Promise<void> {
    await Promise.all([...this.#owned.values()].map(({ refreshes }) => refreshes.settled()));
  }

  #resources(): Resource[] {
    const loadBalancerOf = (call: Call): LoadBalancer => this.#ownedBy(call).loadBalancer;
    const kinds: readonly KindName[] = ['frontend', 'farm', 'server', 'route', 'rule'];
    return [
      resource('GET', '/ipLoadbalancing', () => [...this.#owned.keys()]),
      resource('GET', '/ipLoadbalancing/availableZones', () => availableZones),
      ...protocols.flatMap((protocol) => kinds.flatMap((kind) => collection(kind, protocol, loadBalancerOf))),
      ...collection('ssl', 'http', loadBalancerOf),
      ...this.#serviceResources(loadBalancerOf),
      ...this.#refreshResources(),
    ];
  }

  #serviceResources(loadBalancerOf: (call: Call) => LoadBalancer): Resource[] {
    const told = (path: string, tell: (loadBalancer: LoadBalancer) => unknown): Resource =>
      resource('GET', `${root}${path}`, (call) => tell(loadBalancerOf(call)));
    return [
      told('', serviceOf),
      resource('PUT', root, (call) => {
        editService(loadBalancerOf(call), call.body);
        return null;
      }),
      resource('GET', `${root}/serviceInfos`, (call) => serviceInfosOf(loadBalancerOf(call), call.now)),
      told('/zone', ({ zones }) => zones),
      resource('GET', `${root}/zone/:name`, (call) =>
        zoneOf(loadBalancerOf(call), call.parameters['name'] ?? ''),
      ),
      told('/natIp', ({ zones }) => zones.map((zone) => ({ zone, ip: ['127.0.0.0/8'] }))),
      told('/failover', () => []),
      told('/availableFarmProbes', () => availableFarmProbes.http),
      told('/availableRouteRules', () => availableRouteRules),
      told('/availableRouteActions', () => availableRouteActions),
      told('/definedFarms', ({ staged }) =>
        staged.list('farm').map(({ protocol, id }) => ({ type: protocol, id })),
      ),
      told('/definedFrontends', ({ staged }) =>
        staged.list('frontend').map(({ protocol, id }) => ({ type: protocol, id })),
      ),
      told('/definedRoutes', ({ staged }) =>
        staged.list('route').map(({ protocol, id, fields }) => ({
          routeId: id,
          type: protocol,
          displayName: fields['displayName'] ?? null,
        })),
      ),
      told('/pendingChanges', (loadBalancer) => loadBalancer.pendingChanges()),
      told('/status', statusOf),
      resource('GET', `${root}/instancesState`, (call) => this.#instancesState(call)),
    ];
  }

  #refreshResources(): Resource[] {
    return [
      {
        ...resource('POST', `${root}/refresh`, (call) => taskShown(this.#order(call))),
        action: 'loadbalancer:apiovh:refresh',
      },
      resource('GET', `${root}/task`, (call) => {
        const { tasks } = this.#ownedBy(call).refreshes;
        return tasks.filter(taskFilter(call.query)).map(({ id }) => id);
      }),
      resource('GET', `${root}/task/:id`, (call) => {
        const task = this.#ownedBy(call).refreshes.task(Number(call.parameters['id']));
        if (task === undefined)
          throw notFound(`The requested object (id = ${call.parameters['id']}) does not exist`);
        return taskShown(task);
      }),
    ];
  }

  #order(call: Call): Task {
    const { loadBalancer, refreshes } = this.#ownedBy(call);
    requireFit({ zone: text }, call.body);
    const zone = call.body['zone'] ?? 'all';
    if (zone === 'all') return refreshes.order(loadBalancer.zones);
    return refreshes.order([zoneOf(loadBalancer, shownAs(zone)).name]);
  }

  #instancesState(call: Call): Json {
    const { loadBalancer, refreshes } = this.#ownedBy(call);
    const reloading = refreshes.tasks
      .filter(({ status }) => status === 'doing')
      .flatMap(({ zones }) => zones);
    return loadBalancer.dataPlane.instances.map(({ instanceId, zone }) => ({
      internalId: instanceId,
      state: reloading.includes(zone) ? 'reload' : 'running',
      lastUpdateDate: isoDate(call.now),
      zone,
    }));
  }

  #ownedBy({ parameters }: Call): Owned {
    const owned = this.#owned.get(parameters['serviceName'] ?? '');
    if (owned === undefined) throw notFound('This service does not exist');
    return owned;
  }
}

export interface Owned {
  readonly loadBalancer: LoadBalancer;
  readonly refreshes: Refreshes;
}

const resource = (method: Method, path: string, answer: Resource['answer']): Resource =>
  signed(method, path, 'loadbalancer', answer);

function serviceOf({ serviceName, zones, displayName, sslConfiguration }: LoadBalancer): Json {
  return {
    serviceName,
    ipLoadbalancing: '127.0.0.1',
    ipv4: '127.0.0.1',
    ipv6: null,
    state: 'ok',
    offer: 'pack-1',
    zone: zones,
    orderableZone: [],
    displayName,
    sslConfiguration,
    vrackEligibility: false,
    vrackName: null,
    metricsToken: null,
    iam: {
      id: '00000000-0000-4000-8000-000000000000',
      urn: `urn:v1:eu:resource:loadbalancer:${serviceName}`,
      displayName: displayName ?? serviceName,
      tags: {},
    },
  };
}

function editService(loadBalancer: LoadBalancer, body: JsonObject): void {
  const sslConfiguration = oneOf('iploadbalancing.SslConfigurationEnum', 'intermediate', 'modern');
  requireFit({ displayName: text, sslConfiguration }, body);
  const { displayName, sslConfiguration: ssl } = body;
  if (displayName !== undefined) loadBalancer.displayName = textOf(displayName);
  if (ssl !== undefined) loadBalancer.sslConfiguration = textOf(ssl);
}

function serviceInfosOf({ serviceName }: LoadBalancer, now: number): Json {
  const day = (ms: number): string => isoDate(ms).slice(0, 10);
  const yearMs = 365 * 24 * 3_600_000;
  return {
    domain: serviceName,
    status: 'ok',
    creation: day(now - yearMs),
    expiration: day(now + yearMs),
    engagedUpTo: null,
    contactAdmin: 'xx00000-ovh',
    contactBilling: 'xx00000-ovh',
    contactTech: 'xx00000-ovh',
    renew: { automatic: true, deleteAtExpiration: false, forced: false, manualPayment: false, period: 1 },
    renewalType: 'automaticV2012',
    possibleRenewPeriod: [1],
    canDeleteAtExpiration: true,
    serviceId: 1_000_001,
  };
}

function zoneOf({ zones }: LoadBalancer, name: string): { readonly name: string; readonly state: string } {
  if (!zones.includes(name)) throw notFound(`The requested object (name = ${name}) does not exist`);
  return { name, state: 'ok' };
}

/** Counts only: a server is ok when every instance has it up, and an error when one has it down. */
function statusOf({ staged, dataPlane }: LoadBalancer): Json {
  const servers = staged.list('server').map(({ id, parentId }) => {
    const states = dataPlane.serverStates(parentId ?? 0, id).map(({ status }) => status);
    if (states.includes('DOWN')) return 'error';
    return states.length > 0 && states.every((status) => status === 'UP') ? 'ok' : 'unknown';
  });
  const counted = (states: readonly string[]): Json => ({
    total: states.length,
    status: Object.fromEntries(
      ['error', 'ok', 'unknown', 'warn'].map((state) => [
        state,
        states.filter((one) => one === state).length,
      ]),
    ),
  });
  const known = (kind: KindName): readonly string[] => staged.list(kind).map(() => 'ok');
  return {
    service: { status: servers.includes('error') ? 'warn' : 'ok' },
    frontends: counted(known('frontend')),
    farms: counted(known('farm')),
    servers: counted(servers),
  };
}

const taskShown = ({ id, action, status, progress, zones, createdAt, doneAt }: Task): Json => ({
  id,
  action,
  status,
  progress,
  zones,
  creationDate: isoDate(createdAt),
  doneDate: doneAt === null ? null : isoDate(doneAt),
});

/** The filters of the task list. Dates are compared in whole seconds, which is all that the API tells. */
function taskFilter(query: URLSearchParams): (task: Task) => boolean {
  const dates = ['creationDate', 'doneDate'].flatMap((name) =>
    (['from', 'to'] as const).map((end) => ({ name, end, limit: query.get(`${name}.${end}`) })),
  );
  for (const { name, end, limit } of dates) {
    if (limit !== null && Number.isNaN(Date.parse(limit))) {
      throw badRequest(`[${name}.${end}] Given data (${limit}) is not valid for type datetime`);
    }
  }
  return (task) => {
    const seconds = { creationDate: inSeconds(task.createdAt), doneDate: inSeconds(task.doneAt) };
    return (
      (query.get('action') ?? task.action) === task.action &&
      (query.get('status') ?? task.status) === task.status &&
      dates.every(({ name, end, limit }) => {
        if (limit === null) return true;
        const at = seconds[name as keyof typeof seconds];
        const bound = inSeconds(Date.parse(limit));
        return at !== null && bound !== null && (end === 'from' ? at >= bound : at <= bound);
      })
    );
  };
}

const inSeconds = (ms: number | null): number | null => (ms === null ? null : Math.floor(ms / 1000));
