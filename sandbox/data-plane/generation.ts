import { BlockList, isIPv4 } from 'node:net';

import type { Configuration, FrontendConfiguration, ProbeConfiguration } from './configuration.js';
import type { ProbeSchedule } from './backend.js';
import { Farm } from './farm.js';

/** A frontend with the farms that its traffic can reach. */
export interface RunningFrontend {
  readonly configuration: FrontendConfiguration;
  readonly defaultFarm: Farm | undefined;
  readonly farm: (farmId: number) => Farm | undefined;
  readonly admits: (address: string) => boolean;
}

/**
 * One configuration as an instance runs it. Each change makes a new one, like the new process of a HAProxy
 * reload: servers presumed up, nothing pooled, nobody sticky. The old one carries what it began.
 */
export class Generation {
  readonly configuration: Configuration;
  readonly frontends: ReadonlyMap<number, RunningFrontend>;
  readonly #farms: ReadonlyMap<number, Farm>;

  constructor(configuration: Configuration) {
    this.configuration = configuration;
    this.#farms = new Map(configuration.farms.map((farm) => [farm.farmId, new Farm(farm)]));
    this.frontends = new Map(
      configuration.frontends
        .filter((frontend) => !frontend.disabled)
        .map((frontend) => [frontend.frontendId, this.#running(frontend)]),
    );
  }

  farm(farmId: number): Farm | undefined {
    return this.#farms.get(farmId);
  }

  get farms(): Iterable<Farm> {
    return this.#farms.values();
  }

  /** Only what a frontend can reach is probed, most likely: the others need not be part of a real instance's configuration. */
  startProbing(options: Probing): void {
    for (const farm of options.probeUnreferenced ? this.farms : this.#reachable()) {
      const { probe, servers } = farm.configuration;
      if (probe !== null) farm.startProbing((index) => scheduleOf(probe, index / servers.length, options));
    }
  }

  retire(): void {
    for (const farm of this.#farms.values()) farm.retire();
  }

  #running(configuration: FrontendConfiguration): RunningFrontend {
    const { defaultFarmId } = configuration;
    return {
      configuration,
      defaultFarm: defaultFarmId === null ? undefined : this.#farms.get(defaultFarmId),
      farm: (farmId) => this.#farms.get(farmId),
      admits: admission(configuration),
    };
  }

  #reachable(): Set<Farm> {
    const reachable = new Set<Farm>();
    for (const { configuration, defaultFarm, farm } of this.frontends.values()) {
      const routed = configuration.routes.map(({ action }) =>
        action.kind === 'farm' ? farm(action.farmId) : undefined,
      );
      for (const one of [defaultFarm, ...routed]) if (one !== undefined) reachable.add(one);
    }
    return reachable;
  }
}

interface Probing {
  readonly probeSpeed: number;
  readonly probeUnreferenced: boolean;
  readonly clock: () => number;
}

/** Checks are spread over the interval, so that a farm is not asked all at once. */
function scheduleOf(
  probe: ProbeConfiguration,
  share: number,
  { probeSpeed, clock }: { readonly probeSpeed: number; readonly clock: () => number },
): ProbeSchedule {
  const everyMs = (probe.intervalS * 1000) / probeSpeed;
  return { firstMs: everyMs * (0.1 + 0.9 * share), everyMs, timeoutMs: Math.max(everyMs, 1000), clock };
}

function admission({ allowedSource, deniedSource }: FrontendConfiguration): (address: string) => boolean {
  if (allowedSource.length > 0) {
    const allowed = blocks(allowedSource);
    return (address) => allowed.check(address);
  }
  if (deniedSource.length > 0) {
    const denied = blocks(deniedSource);
    return (address) => !denied.check(address);
  }
  return () => true;
}

function blocks(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    list.addSubnet(address, bits === undefined ? (family === 'ipv4' ? 32 : 128) : Number(bits), family);
  }
  return list;
}
