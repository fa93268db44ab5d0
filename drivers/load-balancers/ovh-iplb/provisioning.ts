import { z } from 'zod';
import type { Color } from '../../../domain/color.js';
import type { MixedFarmSettings } from '../../../domain/service.js';
import { Failure } from '../../../domain/failures.js';
import type { OvhApi } from '../../../ovh/api.js';
import { OvhError } from '../../../ovh/error.js';
import { realTime, type Time } from '../../../ovh/time.js';
import { differences } from '../expectation.js';
import { ConfigurationReader, rootOf, type Configuration } from './configuration.js';
import { readAs } from '../ovh-document.js';
import { Ids, type Pending } from './documents.js';
import type { EquipmentStep } from './equipment.js';
import {
  describeStep,
  markerOf,
  provisioningPlan,
  type ProvisioningPlan,
  type Step,
  type Wish,
} from './provisioning-plan.js';
import { Refreshes } from './refreshes.js';
import { actionTo } from './routes.js';
import { pendingWords } from './view.js';

/** How a load balancer is, and what has to be created on it. */
export interface Survey {
  readonly configuration: Configuration;
  readonly pending: Pending;
  readonly plan: ProvisioningPlan;
}

export interface Provisioned {
  readonly farms: Readonly<Record<Color, number>>;
  readonly stagingFrontend: number;
  readonly mixed?: MixedFarmSettings;
  readonly testersRoute?: number;
  /** Names of the objects that were created. */
  readonly created: readonly string[];
}

type Say = (what: string) => void;
type Body = Readonly<Record<string, unknown>>;
type ObjectIds = Partial<Record<Color | 'staging' | 'mixed' | 'mixedStaging' | 'testers', number>>;

const attempts = 5;
const firstBackOffMs = 250;
/** A write whose answer was lost may still be carried out this much later. */
const usualGraceMs = 30_000;
/** For so long the API may not know what it has just created. */
const newForMs = 30_000;
const newEveryMs = 500;

/** Creates what a service needs on a load balancer. Never edits, renames or deletes anything. */
export class Provisioner {
  readonly #api: OvhApi;
  readonly #wish: Wish;
  readonly #root: string;
  readonly #reader: ConfigurationReader;
  readonly #refreshes: Refreshes;
  readonly #time: Time;
  readonly #graceMs: number;

  constructor(
    api: OvhApi,
    wish: Wish,
    { graceMs = usualGraceMs, time = realTime }: { readonly graceMs?: number; readonly time?: Time } = {},
  ) {
    this.#api = api;
    this.#time = time;
    this.#wish = wish;
    this.#root = rootOf(wish.settings);
    this.#reader = new ConfigurationReader(api, wish.settings);
    const { refreshDeadlineMs } = wish.settings;
    this.#refreshes = new Refreshes(api, this.#root, refreshDeadlineMs, () => this.#reader.pending(), time);
    this.#graceMs = graceMs;
  }

