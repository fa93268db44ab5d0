import { performance } from 'node:perf_hooks';
import { setImmediate as aTurn, setTimeout as sleep } from 'node:timers/promises';
import { otherColor, type Color } from '../../domain/color.js';
import { Failure } from '../../domain/failures.js';
import { hashOf } from '../../domain/hash.js';
import type { ServerName } from '../../domain/names.js';
import type {
  BackendObservation,
  BackendState,
  LoadBalancerObservation,
  Traffic,
} from '../../domain/observation.js';
import type { Server } from '../../domain/service.js';
import { allTo, describeSplit, sameSplit, wholly, type Split } from '../../domain/split.js';
import type { Patience } from '../patience.js';
import { activityOf } from './activity.js';
import type { LoadBalancerDriver, RouteChange, RouteReport } from './driver.js';
import { foreignDifferences, oursDiffer, expectingOfStaged } from './expectation.js';
import { inDoubt } from './in-doubt.js';

/** All load balancers of a world without a network, by name. */
export class InMemoryLoadBalancers {
  readonly #worlds = new Map<string, InMemoryLoadBalancer>();

  /** The load balancer of that name; made on first use, with all traffic on blue. */
  world(name: string): InMemoryLoadBalancer {
    const known = this.#worlds.get(name) ?? new InMemoryLoadBalancer(name);
    this.#worlds.set(name, known);
    return known;
  }
}

/** One question or order that reached the load balancer. */
export type LoadBalancerOperation = 'read' | 'store' | 'publish';

export interface LoadBalancerCall {
  readonly operation: LoadBalancerOperation;
  /** For people: `frontend -> all to green`. */
  readonly what: string;
}

interface PlannedFailure {
  readonly failure: Error;
  readonly operation: LoadBalancerOperation | undefined;
  readonly effect: 'none' | 'done';
}

type Values = Readonly<Record<string, unknown>>;

const frontend = 'frontend';
const serverObject = (name: ServerName): string => `server/${name}`;
const backupObject = (name: ServerName): string => `backup/${name}`;
const testers = 'testers';
/** A server as an object of its own, as anywhere else; nobody edits it here. */
const inFarm = ({ color, name }: Pick<Server, 'name' | 'color'>): string => `farm/${color}/server/${name}`;

/** The state of one load balancer, with the switches that tests turn. What is stored counts once it is published. */
export class InMemoryLoadBalancer {
  readonly name: string;
  /** Every call, in the order of arrival. */
  readonly calls: LoadBalancerCall[] = [];
  /** How long publishing takes. */
  delayMs = 0;
  #gate: { readonly reached: () => void; readonly open: Promise<void> } | undefined;
  /** What the load balancer's probes say of a server, and when they last looked. */
  backendState: (server: ServerName) => BackendState = () => 'up';
  checkedAtMs: () => number = Date.now;
  readonly recentSwitchesMs: number[] = [];
  readonly #failures: PlannedFailure[] = [];
  #stored = new Map<string, Values>();
  #published = new Map<string, Values>();
  #staged: { readonly object: string; readonly who: 'ours' | 'somebody else' }[] = [];
  #confusion: Exclude<Traffic, { kind: 'split' }> | undefined;

  constructor(name: string, split: Split = allTo('blue')) {
    this.name = name;
    this.#stored.set(frontend, { split });
    this.#stored.set('farm/blue', { balance: 'roundrobin' });
    this.#stored.set('farm/green', { balance: 'roundrobin' });
    this.#stored.set('farm/other', { balance: 'roundrobin' });
    this.#published = new Map(this.#stored);
  }

