import { Failure } from '../../../domain/failures.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { realTime, type Time } from '../../../ovh/time.js';
import {
  isKept,
  newEveryMs,
  newForMs,
  usualGraceMs,
  type ProvisionerOptions,
  markerOf,
  type Provisioned,
  type Provisioner,
  type Say,
  type Survey,
} from '../provisioning.js';
import { rootOf } from './configuration.js';
import { InventoryReader } from './inventory.js';
import { Lock } from './lock.js';
import {
  isCandidate,
  ownAmong,
  provisioningPlan,
  type Body,
  type ProvisioningPlan,
  type Role,
  type Step,
  type Wish,
} from './provisioning-plan.js';

/** Creates what a service needs on a Public Cloud Load Balancer. Each creation is applied at once, one after the other. */
export const createPublicCloudProvisioner = (
  api: OvhApi,
  wish: Wish,
  options: ProvisionerOptions = {},
): Provisioner => new PublicCloudProvisioner(api, wish, options);

/** How one step is carried out and recognised. */
interface Creation {
  /** The list that it is posted to, below the region's root. */
  readonly list: string;
  /** What is still to be posted. */
  readonly body: () => Promise<Body>;
  /** What is there of it, each with what it was asked to be; nothing unless all of it is. */
  readonly find: () => Promise<readonly Made[]>;
}

interface Made {
  readonly object: Readonly<Record<string, unknown>> & { readonly id: string };
  readonly wanted: Body;
}

class PublicCloudProvisioner implements Provisioner {
  readonly name: string;
  readonly #api: OvhApi;
  readonly #wish: Wish;
  readonly #root: string;
  readonly #reader: InventoryReader;
  readonly #lock: Lock;
  readonly #time: Time;
  readonly #graceMs: number;

  constructor(api: OvhApi, wish: Wish, { graceMs = usualGraceMs, time = realTime }: ProvisionerOptions) {
    const { settings } = wish;
    this.name = settings.id;
    this.#api = api;
    this.#wish = wish;
    this.#root = rootOf(settings);
    this.#reader = new InventoryReader(api, settings);
    this.#lock = new Lock(api, this.#root, settings.id, settings.updateDeadlineMs, time, again);
    this.#time = time;
    this.#graceMs = graceMs;
  }