  /** Looks, and plans. Changes nothing. */
  async survey(): Promise<Survey> {
    const configuration = await this.#reader.everything();
    return {
      configuration,
      pending: await this.#reader.pending(),
      plan: provisioningPlan(this.#wish, configuration),
    };
  }

  /**
   * Carries out the plan of a survey and publishes it with one refresh. What somebody else has stored meanwhile is not
   * published, and what was stored before only with `publishStaged`.
   */
  async apply(survey: Survey, publishStaged: boolean, say: Say): Promise<Provisioned> {
    const { serviceName } = this.#wish.settings;
    const refuse = (because: string, next: string): Failure =>
      new Failure('StagedEditsFound', `Cannot provision "${serviceName}": ${because}\n  ${next}`);
    const { plan, pending } = survey;
    if (pending.length > 0 && !publishStaged) {
      throw refuse(
        `edits are stored and not published (${pendingWords(pending).join(', ')}), needs none`,
        'apply them or take them back in the control panel; where an earlier run was interrupted they are its own: --publish-staged',
      );
    }
    await this.#refreshes.settled(say);
    const ids: ObjectIds = {
      ...plan.equipment,
      ...plan.farms,
      ...(plan.stagingFrontend === undefined ? {} : { staging: plan.stagingFrontend }),
    };
    const created = new Map<string, Step>();
    for (const step of plan.steps) {
      say(describeStep(step));
      created.set(...(await this.#taken(step, ids)));
    }
    if (plan.steps.length > 0 || pending.length > 0) {
      const after = await this.#everythingWith([...created.keys()]);
      this.#requireWhole(created, after);
      const foreign = differences(digests(survey.configuration), digests(after, created));
      if (foreign.length > 0) {
        throw refuse(
          `somebody else edits it at the same time (${foreign.join(', ')}), needs nobody else's edits to publish`,
          `what was created is stored and not published (${[...created.keys()].join(', ')}); look at it, then run this again with --publish-staged`,
        );
      }
      await this.#refreshes.publish(say);
    }
    return {
      farms: { blue: required(ids.blue), green: required(ids.green) },
      stagingFrontend: required(ids.staging),
      ...(ids.mixed !== undefined && ids.mixedStaging !== undefined
        ? { mixed: { farm: ids.mixed, stagingFrontend: ids.mixedStaging } }
        : {}),
      ...(ids.testers === undefined ? {} : { testersRoute: ids.testers }),
      created: [...created.keys()],
    };
  }

  /** Carries out one step. Gives the name of what is there then. */
  async #taken(step: Step, ids: ObjectIds): Promise<[string, Step]> {
    const { protocol } = this.#wish.settings;
    switch (step.kind) {
      case 'farm': {
        const list = `${protocol}/farm`;
        ids[step.color] = await this.#create(
          list,
          'farmId',
          step.body,
          ({ displayName }) => displayName === markerOf(this.#wish.service.id, step.color),
        );
        return [`${list}/${ids[step.color]}`, step];
      }
      case 'server': {
        const list = `${protocol}/farm/${required(ids[step.color])}/server`;
        const { address, port } = step.body;
        const id = await this.#create(
          list,
          'serverId',
          step.body,
          (server) => server['address'] === address && server['port'] === port,
        );
        return [`${list}/${id}`, step];
      }
      case 'staging frontend': {
        const list = `${protocol}/frontend`;
        const body = { ...step.body, defaultFarmId: required(ids[step.color]) };
        ids.staging = await this.#create(
          list,
          'frontendId',
          body,
          ({ displayName }) => displayName === markerOf(this.#wish.service.id, 'staging'),
        );
        return [`${list}/${ids.staging}`, { ...step, body }];
      }
      default:
        return this.#equipped(step, ids);
    }
  }

  async #equipped(step: EquipmentStep, ids: ObjectIds): Promise<[string, Step]> {
    const { protocol } = this.#wish.settings;
    const hasName = ({ displayName }: Body): boolean => displayName === step.body['displayName'];
    const isServer = ({ address, port }: Body): boolean =>
      address === step.body['address'] && port === step.body['port'];
    switch (step.kind) {
      case 'mixed farm': {
        ids.mixed = await this.#create(`${protocol}/farm`, 'farmId', step.body, hasName);
        return [`${protocol}/farm/${ids.mixed}`, step];
      }
      case 'mixed server':
      case 'backup': {
        const farm = required(step.kind === 'backup' ? ids[step.color] : ids.mixed);
        const list = `${protocol}/farm/${farm}/server`;
        return [`${list}/${await this.#create(list, 'serverId', step.body, isServer)}`, step];
      }
      case 'mixed staging frontend': {
        const body = { ...step.body, defaultFarmId: required(ids.mixed) };
        ids.mixedStaging = await this.#create(`${protocol}/frontend`, 'frontendId', body, hasName);
        return [`${protocol}/frontend/${ids.mixedStaging}`, { ...step, body }];
      }
      case 'testers route': {
        const body = { ...step.body, action: actionTo(required(ids[step.color])) };
        ids.testers = await this.#create(`${protocol}/route`, 'routeId', body, hasName);
        return [`${protocol}/route/${ids.testers}`, { ...step, body }];
      }
      case 'testers rule': {
        const list = `${protocol}/route/${required(ids.testers)}/rule`;
        const isIt = (rule: Body): boolean => isKept(step.body, rule);
        return [`${list}/${await this.#create(list, 'ruleId', step.body, isIt)}`, step];
      }
      default:
        return step satisfies never;
    }
  }

