import { randomBytes, randomUUID } from 'node:crypto';

import type { DataPlane } from '../../data-plane/data-plane.js';
import { badRequest, notFound } from '../api-error.js';
import { requireAll, requireFit, required, text } from '../iplb/field.js';
import type { EditingRules } from '../iplb/load-balancer.js';
import type { RefreshesWorld } from '../iplb/refresh.js';
import { isObject, textOf, type Json, type JsonObject } from '../json.js';
import { isoDate, type Call, type Product, type Resource } from '../resource.js';
import { SilentDataPlane } from '../silent-data-plane.js';
import { collections } from './collections.js';
import {
  PublicCloudLoadBalancer,
  smallFlavor,
  type LoadBalancerPlace,
  type PublicCloudLoadBalancerState,
  type PublicCloudRules,
} from './load-balancer.js';
import { regionRoot, resource, root } from './resources.js';
import { itsOwnStatus } from './statuses.js';

export interface PublicCloudOptions
  extends PublicCloudRules, Pick<EditingRules, 'unknownKeys'>, RefreshesWorld {}

interface Operation {
  readonly id: string;
  readonly resourceId: string;
  readonly createdAtMs: number;
}

interface PublicCloudState {
  readonly project: string;
  readonly balancers: readonly PublicCloudLoadBalancerState[];
  readonly operations: readonly Operation[];
}

/** The product "Public Cloud Load Balancer": projects, their regions, and the Octavia load balancers in them. */
export class PublicCloud implements Product {
  readonly resources: readonly Resource[];
  readonly #options: PublicCloudOptions;
  readonly #balancers = new Map<string, PublicCloudLoadBalancer>();
  readonly #operations = new Map<string, Operation>();
  /** The customer's first project. */
  project = randomBytes(16).toString('hex');
  readonly region = 'GRA11';

  constructor(options: PublicCloudOptions) {
    this.#options = options;
    this.resources = this.#resources();
  }

