import { colors, type Color } from '../../../domain/color.js';
import type { IplbEntry, Server } from '../../../domain/service.js';
import type { Split } from '../../../domain/split.js';
import { wholly } from '../../../domain/split.js';
import type { Configuration } from './configuration.js';
import type { BackendServer } from './documents.js';

/** What a farm is to a service. */
export type FarmRole = Color | 'mixed';

/** The farm that carries a split: a frontend has one default farm. */
export const roleFor = (split: Split): FarmRole => wholly(split) ?? 'mixed';

/** The objects of one entry by name, and what they mean to the service. Pure. */
export class Entry {
  readonly protocol: IplbEntry['protocol'];
  /** Those that the world comes in by. */
  readonly frontends: readonly string[];
  readonly staging: string;
  readonly mixedStaging: string | undefined;
  readonly #ids: Readonly<Partial<Record<FarmRole, number>>>;
  readonly #ports: IplbEntry['ports'];
  readonly #isFurther: boolean;

  /** A further one may be where the program listens on another port than the one that it is known by. */
  constructor({ protocol, frontends, stagingFrontend, farms, mixed, ports }: IplbEntry, isFurther: boolean) {
    const frontend = (id: number): string => `${protocol}/frontend/${id}`;
    this.protocol = protocol;
    this.frontends = frontends.map(frontend);
    this.staging = frontend(stagingFrontend);
    this.mixedStaging = mixed && frontend(mixed.stagingFrontend);
    this.#ids = { ...farms, ...(mixed ? { mixed: mixed.farm } : {}) };
    this.#ports = ports;
    this.#isFurther = isFurther;
  }

  /** Also those for probes only. */
  get allFrontends(): readonly string[] {
    return [...this.frontends, this.staging, ...(this.mixedStaging === undefined ? [] : [this.mixedStaging])];
  }

  get roles(): readonly FarmRole[] {
    return this.#ids.mixed === undefined ? colors : [...colors, 'mixed'];
  }

  get farms(): readonly string[] {
    return this.roles.map((role) => this.farm(role));
  }

  farm(role: FarmRole): string {
    return `${this.protocol}/farm/${this.farmId(role)}`;
  }

  farmId(role: FarmRole): number {
    const id = this.#ids[role];
    if (id === undefined) throw new TypeError(`Cannot name the ${role} farm: none is configured`);
    return id;
  }

  roleOf(farmId: number | null | undefined): FarmRole | undefined {
    return this.roles.find((role) => this.#ids[role] === farmId);
  }

  /** Which farm of the service a frontend points at. */
  pointsAt(frontend: string, { frontends }: Configuration): FarmRole | undefined {
    return this.roleOf(frontends.get(frontend)?.defaultFarmId);
  }

  /** Which object stands for a server in a farm: the one with its address and port; where no port is told, the one with its address. */
  member(server: Server, role: FarmRole, configuration: Configuration): Member | undefined {
    const farm = this.farm(role);
    const farmPort = configuration.farms.get(farm)?.port;
    const there = membersOf(farm, configuration).filter(([, { address }]) => address === server.address);
    const wanted = this.#ports?.[server.color] ?? server.port;
    const onPort = there.find(([, { port }]) => (port ?? farmPort) === wanted);
    const isUntold = this.#isFurther && this.#ports === undefined;
    return onPort ?? (isUntold && there.length === 1 ? there[0] : undefined);
  }
}

/** A server of a farm and its name. */
export type Member = readonly [name: string, object: BackendServer];

export const membersOf = (farm: string, { servers }: Pick<Configuration, 'servers'>): readonly Member[] =>
  [...servers].filter(([name]) => name.startsWith(`${farm}/server/`));

/** Whether it gets traffic that is balanced. */
export const isServing = ({ status, weight }: BackendServer): boolean =>
  status === 'active' && (weight ?? 1) > 0;