  async survey(): Promise<Survey> {
    const plan = provisioningPlan(this.#wish, await this.#reader.everything(isCandidate(this.#wish)));
    const { steps, notes, refusals } = plan;
    return {
      title: `${steps.length} ${steps.length === 1 ? 'change' : 'changes'} of ${this.name}, applied one after the other`,
      steps: steps.map(({ words }) => words),
      notes,
      refusals,
      staged: [],
      apply: (_publishStaged, say) => this.#apply(plan, say),
    };
  }

  async #apply({ steps, refusals, ids: found, mixed }: ProvisioningPlan, say: Say): Promise<Provisioned> {
    if (refusals.length > 0)
      throw new Failure(
        'StateUnclear',
        `Cannot provision "${this.name}": ${refusals.join('; ')}\n  show all of it: verdigris ovh provision --plan`,
      );
    const ids = new Map(found);
    const created: string[] = [];
    for (const step of steps) created.push(...(await this.#taken(step, ids, say)));
    await this.#lock.free(say);
    return { named: namedBy(ids, mixed), created };
  }

  /** Carries out one step, unless somebody has meanwhile. Gives the names of what it has created. */
  async #taken(step: Step, ids: Map<Role, string>, say: Say): Promise<readonly string[]> {
    const creation = this.#creationOf(step, ids);
    const before = (await creation.find()).length > 0;
    if (!before) {
      const holds = async (): Promise<boolean> => (await creation.find()).length > 0;
      const put = async (): Promise<void> => this.#post(creation);
      await this.#lock.change({ words: step.words, holds, put }, say);
    }
    const made = await creation.find();
    const [first] = made;
    if (!first) throw this.#changed(`what was created last is not there (${step.words})`);
    if (step.kind === 'pool' || step.kind === 'listener') ids.set(step.role, first.object.id);
    for (const one of made) this.#requireWhole(creation.list, one);
    return before ? [] : made.map(({ object }) => `${creation.list}/${object.id}`);
  }

  #creationOf({ kind, role, leadsTo, body }: Step, ids: ReadonlyMap<Role, string>): Creation {
    const marker = markerOf(this.#wish.service.id, role);
    const poolId = (of: Role | undefined): string => required(ids.get(of ?? ''), of);
    const asked = (objects: readonly Made['object'][], wanted: Body): readonly Made[] =>
      objects.slice(0, 1).map((object) => ({ object, wanted }));
    switch (kind) {
      case 'pool':
        return {
          list: 'pool',
          body: async () => body,
          find: async () => asked(ownAmong(await this.#reader.pools(), marker), body),
        };
      case 'listener': {
        const whole = { ...body, defaultPoolId: poolId(leadsTo) };
        return {
          list: 'listener',
          body: async () => whole,
          find: async () => asked(ownAmong(await this.#reader.listeners(), marker), whole),
        };
      }
      case 'healthMonitor': {
        const pool = poolId(role);
        return {
          list: 'healthMonitor',
          body: async () => ({ ...body, poolId: pool }),
          find: async () => asked(await this.#reader.monitors(pool), body),
        };
      }
      case 'members':
        return this.#membersCreation(poolId(role), body['members'] as readonly Body[]);
      default:
        return kind satisfies never;
    }
  }

  /** Posted together, which is one change; what is there already is left out. */
  #membersCreation(pool: string, wanted: readonly Body[]): Creation {
    const found = async (): Promise<readonly (Made | Body)[]> => {
      const members = await this.#reader.members(pool);
      return wanted.map((one) => {
        const object = members.find(
          ({ address, protocolPort }) => address === one['address'] && protocolPort === one['protocolPort'],
        );
        return object ? { object, wanted: one } : one;
      });
    };
    const isMade = (one: Made | Body): one is Made => 'object' in one;
    return {
      list: `pool/${pool}/member`,
      body: async () => ({ members: (await found()).filter((one) => !isMade(one)) }),
      find: async () => {
        const all = await found();
        return all.every(isMade) ? all : [];
      },
    };
  }

  /** What refers to something new is tried again while that is not known; behind a lost answer it is waited before anybody looks. */
  async #post({ list, body, find }: Creation): Promise<void> {
    const endMs = this.#time.nowMs() + newForMs;
    for (;;) {
      try {
        await this.#api.post(`${this.#root}/${list}`, await body());
        return;
      } catch (error) {
        if (!(error instanceof OvhError)) throw error;
        if (error.ambiguous) await this.#time.sleep(this.#graceMs);
        const isThere = error.status === 409 && (await find()).length > 0;
        if (isThere) return;
        if (error.status !== 404 || list === 'pool' || this.#time.nowMs() > endMs) throw error;
        await this.#time.sleep(newEveryMs);
      }
    }
  }

  /** Every field that was written must be there as it was written: clients and APIs lose some on the way. */
  #requireWhole(list: string, { object, wanted }: Made): void {
    // Said in another way by what is read.
    const { loadbalancerId: _where, ...fields } = wanted;
    const lost = Object.entries(fields).find(([field, value]) => !isKept(value, object[field]));
    if (lost)
      throw this.#changed(
        `${list}/${object.id} has ${lost[0]} ${JSON.stringify(object[lost[0]] ?? null)}, needs ${JSON.stringify(lost[1])}`,
      );
  }

  #changed(because: string): Failure {
    return new Failure(
      'LoadBalancerChanged',
      `Cannot provision "${this.name}": ${because}\n  nothing with traffic was touched; look at it in the control panel, then: ${again}`,
    );
  }
}

const again = 'verdigris ovh provision --apply';

function namedBy(ids: ReadonlyMap<Role, string>, mixed: readonly Role[]): Provisioned['named'] {
  const one = (role: Role, path: readonly string[]): Provisioned['named'] => {
    const id = ids.get(role);
    return id === undefined ? [] : [{ path, id }];
  };
  const pools = mixed.flatMap((role) => ids.get(role) ?? []);
  return [
    ...one('staging', ['stagingListener']),
    ...one('blue', ['pools', 'blue']),
    ...one('green', ['pools', 'green']),
    ...(pools.length === 0 ? [] : [{ path: ['mixed', 'pools'], id: pools }]),
  ];
}

function required(id: string | undefined, role: Role | undefined): string {
  if (id === undefined)
    throw new TypeError(
      `Cannot tell the "${role}" of a plan: it was neither found nor created, needs one of the two`,
    );
  return id;
}
