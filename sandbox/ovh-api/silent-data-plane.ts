import type { Configuration } from '../data-plane/configuration.js';
import {
  instancesIn,
  type DataPlane,
  type DataPlaneBehaviour,
  type Instance,
  type ServerState,
} from '../data-plane/data-plane.js';

/** Carries nothing: for tests of the API alone. Servers are what they are told to be, and UP until then. */
export class SilentDataPlane implements DataPlane {
  readonly instances: readonly Instance[];
  /** What each instance was told last. */
  readonly applied = new Map<number, Configuration>();

  readonly #clock: () => number;
  readonly #down = new Set<number>();
  #probeUnreferenced = false;

  constructor(
    options: {
      readonly zones?: readonly string[];
      readonly instancesPerZone?: number;
      /** Instead of so many per zone. */
      readonly instances?: readonly Instance[];
      readonly clock?: () => number;
    } = {},
  ) {
    this.instances =
      options.instances ?? instancesIn(options.zones ?? ['gra'], options.instancesPerZone ?? 1);
    this.#clock = options.clock ?? Date.now;
  }

  apply(instanceId: number, configuration: Configuration): Promise<void> {
    this.applied.set(instanceId, configuration);
    return Promise.resolve();
  }

  behave({ probeUnreferenced = this.#probeUnreferenced }: Partial<DataPlaneBehaviour>): void {
    this.#probeUnreferenced = probeUnreferenced;
  }

  /** What the probes find from now on. */
  setUp(serverId: number, isUp: boolean): void {
    if (isUp) this.#down.delete(serverId);
    else this.#down.add(serverId);
  }

  serverStates(farmId: number, serverId: number): readonly ServerState[] {
    return this.instances.flatMap(({ instanceId }): ServerState[] => {
      const configuration = this.applied.get(instanceId);
      const farm = configuration?.farms.find((one) => one.farmId === farmId);
      const server = farm?.servers.find((one) => one.serverId === serverId);
      if (configuration === undefined || farm === undefined || server === undefined) return [];

      const isUsed =
        this.#probeUnreferenced ||
        configuration.frontends.some(
          ({ defaultFarmId, routes }) =>
            defaultFarmId === farmId ||
            routes.some(({ action }) => action.kind === 'farm' && action.farmId === farmId),
        );
      if (!isUsed || farm.probe === null || !server.probe || !server.active)
        return [{ instanceId, status: 'no check' }];
      const isUp = !this.#down.has(serverId);
      return [
        {
          instanceId,
          status: isUp ? 'UP' : 'DOWN',
          checkStatus: isUp ? 'L4OK' : 'L4CON',
          checkTime: this.#clock(),
        },
      ];
    });
  }
}
