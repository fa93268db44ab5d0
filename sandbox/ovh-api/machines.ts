import { badRequest, notFound, serviceExpired } from './api-error.js';
import type { Json, JsonObject } from './json.js';
import { isoDate, signed, type Call, type Product, type Resource } from './resource.js';

/** A machine of the customer as tests and the sandbox describe it; what is left out is as it is with a healthy one. */
export interface DedicatedServer {
  readonly kind: 'dedicated server';
  readonly name: string;
  readonly state?: 'ok' | 'error' | 'hacked' | 'hackedBlocked';
  readonly powerState?: 'poweron' | 'poweroff';
  readonly cores?: number;
  readonly memoryMb?: number;
  readonly interventions?: readonly PlannedIntervention[];
  readonly contract?: Contract;
}

export interface Vps {
  readonly kind: 'vps';
  readonly name: string;
  readonly state?: VpsState;
  readonly vcores?: number;
  readonly memoryMb?: number;
  readonly contract?: Contract;
}

export interface Instance {
  readonly kind: 'instance';
  readonly project: string;
  readonly id: string;
  readonly status?: string;
  readonly flavor?: { readonly name: string; readonly vcpus: number; readonly memoryMb: number };
}

export type Machine = DedicatedServer | Vps | Instance;

export type VpsState =
  | 'backuping'
  | 'installing'
  | 'maintenance'
  | 'rebooting'
  | 'rescued'
  | 'running'
  | 'stopped'
  | 'stopping'
  | 'upgrading';

export interface PlannedIntervention {
  readonly id: number;
  readonly type: string;
  readonly status: string;
  readonly beginsAtMs: number;
  readonly endsAtMs: number;
}

export interface Contract {
  readonly status?: 'ok' | 'autorenewInProgress' | 'expired' | 'inCreation' | 'pendingDebt' | 'unPaid';
  readonly endsAtMs?: number;
  readonly renewed?: boolean;
}

/** The products "dedicated server", "VPS" and "Public Cloud instance", of which a deployment only reads. */
export class Machines implements Product {
  readonly resources: readonly Resource[] = this.#resources();
  readonly #owned = new Map<string, Machine>();

  /** Gives the customer a machine, or changes one. */
  put(machine: Machine): void {
    this.#owned.set(pathOf(machine), machine);
  }

  remove(machine: Machine): void {
    this.#owned.delete(pathOf(machine));
  }

