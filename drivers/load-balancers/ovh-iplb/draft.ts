import type { IplbEntry } from '../../../domain/service.js';
import type { ServiceId } from '../../../domain/names.js';
import { keyWords, markerOf, type EntrancePath } from '../provisioning.js';
import type { Configuration } from './configuration.js';
import { ownObjects } from './inventory.js';
import type { ProvisioningPlan } from './provisioning-plan.js';

export type Body = Readonly<Record<string, unknown>>;

/** What an object is to the service: `blue`, `staging`, `tcp-70095-blue`. */
export type Role = string;

/** One object to create. What it refers to may be created before it. */
export interface Step {
  readonly kind: 'farm' | 'server' | 'frontend' | 'route' | 'rule';
  readonly protocol: IplbEntry['protocol'];
  /** Its own; of a server and a rule, that of the farm or route that it is in. */
  readonly role: Role;
  /** The role of the farm that it sends traffic to. */
  readonly leadsTo?: Role;
  readonly body: Body;
  /** For people. */
  readonly words: string;
}

/** A plan while it is made. */
export class Draft {
  readonly configuration: Configuration;
  /** What was found so far. */
  readonly ids = new Map<Role, number>();
  /** Ports that were given away. */
  readonly givenPorts = new Set<number>();
  readonly #service: ServiceId;
  readonly #paths = new Map<Role, EntrancePath>();
  readonly #steps: Step[] = [];
  readonly #notes: string[] = [];
  readonly #refusals: string[] = [];

  constructor(service: ServiceId, configuration: Configuration) {
    this.#service = service;
    this.configuration = configuration;
  }

  add(...steps: readonly Step[]): void {
    this.#steps.push(...steps);
  }

  note(what: string): void {
    this.#notes.push(what);
  }

  refuse(why: string): void {
    this.#refusals.push(why);
  }

  /** The object that a configuration names, else the oldest with our marker. One that is named has to be there. */
  found(
    kind: 'farm' | 'frontend' | 'route',
    protocol: IplbEntry['protocol'],
    role: Role,
    named: number | undefined,
    path: EntrancePath,
  ): number | undefined {
    this.#paths.set(role, path);
    const isThere = ({ farms, frontends, routes }: Configuration, name: string): boolean =>
      farms.has(name) || frontends.has(name) || routes.has(name);
    if (named !== undefined && !isThere(this.configuration, `${protocol}/${kind}/${named}`)) {
      this.refuse(`there is no ${protocol} ${kind} ${named}, needs to be there: ${keyWords(path)}`);
      return undefined;
    }
    const id = named ?? this.own(kind, protocol, role);
    if (id === undefined) return undefined;
    this.ids.set(role, id);
    this.#noteOthers(`${protocol}/${kind}/`, role, id);
    return id;
  }

  /** The oldest object with our marker. */
  own(kind: string, protocol: string, role: Role): number | undefined {
    return ownObjects(this.configuration, `${protocol}/${kind}/`, markerOf(this.#service, role))[0];
  }

  isOurs(farm: string, role: Role): boolean {
    return this.configuration.farms.get(farm)?.['displayName'] === markerOf(this.#service, role);
  }

  /** A second one is what is left of an answer that came too late. */
  #noteOthers(prefix: string, role: Role, id: number): void {
    const marker = markerOf(this.#service, role);
    const own = ownObjects(this.configuration, prefix, marker);
    if (!own.includes(id)) return;
    for (const other of own.filter((one) => one !== id)) {
      this.note(
        `${prefix}${other} has the name of ${prefix}${id} (${marker}): it is not used, delete it yourself`,
      );
    }
  }

  plan(): ProvisioningPlan {
    return {
      steps: this.#refusals.length > 0 ? [] : this.#steps,
      ids: this.ids,
      paths: this.#paths,
      notes: this.#notes,
      refusals: this.#refusals,
    };
  }
}