  /** Where new traffic really goes: what was published. */
  get split(): Split {
    return splitOf(this.#published);
  }

  /** Where new traffic goes, or why that cannot be said. */
  get traffic(): Traffic {
    return this.#confusion ?? { kind: 'split', split: this.split };
  }

  /** Servers that stand by for the other environment, as published. */
  get backups(): readonly ServerName[] {
    return backupsIn(this.#published);
  }

  /** The environment that testers reach while everybody else does not, as published. */
  get testersReach(): Color | undefined {
    return reachIn(this.#published);
  }

  /** Servers that were set inactive, as published. */
  get inactive(): readonly ServerName[] {
    return inactiveIn(this.#published);
  }

  /**
   * The next call (of `operation`, when given) fails: before it does anything (`none`), or after it was done and only
   * its answer was lost (`done`).
   */
  failNext(
    failure: Error,
    options: { readonly operation?: LoadBalancerOperation; readonly effect?: 'none' | 'done' } = {},
  ): void {
    this.#failures.push({ failure, operation: options.operation, effect: options.effect ?? 'none' });
  }

  /** Publishing waits until `release` is called; `held` settles when somebody publishes. */
  hold(): { readonly held: Promise<void>; readonly release: () => void } {
    let release: () => void = () => undefined;
    let reached: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (reached = resolve));
    const open = new Promise<void>((resolve) => (release = resolve));
    this.#gate = { reached, open };
    return { held, release };
  }

  /** Somebody changes an object and publishes it. `farm/other` is none of this service's; `farm/blue` is. */
  editAsSomebodyElse(object = 'farm/blue', values: Values = { balance: 'source' }): void {
    this.stageAsSomebodyElse(object, values);
    this.#publish();
  }

  /** Somebody changes an object and has not published it yet. */
  stageAsSomebodyElse(object = 'farm/other', values: Values = { balance: 'source' }): void {
    this.#merge(object, values, 'somebody else');
  }

  /** Somebody publishes whatever is stored. */
  publishAsSomebodyElse(): void {
    this.#publish();
  }

  /** Somebody moves the traffic in the control panel. */
  moveInPanel(split: Split): void {
    this.#merge(frontend, { split }, 'somebody else');
    this.#publish();
  }

  /** Leaves a state that no deployment would, until traffic is routed again. */
  confuse(confusion: Exclude<Traffic, { kind: 'split' }>): void {
    this.#confusion = confusion;
  }

  /** How all is now, to compare. */
  state(): unknown {
    return [[...this.#stored], [...this.#published], this.#staged, this.#confusion];
  }

  /** Remembers how all is now, and goes back to it when called. */
  bookmark(): () => void {
    const [stored, published, staged] = [new Map(this.#stored), this.#published, this.#staged.slice()];
    const confusion = this.#confusion;
    return () => {
      this.#stored = new Map(stored);
      this.#published = published;
      this.#staged = staged.slice();
      this.#confusion = confusion;
    };
  }

  /** What is stored and what is published, as a driver may read it. */
  async read(): Promise<State> {
    return this.#call('read', 'everything', () => ({
      objects: new Map(this.#stored),
      published: this.#published,
      traffic: this.traffic,
      stagedByOthers: this.#staged.filter(({ who }) => who !== 'ours').map(({ object }) => object),
      stagedByUs: this.#staged.filter(({ who }) => who === 'ours').map(({ object }) => object),
    }));
  }

  async store(object: string, values: Values): Promise<void> {
    const what = `${object} -> ${JSON.stringify(values)}`;
    await this.#call('store', what, () => this.#merge(object, values, 'ours'));
  }

  async publish(): Promise<void> {
    if (this.delayMs > 0) await sleep(this.delayMs);
    this.#gate?.reached();
    await this.#gate?.open;
    await this.#call('publish', describeSplit(splitOf(this.#stored)), () => this.#publish());
  }

  #merge(object: string, values: Values, who: 'ours' | 'somebody else'): void {
    this.#stored.set(object, { ...this.#stored.get(object), ...values });
    this.#staged.push({ object, who });
  }

  #publish(): void {
    this.#published = new Map(this.#stored);
    this.#staged = [];
    this.#confusion = undefined;
  }

  // Every call takes a turn of the event loop, so that callers interleave as they do over a network.
  async #call<Answer>(operation: LoadBalancerOperation, what: string, act: () => Answer): Promise<Answer> {
    await aTurn();
    this.calls.push({ operation, what });
    const index = this.#failures.findIndex((planned) => (planned.operation ?? operation) === operation);
    const [planned] = index < 0 ? [] : this.#failures.splice(index, 1);
    if (planned?.effect === 'none') throw planned.failure;
    const answer = act();
    if (planned) throw planned.failure;
    return answer;
  }
}

type Objects = ReadonlyMap<string, Values>;

interface State {
  /** As they are stored. */
  readonly objects: Objects;
  readonly published: Objects;
  /** Where what is published sends it, or why that cannot be said. */
  readonly traffic: Traffic;
  readonly stagedByOthers: readonly string[];
  readonly stagedByUs: readonly string[];
}

const splitOf = (objects: Objects): Split => objects.get(frontend)?.['split'] as Split;

const backupsIn = (objects: Objects): readonly ServerName[] =>
  [...objects].flatMap(([object, { standsBy }]) =>
    standsBy === true ? [object.slice('backup/'.length) as ServerName] : [],
  );

const reachIn = (objects: Objects): Color | undefined => objects.get(testers)?.['reach'] as Color | undefined;

const inactiveIn = (objects: Objects): readonly ServerName[] =>
  [...objects].flatMap(([object, { status }]) =>
    status === 'inactive' ? [object.slice('server/'.length) as ServerName] : [],
  );

/** What a driver needs of the world; a test may stand between. */
export type InMemoryLink = Pick<InMemoryLoadBalancer, 'read' | 'store' | 'publish'>;

/** Keeps the promises of `LoadBalancerDriver` for a load balancer in memory. `link` is how it is reached. */
export function createInMemoryLoadBalancer(
  world: InMemoryLoadBalancer,
  servers: readonly Pick<Server, 'name' | 'color'>[],
  link: InMemoryLink = world,
): LoadBalancerDriver {
  return new InMemoryLoadBalancerDriver(world, servers, link);
}

class InMemoryLoadBalancerDriver implements LoadBalancerDriver {
  readonly name: string;
  readonly #world: InMemoryLoadBalancer;
  readonly #servers: readonly Pick<Server, 'name' | 'color'>[];
  readonly #link: InMemoryLink;

  constructor(
    world: InMemoryLoadBalancer,
    servers: readonly Pick<Server, 'name' | 'color'>[],
    link: InMemoryLink,
  ) {
    this.name = `load balancer ${world.name}`;
    this.#world = world;
    this.#servers = servers;
    this.#link = link;
  }

  async observe({ signal }: Patience): Promise<LoadBalancerObservation> {
    signal.throwIfAborted();
    const { objects, published, traffic, stagedByOthers, stagedByUs } = await this.#link.read();
    const [backups, testersReach] = [backupsIn(published), reachIn(published)];
    return {
      traffic,
      targets: [`frontend -> ${traffic.kind === 'split' ? describeSplit(splitOf(objects)) : traffic.detail}`],
      objects: this.#digests(objects),
      ours: this.#ours(),
      staged: [...stagedByUs, ...stagedByOthers].map((object) => `an edit of ${object}`),
      backends: this.#servers.map((server) => this.#backend(server, published)),
      recentSwitchesMs: [...this.#world.recentSwitchesMs],
      division: { kind: 'possible', shares: 'of new connections', smallest: { blue: 1, green: 1 } },
      ...(backups.length > 0 ? { backups } : {}),
      ...(testersReach ? { testersReach } : {}),
    };
  }

  async prepare(asked: RouteChange, { signal }: Patience): Promise<void> {
    signal.throwIfAborted();
    const before = await this.#link.read();
    const change = expectingOfStaged(asked, before.stagedByOthers.length > 0);
    this.#refuseIfChanged(change, before);
    this.#publishable(change, before);
  }

  async route(asked: RouteChange, { signal, progress }: Patience): Promise<RouteReport> {
    signal.throwIfAborted();
    const startedAt = performance.now();
    const before = await this.#link.read();
    const change = expectingOfStaged(asked, before.stagedByOthers.length > 0);
    this.#refuseIfChanged(change, before);
    const edits = this.#edits(change, before);
    const staged = before.stagedByUs.length + before.stagedByOthers.length;
    if (edits.length === 0 && staged === 0 && before.traffic.kind === 'split') {
      return { changed: false, split: change.to, tookMs: 0, published: [] };
    }
    this.#publishable(change, before);
    let published: readonly string[];
    try {
      published = await this.#storeAll(edits, change, { signal, progress });
    } catch (error) {
      throw await this.#takenBack(edits, before, error);
    }
    progress(`publishing ${describeSplit(change.to)}`);
    try {
      await this.#publish();
    } catch (error) {
      throw mayHavePublished(error) ? error : await this.#takenBack(edits, before, error);
    }
    await this.#prove(change);
    const tookMs = performance.now() - startedAt;
    this.#world.recentSwitchesMs.push(tookMs);
    return { changed: true, split: change.to, tookMs, published };
  }

  /** Stores every edit and reads everything back. Tells what of somebody else goes out with it. */
  async #storeAll(
    edits: readonly Edit[],
    change: RouteChange,
    { signal, progress }: Patience,
  ): Promise<readonly string[]> {
    for (const [object, values] of edits) {
      progress(`storing ${object}`);
      await this.#store(object, values);
      signal.throwIfAborted();
    }
    const stored = await this.#link.read();
    this.#refuseIfChanged(change, stored);
    const undone = this.#edits(change, stored).map(([object]) => object);
    if (undone.length > 0) {
      const because = `somebody else changes ${undone.join(', ')} at the same time`;
      throw this.#failure('LoadBalancerChanged', change, because);
    }
    signal.throwIfAborted();
    return this.#publishable(change, stored);
  }

  /** Reads again what was published; whatever fails here, it was. */
  async #prove(change: RouteChange): Promise<void> {
    const { published } = await this.#link.read().catch((error: unknown) => {
      throw inDoubt(error);
    });
    const split = splitOf(published);
    if (sameSplit(split, change.to)) return;
    const because = `${frontend} was changed by somebody else and sends ${describeSplit(split)}`;
    throw this.#failure('TrafficNotMoved', change, because);
  }

  /** The values to store so that traffic follows the change; empty when it does already. */
  #edits(change: RouteChange, { objects }: Pick<State, 'objects'>): readonly Edit[] {
    const { to } = change;
    return [
      ...(sameSplit(splitOf(objects), to) ? [] : [[frontend, { split: to }] as const]),
      ...this.#servers.flatMap((server) => {
        const object = serverObject(server.name);
        const now = objects.get(object)?.['status'] ?? 'active';
        const status = activityOf(server, change) ?? now;
        return now === status ? [] : [[object, { status }] as const];
      }),
      ...this.#standingByEdits(change, objects),
      ...this.#testersEdits(change, objects),
    ];
  }

  #standingByEdits({ to, fallback, leaveOut }: RouteChange, objects: Objects): readonly Edit[] {
    const color = wholly(to);
    return this.#servers.flatMap((server) => {
      const object = backupObject(server.name);
      const standsBy =
        fallback === true && color !== undefined && color !== server.color && !leaveOut.includes(server.name);
      const now = objects.get(object)?.['standsBy'] ?? false;
      return now === standsBy ? [] : [[object, { standsBy }] as const];
    });
  }

  #testersEdits({ to, testers: open }: RouteChange, objects: Objects): readonly Edit[] {
    const color = wholly(to);
    const reach = open && color ? otherColor(color) : undefined;
    return objects.get(testers)?.['reach'] === reach ? [] : [[testers, { reach }]];
  }

  #refuseIfChanged(change: RouteChange, { objects }: State): void {
    if (!change.expected) return;
    const changed = oursDiffer(change.expected, this.#digests(objects), this.#ours());
    if (changed.length === 0) return;
    const meaning =
      change.purpose === 'rollback'
        ? 'going back all the same publishes that change too; not going back leaves traffic where it is'
        : 'nothing was moved';
    throw this.#failure('LoadBalancerChanged', change, `${changed.join(', ')}\n  ${meaning}`);
  }

  /** Somebody else's edits that go out with this change, in words; refuses those that must not. */
  #publishable(change: RouteChange, state: State): readonly string[] {
    if (state.stagedByOthers.length === 0) return [];
    const others = state.stagedByOthers.map((object) => `an edit of ${object}`);
    if (change.purpose === 'rollback') return others;
    const foreign = change.expected
      ? foreignDifferences(change.expected, this.#digests(state.objects), this.#ours())
      : undefined;
    if (foreign?.length === 0) return [];
    throw this.#failure(
      'StagedEditsFound',
      change,
      `${others.join(', ')} by somebody else would be published`,
    );
  }

  async #store(object: string, values: Values): Promise<void> {
    try {
      await this.#link.store(object, values);
    } catch (error) {
      if (!isAmbiguous(error)) throw error;
      const { objects } = await this.#link.read();
      if (hashOf({ ...objects.get(object), ...values }) !== hashOf(objects.get(object) ?? {})) {
        await this.#link.store(object, values);
      }
    }
  }

  async #publish(): Promise<void> {
    try {
      await this.#link.publish();
    } catch (error) {
      if (!isAmbiguous(error)) throw error;
      await this.#publishAgain().catch((trouble: unknown) => {
        throw inDoubt(trouble);
      });
    }
  }

  /** Where the order is not known to have arrived. */
  async #publishAgain(): Promise<void> {
    const { stagedByOthers, stagedByUs } = await this.#link.read();
    if (stagedByOthers.length + stagedByUs.length > 0) await this.#link.publish();
  }

  /** The error to throw once what was stored is as it was before. */
  async #takenBack(edits: readonly Edit[], before: State, error: unknown): Promise<unknown> {
    try {
      await this.#putBack(edits, before);
      return error;
    } catch (trouble) {
      const because = trouble instanceof Error ? trouble.message : String(trouble);
      return new Failure(
        'LoadBalancerUnreachable',
        `Cannot put back what was stored on "${this.#world.name}" and not published: ${because}\n  it was put there for a change that failed (${String(error)}); the next try finishes it or puts it back`,
        { cause: error, ambiguous: true },
      );
    }
  }

  async #putBack(edits: readonly Edit[], before: State): Promise<void> {
    const { objects } = await this.#link.read();
    for (const [object, values] of edits) {
      const now = objects.get(object) ?? {};
      const holdsOurs = hashOf({ ...now, ...values }) === hashOf(now);
      if (!holdsOurs) continue;
      await this.#store(object, before.objects.get(object) ?? unset);
    }
  }

  #digests(objects: ReadonlyMap<string, Values>): Readonly<Record<string, string>> {
    return Object.fromEntries([
      ...[...objects]
        .map(([object, { split: _split, status: _status, ...rest }]) => [object, hashOf(rest)] as const)
        .filter(([object]) => !/^(server|backup)\/|^testers$/.test(object)),
      ...this.#servers.map((server) => [inFarm(server), hashOf(server.name)] as const),
    ]);
  }

  #ours(): readonly string[] {
    return [frontend, 'farm/blue', 'farm/green', ...this.#servers.map(inFarm)];
  }

  #backend({ name, color }: Pick<Server, 'name' | 'color'>, published: Objects): BackendObservation {
    const state = inactiveIn(published).includes(name) ? 'inactive' : this.#world.backendState(name);
    const checked = state === 'up' || state === 'down';
    return { server: name, color, state, ...(checked ? { checkedAtMs: this.#world.checkedAtMs() } : {}) };
  }

  #failure(
    failure: 'LoadBalancerChanged' | 'StagedEditsFound' | 'TrafficNotMoved',
    { to }: RouteChange,
    because: string,
  ): Failure {
    return new Failure(failure, `Cannot send ${describeSplit(to)} on "${this.#world.name}": ${because}`);
  }
}

type Edit = readonly [object: string, values: Values];

/** What an object is that nobody has stored. */
const unset: Values = { status: 'active', standsBy: false, reach: undefined };

/** Anything but a refusal of the order. */
const mayHavePublished = (error: unknown): boolean =>
  !(error instanceof Failure) || error.ambiguous || error.failure === 'RefreshFailed';

const isAmbiguous = (error: unknown): boolean => error instanceof Failure && error.ambiguous;
