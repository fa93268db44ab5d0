import type { Configuration } from './configuration.js';

/** One process of the load balancer. Each has its own configuration, probes and moment of change. */
export interface Instance {
  readonly instanceId: number;
  readonly zone: string;
}

/** What one instance knows about one server of a farm. */
export interface ServerState {
  readonly instanceId: number;
  readonly status: 'UP' | 'DOWN' | 'no check';
  /** In HAProxy's words: `L4OK`, `L7STS` and so on. Absent until the first check after a change. */
  readonly checkStatus?: string;
  /** The HTTP status that the last check was answered with. */
  readonly checkCode?: number;
  /** Milliseconds since 1970. */
  readonly checkTime?: number;
  readonly lastCheckContent?: string;
}

/**
 * What a change does to connections made before it. `keep`: idle client connections stay and meet the new configuration with
 * their next request. `close idle`: they are closed, as a plain HAProxy reload does; a client may just be using one. `cut`:
 * everything is cut, what runs too, as with a `hard-stop-after` that has passed.
 */
export type WhenReloaded = 'keep' | 'close idle' | 'cut';

/**
 * What an instance makes of a change, whatever the task says of it. `late`: it goes on as before for so long. `never`: it is not
 * told. `falls back`: it runs the change, and after so long what it ran before, as one that was started again with an old file.
 */
export type Habit =
  | { readonly applies: 'at once' }
  | { readonly applies: 'late'; readonly afterMs: number }
  | { readonly applies: 'never' }
  | { readonly applies: 'falls back'; readonly afterMs: number };

/** Habits of the real one that are not certain. */
export interface DataPlaneBehaviour {
  readonly whenReloaded: WhenReloaded;
  /** Whether servers are probed that no frontend reaches. */
  readonly probeUnreferenced: boolean;
  /** Of instances, by number; the others apply a change at once. */
  readonly instances: Readonly<Record<number, Habit>>;
}

/** What carries the traffic. It knows nothing of what is edited, only of what was published to it. */
export interface DataPlane {
  readonly instances: readonly Instance[];
  /**
   * Makes one instance run `configuration` for everything new. Settles when it does; what runs already is
   * left to end by itself. Doing it again is a reload with the same configuration.
   */
  apply(instanceId: number, configuration: Configuration): Promise<void>;
  /** What each instance thinks of a server; empty where no instance was ever told of it. */
  serverStates(farmId: number, serverId: number): readonly ServerState[];
  /** Behaves differently from the next change on, where it can. */
  behave?(change: Partial<DataPlaneBehaviour>): void;
}

/** Instance numbers as the provider's look: five digits, unique over all zones. */
export function instancesIn(zones: readonly string[], perZone: number): Instance[] {
  return zones.flatMap((zone, zoneIndex) =>
    Array.from({ length: perZone }, (_, index) => ({ instanceId: 16_300 + zoneIndex * 100 + index, zone })),
  );
}
