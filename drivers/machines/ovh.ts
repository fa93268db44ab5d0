import type { z } from 'zod';
import { Failure } from '../../domain/failures.js';
import { describeProduct, type Intervention, type MachineFacts } from '../../domain/machines.js';
import type { OvhProduct } from '../../domain/service.js';
import type { OvhApi } from '../../ovh/api.js';
import { OvhError } from '../../ovh/error.js';
import { ovhFailure } from '../load-balancers/ovh-failure.js';
import type { Patience } from '../patience.js';
import {
  DedicatedServer,
  Hardware,
  Ids,
  Instance,
  PlannedIntervention,
  ServiceInfos,
  Vps,
} from './documents.js';
import type { MachineDriver } from './driver.js';

/** Dedicated servers, VPS and Public Cloud instances, through the API. */
export const createOvhMachines = (api: OvhApi, now: () => number = Date.now): MachineDriver => ({
  look: (product, patience) => new Look(api, product, patience, now()).take(),
});

type Told = Omit<MachineFacts, 'seenAtMs' | 'unknown'>;
type Contract = Pick<MachineFacts, 'endsAtMs' | 'contract'>;

/** More than a machine ever had; each costs a call. */
const maxInterventions = 20;

class Look {
  readonly #api: OvhApi;
  readonly #product: OvhProduct;
  readonly #patience: Patience;
  readonly #seenAtMs: number;
  readonly #unknown: string[] = [];

  constructor(api: OvhApi, product: OvhProduct, patience: Patience, seenAtMs: number) {
    this.#api = api;
    this.#product = product;
    this.#patience = patience;
    this.#seenAtMs = seenAtMs;
  }

  async take(): Promise<MachineFacts> {
    this.#patience.progress(`looking at ${describeProduct(this.#product)}`);
    const told = await this.#told();
    return { ...told, seenAtMs: this.#seenAtMs, unknown: this.#unknown };
  }

  #told(): Promise<Told> {
    const product = this.#product;
    switch (product.kind) {
      case 'dedicated server':
        return this.#dedicatedServer(`/dedicated/server/${product.name}`);
      case 'vps':
        return this.#vps(`/vps/${product.name}`);
      case 'instance':
        return this.#instance(`/cloud/project/${product.project}/instance/${product.id}`);
      default:
        throw new TypeError(`Cannot look at "${JSON.stringify(product satisfies never)}"`);
    }
  }

  async #dedicatedServer(path: string): Promise<Told> {
    const { state, powerState, datacenter, region } = await this.#read(path, DedicatedServer);
    const hardware = await this.#ifAllowed(`${path}/specifications/hardware`, Hardware, 'size');
    const cores = (hardware?.numberOfProcessors ?? 1) * (hardware?.coresPerProcessor ?? Number.NaN);
    const memory = hardware?.memorySize;
    return {
      state: [state, powerState === 'poweron' ? 'powered on' : powerState === 'poweroff' && 'powered off']
        .filter(Boolean)
        .join(', '),
      healthy: state === 'ok' && powerState !== 'poweroff',
      size: {
        ...(Number.isFinite(cores) ? { cores } : {}),
        ...(memory ? { memoryMb: memory.unit === 'GB' ? memory.value * 1024 : memory.value } : {}),
        ...whereKnown('model', hardware?.processorName),
        ...whereKnown('place', datacenter ?? region),
      },
      interventions: await this.#interventions(`${path}/plannedIntervention`),
      ...(await this.#contract(path)),
    };
  }

  async #vps(path: string): Promise<Told> {
    const { state, vcore, memoryLimit, zone, model } = await this.#read(path, Vps);
    return {
      state,
      // While it is backed up it serves as ever.
      healthy: state === 'running' || state === 'backuping',
      size: {
        ...whereKnown('cores', vcore),
        ...whereKnown('memoryMb', memoryLimit),
        ...whereKnown('model', model?.name),
        ...whereKnown('place', zone),
      },
      interventions: [],
      ...(await this.#contract(path)),
    };
  }