  /** Creates one object, once: where the answer was lost it is looked for before anybody tries again. */
  async #create(
    list: string,
    idField: string,
    body: Step['body'],
    isIt: (object: Readonly<Record<string, unknown>>) => boolean,
  ): Promise<number> {
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
          `Cannot create an object in ${list}: no answer names it and it is not there, needs to be looked at`,
        );
    }
  }

  /** Whether a farm that was made just now may not be known yet where its servers are put in. */
  #mayBeNew(error: unknown, list: string, endMs: number): boolean {
    return (
      error instanceof OvhError &&
      error.status === 404 &&
      list.endsWith('/server') &&
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

  async #foundLater(
    list: string,
    isIt: (object: Readonly<Record<string, unknown>>) => boolean,
  ): Promise<number | undefined> {
    await this.#time.sleep(this.#graceMs);
    return this.#found(list, isIt);
  }

  async #found(
    list: string,
    isIt: (object: Readonly<Record<string, unknown>>) => boolean,
  ): Promise<number | undefined> {
    const path = `${this.#root}/${list}`;
    for (const id of (await readAs(this.#api, path, Ids)).toSorted((a, b) => a - b)) {
      if (isIt(await readAs(this.#api, `${path}/${id}`, z.looseObject({})))) return id;
    }
    return undefined;
  }

  /** Every field that was written must be there as it was written: clients and APIs lose some on the way. */
  #requireWhole(created: ReadonlyMap<string, Step>, after: Configuration): void {
    for (const [name, { body }] of created) {
      const object: Readonly<Record<string, unknown>> = objectsOf(after).get(name) ?? {};
      const lost = Object.entries(body).find(([field, value]) => !isKept(value, object[field]));
      if (!lost) continue;
      throw new Failure(
        'LoadBalancerChanged',
        `Cannot provision "${this.#wish.settings.serviceName}": ${name} has ${lost[0]} ${JSON.stringify(object[lost[0]] ?? null)}, needs ${JSON.stringify(lost[1])}\n  it was created and is not published; look at it in the control panel`,
      );
    }
  }
}

/** Whether what was asked for is there; the API may have added to it. */
function isKept(wanted: unknown, is: unknown): boolean {
  if (Array.isArray(wanted))
    return Array.isArray(is) && wanted.length === is.length && wanted.every((one) => is.includes(one));
  if (typeof wanted !== 'object' || wanted === null) return wanted === is;
  return (
    typeof is === 'object' &&
    is !== null &&
    Object.entries(wanted).every(([key, value]) => isKept(value, (is as Record<string, unknown>)[key]))
  );
}

const objectsOf = ({
  farms,
  frontends,
  servers,
  routes,
}: Configuration): ReadonlyMap<string, Readonly<Record<string, unknown>>> =>
  new Map<string, Body>([
    ...farms,
    ...frontends,
    ...servers,
    ...routes,
    ...[...routes].flatMap(([name, { rules }]) =>
      (rules ?? []).map((rule) => [`${name}/rule/${String(rule['ruleId'])}`, rule] as const),
    ),
  ]);

/** What each object says that is not among ours, to be compared. What probes find is left out. */
const digests = (
  configuration: Configuration,
  ours: ReadonlyMap<string, Step> = new Map(),
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...objectsOf(configuration)]
      .filter(([name]) => !ours.has(name))
      // The rules of a route are objects of their own.
      .map(([name, { serverState: _probed, rules: _own, ...object }]) => [name, JSON.stringify(object)]),
  );

function required(id: number | undefined): number {
  if (id === undefined)
    throw new TypeError(
      'Cannot tell an object of a plan: it was neither found nor created, needs one of the two',
    );
  return id;
}