  /** Gives the customer one more load balancer, in the first project unless told. */
  add(dataPlane: DataPlane, place: Partial<LoadBalancerPlace> = {}, id?: string): PublicCloudLoadBalancer {
    const { project, region } = this;
    const name = `load balancer ${this.#balancers.size + 1}`;
    const whole = { project, region, name, ...place };
    const balancer = new PublicCloudLoadBalancer(whole, dataPlane, this.#options, this.#options, id);
    this.#balancers.set(balancer.id, balancer);
    this.#options.changed();
    return balancer;
  }

  state(): PublicCloudState {
    return {
      project: this.project,
      balancers: [...this.#balancers.values()].map((balancer) => balancer.state()),
      operations: [...this.#operations.values()],
    };
  }

  /** Load balancers that are not there carry nothing from then on. */
  async restore(state: unknown): Promise<void> {
    const { project, balancers, operations } = state as PublicCloudState;
    this.project = project;
    for (const operation of operations) this.#operations.set(operation.id, operation);
    for (const one of balancers) {
      const silent = new SilentDataPlane({ clock: this.#options.clock });
      const balancer = this.#balancers.get(one.id) ?? this.add(silent, one.place, one.id);
      await balancer.restore(one);
    }
  }

  /** The declarative API of the same, below `/v2`, where it is there at all. Reads only. */
  declarativeResources(): readonly Resource[] {
    const list = resource('GET', '/publicCloud/project/:project/loadbalancer', (call) => {
      if (this.#options.publicCloudV2 === 'absent') throw notFound('Got an invalid (or empty) URL');
      const { project } = call.parameters;
      return [...this.#balancers.values()].filter(({ place }) => place.project === project).map(declared);
    });
    return [list];
  }

  close(): Promise<void> {
    return this.settled();
  }

  /** Settles when nothing is applied any more. */
  async settled(): Promise<void> {
    await Promise.all([...this.#balancers.values()].map((balancer) => balancer.settled()));
  }

  #resources(): readonly Resource[] {
    const ofProject = (call: Call) =>
      [...this.#balancers.values()].filter(({ place }) => place.project === call.parameters['project']);
    return [
      resource('GET', '/cloud/project', () => this.#projects()),
      resource('GET', '/cloud/project/:project', (call) => this.#projectOf(call)),
      resource('GET', '/cloud/project/:project/region', (call) => {
        this.#projectOf(call);
        return [...new Set([this.region, ...ofProject(call).map(({ place }) => place.region)])];
      }),
      resource('GET', regionRoot, (call) => {
        this.#projectOf(call);
        const services = [{ name: 'octavialoadbalancer', status: 'UP', endpoint: '' }];
        return { name: call.parameters['region'] ?? '', type: 'region', status: 'UP', services };
      }),
      resource('GET', '/cloud/project/:project/operation', (call) => this.#operationsOf(call)),
      resource('GET', '/cloud/project/:project/operation/:operation', (call) => {
        const found = this.#operationsOf(call).find(({ id }) => id === call.parameters['operation']);
        if (found === undefined) throw notFound('Operation not found');
        return found;
      }),
      ...this.#balancerResources(),
      ...collections((call) => this.#balancersOf(call)),
    ];
  }

  #balancerResources(): readonly Resource[] {
    const one = `${root}/loadbalancer/:id`;
    const found = (call: Call): PublicCloudLoadBalancer => {
      const id = call.parameters['id'] ?? '';
      const balancer = this.#balancersOf(call).find((each) => each.id === id);
      if (balancer === undefined) throw notFound(`Load Balancer ${id} not found.`);
      return balancer;
    };
    return [
      resource('GET', `${root}/flavor`, (call) => [
        { id: smallFlavor, name: 'small', region: call.parameters['region'] ?? '' },
      ]),
      resource('GET', `${root}/loadbalancer`, (call) => this.#balancersOf(call).map(shown)),
      resource('POST', `${root}/loadbalancer`, (call) => this.#order(call)),
      resource('GET', one, (call) => shown(found(call))),
      resource('PUT', one, (call) => {
        requireFit({ name: text, description: text, flavorId: text }, call.body);
        found(call).editItself(call.body);
        return shown(found(call));
      }),
      resource('DELETE', one, (call) => {
        if (found(call).objects.list('listener').length > 0)
          throw badRequest(`Cannot delete Load Balancer ${found(call).id} - it has children`);
        this.#balancers.delete(found(call).id);
        return null;
      }),
    ];
  }

  #projects(): readonly string[] {
    return [...new Set([this.project, ...[...this.#balancers.values()].map(({ place }) => place.project)])];
  }

  #projectOf({ parameters }: Call): Json {
    const project = parameters['project'] ?? '';
    if (!this.#projects().includes(project)) throw notFound('This service does not exist');
    return { project_id: project, status: 'ok', projectName: 'sandbox', description: 'sandbox' };
  }

  #balancersOf(call: Call): readonly PublicCloudLoadBalancer[] {
    this.#projectOf(call);
    const { project, region } = call.parameters;
    return [...this.#balancers.values()].filter(
      ({ place }) => place.project === project && place.region === region,
    );
  }

  /** Accepted at once; the load balancer is there and cannot be changed until it is built. */
  #order(call: Call): Json {
    this.#balancersOf(call);
    const fields = { flavorId: required(text), name: text };
    requireAll(fields, call.body);
    requireFit(fields, { flavorId: call.body['flavorId'] ?? null, name: call.body['name'] ?? null });
    if (!isObject(call.body['network'])) throw badRequest('[network] Missing parameter');
    const { project = '', region = '' } = call.parameters;
    const dataPlane = new SilentDataPlane({ clock: this.#options.clock });
    const balancer = this.add(dataPlane, { project, region, name: textOf(call.body['name']) ?? '' });
    balancer.build();
    const operation = { id: randomUUID(), resourceId: balancer.id, createdAtMs: call.now };
    this.#operations.set(operation.id, operation);
    return this.#shownOperation(operation);
  }

  #operationsOf(call: Call) {
    this.#projectOf(call);
    return [...this.#operations.values()]
      .filter(
        ({ resourceId }) =>
          this.#balancers.get(resourceId)?.place.project === (call.parameters['project'] ?? ''),
      )
      .map((operation) => this.#shownOperation(operation));
  }

  #shownOperation({ id, resourceId, createdAtMs }: Operation) {
    const isDone = this.#balancers.get(resourceId)?.provisioningStatus !== 'creating';
    return {
      id,
      action: 'loadbalancer#create',
      status: isDone ? 'completed' : 'in-progress',
      progress: isDone ? 100 : 0,
      createdAt: isoDate(createdAtMs),
      resourceId,
    };
  }
}

function shown(balancer: PublicCloudLoadBalancer): JsonObject {
  const { id, fields, place, createdAtMs, updatedAtMs } = balancer;
  return {
    id,
    ...fields,
    region: place.region,
    vipAddress: '10.0.0.5',
    vipNetworkId: '00000000-0000-4000-8000-000000000002',
    vipSubnetId: '00000000-0000-4000-8000-000000000003',
    floatingIp: null,
    createdAt: isoDate(createdAtMs),
    updatedAt: isoDate(updatedAtMs),
    provisioningStatus: balancer.provisioningStatus,
    operatingStatus: itsOwnStatus(balancer),
  };
}

const declared = ({ id, fields, updatedAtMs, createdAtMs, provisioningStatus }: PublicCloudLoadBalancer) => ({
  id,
  checksum: String(updatedAtMs),
  createdAt: isoDate(createdAtMs),
  updatedAt: isoDate(updatedAtMs),
  resourceStatus: provisioningStatus === 'active' ? 'READY' : 'UPDATING',
  targetSpec: { name: fields['name'] ?? null },
  currentState: { name: fields['name'] ?? null },
  currentTasks: [],
});