  async #instance(path: string): Promise<Told> {
    const { status, region, flavor } = await this.#read(path, Instance);
    return {
      state: status,
      healthy: status === 'ACTIVE',
      size: {
        ...whereKnown('cores', flavor?.vcpus),
        ...whereKnown('memoryMb', flavor?.ram),
        ...whereKnown('model', flavor?.name),
        ...whereKnown('place', region),
      },
      interventions: [],
    };
  }

  async #interventions(path: string): Promise<readonly Intervention[]> {
    const ids = (await this.#ifAllowed(path, Ids, 'planned interventions')) ?? [];
    const found: Intervention[] = [];
    // The newest have the highest numbers; what is over long since is told for ever.
    for (const id of ids.toSorted((one, other) => other - one).slice(0, maxInterventions)) {
      const told = await this.#ifAllowed(`${path}/${id}`, PlannedIntervention, 'a planned intervention');
      if (told && !isOver(told)) found.push(interventionFrom(told));
    }
    return found;
  }

  async #contract(path: string): Promise<Contract> {
    const infos = await this.#ifAllowed(`${path}/serviceInfos`, ServiceInfos, 'end of contract');
    return infos ? contractFrom(infos) : {};
  }

  async #read<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.output<Schema>> {
    const answer = await this.#api.get(path, { signal: this.#patience.signal }).catch((error: unknown) => {
      if (!(error instanceof OvhError)) throw error;
      if (error.status === 404 || error.status === 460) throw unknown(this.#product, error);
      throw ovhFailure(error, `look at ${describeProduct(this.#product)}`);
    });
    const document = schema.safeParse(answer);
    if (document.success) return document.data;
    throw new Failure(
      'MachineUnknown',
      `Cannot look at ${describeProduct(this.#product)}: GET ${path} answered something else, needs what the API describes`,
    );
  }

  /** A part that a narrow credential may lack: then it is said what is missing, and the rest counts. */
  async #ifAllowed<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    what: string,
  ): Promise<z.output<Schema> | undefined> {
    try {
      return await this.#read(path, schema);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#unknown.push(`${what} not known: ${whyNot(error, path)}`);
      return undefined;
    }
  }
}

function whyNot({ failure, message, cause }: Failure, path: string): string {
  if (failure !== 'CredentialRefused') return message;
  const denied = cause instanceof OvhError ? cause.deniedActions : undefined;
  return denied === undefined ? `needs the access rule GET ${path}` : `needs the IAM action ${denied}`;
}

function unknown(product: OvhProduct, cause: OvhError): Failure {
  const what = cause.status === 460 ? 'its contract has expired' : 'OVHcloud knows none of that name here';
  return new Failure(
    'MachineUnknown',
    `Cannot look at ${describeProduct(product)}: ${what}, needs a name as the control panel shows it, of this account`,
    { cause },
  );
}

function contractFrom({ status, expiration, renew }: ServiceInfos): Contract {
  const renewed = renew?.automatic === true && renew.deleteAtExpiration !== true;
  const endsAtMs = expiration === null || expiration === undefined ? Number.NaN : Date.parse(expiration);
  return {
    ...(status === 'ok' || status === 'autorenewInProgress' ? {} : { contract: status }),
    ...(renewed || Number.isNaN(endsAtMs) ? {} : { endsAtMs }),
  };
}

const isOver = ({ status }: PlannedIntervention): boolean => /^(cancel|done|end|finish|clos)/i.test(status);

function interventionFrom({ type, wantedStartDate, expectedEndDate }: PlannedIntervention): Intervention {
  const endsAtMs = expectedEndDate ? Date.parse(expectedEndDate) : Number.NaN;
  return {
    type,
    // One without a readable date is taken to be at hand.
    beginsAtMs: Number.isNaN(Date.parse(wantedStartDate)) ? 0 : Date.parse(wantedStartDate),
    ...(Number.isNaN(endsAtMs) ? {} : { endsAtMs }),
  };
}

const whereKnown = <Key extends string, Value>(
  key: Key,
  value: Value | null | undefined,
): { readonly [K in Key]?: Value } =>
  value === null || value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]: Value });
