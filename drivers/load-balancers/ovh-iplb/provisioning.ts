import { z } from 'zod';
import { Failure } from '../../../domain/failures.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { realTime, type Time } from '../../../ovh/time.js';
import { differences } from '../expectation.js';
import { readAs } from '../ovh-document.js';
import {
  isKept,
  newEveryMs,
  newForMs,
  usualGraceMs,
  type ProvisionerOptions,
  type Provisioned,
  type Provisioner,
  type Say,
  type Survey,
} from '../provisioning.js';
import { ConfigurationReader, rootOf, type Configuration } from './configuration.js';
import { Ids, type Pending } from './documents.js';
import type { Body, Role, Step } from './draft.js';
import { provisioningPlan, type ProvisioningPlan, type Wish } from './provisioning-plan.js';
import { Refreshes } from './refreshes.js';
import { actionTo } from './routes.js';
import { pendingWords } from './view.js';

/** Creates what a service needs on an OVHcloud Load Balancer, and publishes it with one refresh. */
export const createIplbProvisioner = (
  api: OvhApi,
  wish: Wish,
  options: ProvisionerOptions = {},
): Provisioner => new IplbProvisioner(api, wish, options);

/** What a survey has found. */
interface Found {
  readonly configuration: Configuration;
  readonly pending: Pending;
  readonly plan: ProvisioningPlan;
}

/** How one object is created and recognised. */
interface Creation {
  /** Its list, below the load balancer. */
  readonly list: string;
  readonly idField: string;
  readonly body: Body;
  readonly isIt: (object: Body) => boolean;
}

const attempts = 5;
const firstBackOffMs = 250;

class IplbProvisioner implements Provisioner {
  readonly name: string;
  readonly #api: OvhApi;
  readonly #wish: Wish;
  readonly #root: string;
  readonly #reader: ConfigurationReader;
  readonly #refreshes: Refreshes;
  readonly #time: Time;
  readonly #graceMs: number;

  constructor(api: OvhApi, wish: Wish, { graceMs = usualGraceMs, time = realTime }: ProvisionerOptions) {
    const { serviceName, refreshDeadlineMs } = wish.settings;
    this.name = serviceName;
    this.#api = api;
    this.#time = time;
    this.#wish = wish;
    this.#root = rootOf({ serviceName });
    this.#reader = new ConfigurationReader(api, { serviceName });
    this.#refreshes = new Refreshes(api, this.#root, refreshDeadlineMs, () => this.#reader.pending(), time);
    this.#graceMs = graceMs;
  }