  state(): readonly Machine[] {
    return [...this.#owned.values()];
  }

  restore(state: unknown): Promise<void> {
    this.#owned.clear();
    for (const machine of state as readonly Machine[]) this.put(machine);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #resources(): readonly Resource[] {
    const server = '/dedicated/server/:name';
    const instance = '/cloud/project/:project/instance/:id';
    const dedicated = (call: Call) => this.#find(call, 'dedicated server', '/dedicated/server/:name');
    const vps = (call: Call) => this.#find(call, 'vps', '/vps/:name');
    return [
      told('/dedicated/server', 'dedicatedServer', '', () => this.#names('dedicated server')),
      told(server, 'dedicatedServer', '', (call) => shownServer(dedicated(call))),
      told(`${server}/specifications/hardware`, 'dedicatedServer', 'specifications/hardware', (call) =>
        shownHardware(dedicated(call)),
      ),
      told(`${server}/plannedIntervention`, 'dedicatedServer', 'plannedIntervention', (call) =>
        (dedicated(call).interventions ?? []).map(({ id }) => id),
      ),
      told(
        `${server}/plannedIntervention/:interventionId`,
        'dedicatedServer',
        'plannedIntervention',
        (call) => shownIntervention(dedicated(call), call.parameters['interventionId'] ?? ''),
      ),
      told(`${server}/serviceInfos`, 'dedicatedServer', 'serviceInfos', (call) =>
        shownContract(dedicated(call), call),
      ),
      told('/vps', 'vps', '', () => this.#names('vps')),
      told('/vps/:name', 'vps', '', (call) => shownVps(vps(call))),
      told('/vps/:name/serviceInfos', 'vps', 'serviceInfos', (call) => shownContract(vps(call), call)),
      told(instance, 'publicCloudProject', 'instance', (call) =>
        shownInstance(this.#find(call, 'instance', instance)),
      ),
    ];
  }

  #names(kind: 'dedicated server' | 'vps'): readonly string[] {
    return [...this.#owned.values()].flatMap((machine) => (machine.kind === kind ? [machine.name] : []));
  }

  #find<Kind extends Machine['kind']>(
    { parameters }: Call,
    kind: Kind,
    path: string,
  ): Extract<Machine, { kind: Kind }> {
    const asked = path.replaceAll(/:(\w+)/g, (_, name: string) => parameters[name] ?? '');
    const machine = this.#owned.get(asked);
    if (machine?.kind !== kind) throw notFound(`The requested object (${asked}) does not exist`);
    if ('contract' in machine && machine.contract?.status === 'expired') {
      throw serviceExpired('This service is expired');
    }
    return machine as Extract<Machine, { kind: Kind }>;
  }
}

/** A signed read. These products' paths begin with two words where others' do with one. */
function told(path: string, product: string, part: string, answer: Resource['answer']): Resource {
  const action = [`${product}:apiovh:${part}`, 'get'].join(part === '' ? '' : '/');
  return { ...signed('GET', path, product, answer), action };
}

function pathOf(machine: Machine): string {
  switch (machine.kind) {
    case 'dedicated server':
      return `/dedicated/server/${machine.name}`;
    case 'vps':
      return `/vps/${machine.name}`;
    case 'instance':
      return `/cloud/project/${machine.project}/instance/${machine.id}`;
    default:
      return machine satisfies never;
  }
}

const shownServer = ({ name, state = 'ok', powerState = 'poweron' }: DedicatedServer): Json => ({
  name,
  serverId: 4_000_000,
  ip: '192.0.2.10',
  state,
  powerState,
  datacenter: 'gra3',
  region: 'eu-west-gra',
  availabilityZone: 'eu-west-gra-a',
  commercialRange: 'advance',
  os: 'debian12_64',
  linkSpeed: 1000,
  monitoring: true,
  noIntervention: false,
  professionalUse: false,
  rack: 'G003A01',
  reverse: `${name}.`,
  rootDevice: null,
  bootId: 1,
  supportLevel: 'pro',
});

const shownHardware = ({ cores = 6, memoryMb = 32_768 }: DedicatedServer): Json => ({
  processorName: 'Xeon-E 2386G',
  processorArchitecture: 'x86_64',
  numberOfProcessors: 1,
  coresPerProcessor: cores,
  threadsPerProcessor: cores * 2,
  memorySize: { unit: 'MB', value: memoryMb },
  diskGroups: [],
  formFactor: '1u',
  bootMode: 'uefi',
  motherboard: 'E3C252D4U',
  usbKeys: null,
  expansionCards: null,
});

function shownIntervention({ interventions = [] }: DedicatedServer, asked: string): Json {
  const found = interventions.find(({ id }) => String(id) === asked);
  if (!/^\d+$/.test(asked)) throw badRequest('[id] Given data is not valid for type long');
  if (!found) throw notFound(`The requested object (id = ${asked}) does not exist`);
  const { id, type, status, beginsAtMs, endsAtMs } = found;
  return { id, type, status, wantedStartDate: isoDate(beginsAtMs), expectedEndDate: isoDate(endsAtMs) };
}

const shownVps = ({ name, state = 'running', vcores = 4, memoryMb = 8192 }: Vps): Json => ({
  name,
  displayName: name,
  state,
  vcore: vcores,
  memoryLimit: memoryMb,
  model: {
    name: `vps-${vcores}-${memoryMb / 1024}`,
    offer: 'VPS 2024',
    version: '2024v1',
    vcore: vcores,
    memory: memoryMb,
    disk: 160,
    datacenter: [],
    availableOptions: [],
  },
  zone: 'Region OpenStack: os-gra7',
  cluster: '',
  offerType: 'ssd',
  netbootMode: 'local',
  slaMonitoring: true,
});

const shownInstance = ({
  id,
  status = 'ACTIVE',
  flavor = { name: 'b3-8', vcpus: 2, memoryMb: 8192 },
}: Instance): Json => ({
  id,
  name: `machine-${id.slice(0, 8)}`,
  region: 'GRA11',
  status,
  flavor: {
    id: '0a1b2c3d-0000-0000-0000-000000000000',
    name: flavor.name,
    vcpus: flavor.vcpus,
    ram: flavor.memoryMb,
    disk: 50,
    available: true,
    osType: 'linux',
    type: 'ovh.ssd.eg',
    region: 'GRA11',
  },
  image: null,
  ipAddresses: [],
  created: '2026-01-01T00:00:00Z',
  operationIds: [],
  planCode: `${flavor.name}.consumption`,
  // The real one shows it to whoever may read the instance.
  rescuePassword: status === 'RESCUED' ? rescuePassword : null,
});

/** Looked for by tests where it must not be. */
export const rescuePassword = 'planted-rescue-password';

function shownContract({ name, contract = {} }: DedicatedServer | Vps, { now }: Call): JsonObject {
  const { status = 'ok', endsAtMs = now + 30 * 24 * 3_600_000, renewed = true } = contract;
  return {
    domain: name,
    serviceId: 1,
    status,
    creation: '2024-01-01',
    expiration: isoDate(endsAtMs).slice(0, 10),
    engagedUpTo: null,
    canDeleteAtExpiration: true,
    possibleRenewPeriod: [1, 12],
    renewalType: renewed ? 'automaticV2016' : 'manual',
    renew: {
      automatic: renewed,
      deleteAtExpiration: false,
      forced: false,
      manualPayment: false,
      period: 1,
    },
    contactAdmin: 'vg00000-ovh',
    contactBilling: 'vg00000-ovh',
    contactTech: 'vg00000-ovh',
  };
}