  async survey(): Promise<Survey> {
    const configuration = await this.#reader.everything();
    const found: Found = {
      configuration,
      pending: await this.#reader.pending(),
      plan: provisioningPlan(this.#wish, configuration),
    };
    const { steps, notes, refusals } = found.plan;
    return {
      title: `${steps.length} ${steps.length === 1 ? 'object' : 'objects'} to create on ${this.name}, published with one refresh`,
      steps: steps.map(({ words }) => words),
      notes,
      refusals,
      staged: pendingWords(found.pending),
      apply: (publishStaged, say) => this.#apply(found, publishStaged, say),
    };
  }

  /** What somebody else has stored meanwhile is not published, and what was stored before only where that is asked for. */
  async #apply(
    { configuration, pending, plan }: Found,
    publishStaged: boolean,
    say: Say,
  ): Promise<Provisioned> {
    if (plan.refusals.length > 0)
      throw this.#refusal(plan.refusals.join('; '), 'show all of it: verdigris ovh provision --plan');
    if (pending.length > 0 && !publishStaged) {
      throw this.#refusal(
        `edits are stored and not published (${pendingWords(pending).join(', ')}), needs none`,
        'apply them or take them back in the control panel; where an earlier run was interrupted they are its own: --publish-staged',
      );
    }
    await this.#refreshes.settled(say);
    const ids = new Map(plan.ids);
    const created = new Map<string, Body>();
    for (const step of plan.steps) {
      say(step.words);
      created.set(...(await this.#taken(step, ids)));
    }
    if (plan.steps.length > 0 || pending.length > 0) {
      const requireOursAlone = (): Promise<void> => this.#requireOursAlone(configuration, created);
      await requireOursAlone();
      await this.#refreshes.publish(say, requireOursAlone);
    }
    return {
      named: [...plan.paths].flatMap(([role, path]) => {
        const id = ids.get(role);
        return id === undefined ? [] : [{ path, id }];
      }),
      created: [...created.keys()],
    };
  }

  /** An order publishes everything that is stored: nothing may be but what was before and what was created, as it was written. */
  async #requireOursAlone(before: Configuration, created: ReadonlyMap<string, Body>): Promise<void> {
    const after = await this.#everythingWith([...created.keys()]);
    this.#requireWhole(created, after);
    const foreign = differences(digests(before), digests(after, created));
    if (foreign.length === 0) return;
    throw this.#refusal(
      `somebody else edits it at the same time (${foreign.join(', ')}), needs nobody else's edits to publish`,
      `what was created is stored and not published (${[...created.keys()].join(', ')}); look at it, then run this again with --publish-staged`,
    );
  }

  #refusal(because: string, next: string): Failure {
    return new Failure('StagedEditsFound', `Cannot provision "${this.name}": ${because}\n  ${next}`);
  }

  /** Carries out one step. Gives the name of what is there then, and how it was written. */
  async #taken(step: Step, ids: Map<Role, number>): Promise<[string, Body]> {
    const creation = creationOf(step, ids);
    const id = await this.#create(creation);
    if (step.kind !== 'server' && step.kind !== 'rule') ids.set(step.role, id);
    return [`${creation.list}/${id}`, creation.body];
  }

  /** Creates one object, once: where the answer was lost it is looked for before anybody tries again. */
  async #create({ list, idField, body, isIt }: Creation): Promise<number> {
    const endMs = this.#time.nowMs() + newForMs;
    for (let attempt = 1; ; attempt++) {
      try {
        const made = z
          .looseObject({ [idField]: z.int().positive() })
          .safeParse(await this.#api.post(`${this.#root}/${list}`, body));
        if (made.success) return made.data[idField] as number;
      } catch (error) {
        if (this.#mayBeNew(error, list, endMs)) {
          await this.#time.sleep(newEveryMs);
          continue;
        }
        if (!(error instanceof OvhError) || !error.passing || attempt >= attempts) throw error;
        if (!error.ambiguous) {
          await this.#time.sleep(error.retryAfterMs ?? firstBackOffMs * 2 ** attempt);
          continue;
        }
      }
      const there = (await this.#found(list, isIt)) ?? (await this.#foundLater(list, isIt));
      if (there !== undefined) return there;
      if (attempt >= attempts)
        throw new Failure(
          'StateUnclear',
          `Cannot create an object in ${list}: no answer names it and it is not there, needs to be looked at\n  look at it in the control panel, then run this again`,
        );
    }
  }

  /** Whether what was made just now may not be known yet where something is put into it. */
  #mayBeNew(error: unknown, list: string, endMs: number): boolean {
    return (
      error instanceof OvhError &&
      error.status === 404 &&
      /\/(server|rule)$/.test(list) &&
      this.#time.nowMs() < endMs
    );
  }

  /** The whole configuration; what was created just now is waited for. */
  async #everythingWith(created: readonly string[]): Promise<Configuration> {
    const endMs = this.#time.nowMs() + newForMs;
    for (;;) {
      const configuration = await this.#reader.everything();
      const objects = objectsOf(configuration);
      if (created.every((name) => objects.has(name)) || this.#time.nowMs() > endMs) return configuration;
      await this.#time.sleep(newEveryMs);
    }
  }

  async #foundLater(list: string, isIt: Creation['isIt']): Promise<number | undefined> {
    await this.#time.sleep(this.#graceMs);
    return this.#found(list, isIt);
  }

  async #found(list: string, isIt: Creation['isIt']): Promise<number | undefined> {
    const path = `${this.#root}/${list}`;
    for (const id of (await readAs(this.#api, path, Ids)).toSorted((a, b) => a - b)) {
      if (isIt(await readAs(this.#api, `${path}/${id}`, z.looseObject({})))) return id;
    }
    return undefined;
  }

  /** Every field that was written must be there as it was written: clients and APIs lose some on the way. */
  #requireWhole(created: ReadonlyMap<string, Body>, after: Configuration): void {
    for (const [name, body] of created) {
      const object: Body = objectsOf(after).get(name) ?? {};
      const lost = Object.entries(body).find(([field, value]) => !isKept(value, object[field]));
      if (!lost) continue;
      throw new Failure(
        'LoadBalancerChanged',
        `Cannot provision "${this.name}": ${name} has ${lost[0]} ${JSON.stringify(object[lost[0]] ?? null)}, needs ${JSON.stringify(lost[1])}\n  it was created and is not published; look at it in the control panel`,
      );
    }
  }
}

function creationOf({ kind, protocol, role, leadsTo, body }: Step, ids: ReadonlyMap<Role, number>): Creation {
  const hasName = ({ displayName }: Body): boolean => displayName === body['displayName'];
  const target = (): number => required(ids.get(leadsTo ?? ''), leadsTo);
  switch (kind) {
    case 'farm':
      return { list: `${protocol}/farm`, idField: 'farmId', body, isIt: hasName };
    case 'frontend': {
      const pointed = { ...body, defaultFarmId: target() };
      return { list: `${protocol}/frontend`, idField: 'frontendId', body: pointed, isIt: hasName };
    }
    case 'route': {
      const led = { ...body, action: actionTo(target()) };
      return { list: `${protocol}/route`, idField: 'routeId', body: led, isIt: hasName };
    }
    case 'server': {
      const list = `${protocol}/farm/${required(ids.get(role), role)}/server`;
      const isIt = ({ address, port }: Body): boolean => address === body['address'] && port === body['port'];
      return { list, idField: 'serverId', body, isIt };
    }
    case 'rule': {
      const list = `${protocol}/route/${required(ids.get(role), role)}/rule`;
      return { list, idField: 'ruleId', body, isIt: (rule) => isKept(body, rule) };
    }
    default:
      return kind satisfies never;
  }
}

const objectsOf = ({
  farms,
  frontends,
  servers,
  routes,
  certificates,
}: Configuration): ReadonlyMap<string, Body> =>
  new Map<string, Body>([
    ...farms,
    ...frontends,
    ...servers,
    ...routes,
    ...certificates,
    ...[...routes].flatMap(([name, { rules }]) =>
      (rules ?? []).map((rule) => [`${name}/rule/${String(rule['ruleId'])}`, rule] as const),
    ),
  ]);

/** What each object says that is not among ours, to be compared. What probes find is left out. */
const digests = (
  configuration: Configuration,
  ours: ReadonlyMap<string, Body> = new Map(),
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...objectsOf(configuration)]
      .filter(([name]) => !ours.has(name))
      // The rules of a route are objects of their own.
      .map(([name, { serverState: _probed, rules: _own, ...object }]) => [name, JSON.stringify(object)]),
  );

function required(id: number | undefined, role: Role | undefined): number {
  if (id === undefined)
    throw new TypeError(
      `Cannot tell the "${role}" of a plan: it was neither found nor created, needs one of the two`,
    );
  return id;
}
