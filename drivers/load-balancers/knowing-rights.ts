import { performance } from 'node:perf_hooks';
import { credentialKindOf, credentialLacks } from '../../domain/credential-lacks.js';
import { Failure } from '../../domain/failures.js';
import type { LoadBalancerObservation } from '../../domain/observation.js';
import type { OvhIplbSettings, OvhPublicCloudSettings } from '../../domain/service.js';
import type { OvhApi } from '../../ovh/api.js';
import { grantedTo, lackingIn, missingActions } from '../../ovh/credential.js';
import { ovhEndpoint } from '../../ovh/endpoint.js';
import { OvhError } from '../../ovh/error.js';
import { balancerResourceOf, deployRights, describeRight } from '../../ovh/rights.js';
import type { Patience } from '../patience.js';
import type { LoadBalancerDriver, RouteChange, RouteReport } from './driver.js';

/** A credential that lacked nothing is asked about again after this long: rights are taken away, and credentials end. */
const askAgainMs = 10 * 60_000;

/** What was found good, by the client that carries the credential: drivers are made anew for every step. */
const good = new WeakMap<
  OvhApi,
  { readonly needed: string; readonly untilMs: number; readonly told: Told }
>();

/** What is known of a credential: nothing where nobody tells. */
interface Told {
  readonly lacking: readonly string[];
  /** When it ends, in epoch milliseconds. */
  readonly endsAtMs?: number | undefined;
}

type Settings = OvhIplbSettings | OvhPublicCloudSettings;

const nameOf = (settings: Settings): string =>
  settings.driver === 'ovh-iplb' ? settings.serviceName : settings.id;

const describeAll = (settings: Settings): string => deployRights(settings).map(describeRight).join('\n');

/**
 * The same driver, which also knows what its credential lacks: told by `observe` before anything needs it, and all at once
 * where a call is refused for one of them.
 */
export function knowingRights(
  driver: LoadBalancerDriver,
  api: OvhApi,
  settings: Settings,
): LoadBalancerDriver {
  return new KnowingRights(driver, api, settings);
}

class KnowingRights implements LoadBalancerDriver {
  readonly name: string;
  readonly #driver: LoadBalancerDriver;
  readonly #api: OvhApi;
  readonly #settings: Settings;

  constructor(driver: LoadBalancerDriver, api: OvhApi, settings: Settings) {
    this.name = driver.name;
    this.#driver = driver;
    this.#api = api;
    this.#settings = settings;
  }

  async observe(patience: Patience): Promise<LoadBalancerObservation> {
    const action = `read load balancer "${nameOf(this.#settings)}"`;
    const observation = await this.#explained(action, patience, () => this.#driver.observe(patience));
    const { lacking, endsAtMs } = await this.#known(patience);
    return {
      ...observation,
      ...(lacking.length > 0 ? { lacking } : {}),
      ...(endsAtMs === undefined ? {} : { credentialEnds: { atMs: endsAtMs, inMs: endsAtMs - Date.now() } }),
    };
  }

  async #known(patience: Patience): Promise<Told> {
    const known = good.get(this.#api);
    const needed = describeAll(this.#settings);
    if (known?.needed === needed && performance.now() < known.untilMs) return known.told;
    const told = await this.#told(patience);
    if (told.lacking.length === 0)
      good.set(this.#api, { needed, untilMs: performance.now() + askAgainMs, told });
    return told;
  }

  async route(change: RouteChange, patience: Patience): Promise<RouteReport> {
    const action = `send traffic on "${nameOf(this.#settings)}"`;
    return this.#explained(action, patience, () => this.#driver.route(change, patience));
  }

  async prepare(change: RouteChange, patience: Patience): Promise<void> {
    const action = `send traffic on "${nameOf(this.#settings)}"`;
    await this.#explained(action, patience, async () => this.#driver.prepare?.(change, patience));
  }

  async #explained<Result>(action: string, patience: Patience, act: () => Promise<Result>): Promise<Result> {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof Failure) || error.failure !== 'CredentialRefused') throw error;
      const { lacking } = await this.#told(patience);
      if (lacking.length === 0) throw error;
      throw new Failure(
        'CredentialRefused',
        credentialLacks(action, credentialKindOf(this.#settings), lacking),
        {
          cause: error,
          ambiguous: error.ambiguous,
        },
      );
    }
  }

  /** Lacks nothing where it cannot be told, too: then the calls themselves tell. */
  async #told({ signal, progress }: Patience): Promise<Told> {
    try {
      return await this.#asked(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof OvhError)) throw error;
      progress(`cannot tell what the credential lacks: ${error.message}`);
      return { lacking: [] };
    }
  }

  async #asked(signal: AbortSignal): Promise<Told> {
    const { api } = this.#settings;
    const needed = deployRights(this.#settings);
    if ('clientId' in api) {
      const urn = `urn:v1:${ovhEndpoint(api.endpoint).region}:resource:${balancerResourceOf(this.#settings)}`;
      return { lacking: (await missingActions(this.#api, needed, urn, { signal })) ?? [] };
    }
    const granted = await grantedTo(this.#api, { signal });
    return granted ? { lacking: lackingIn(granted, needed), endsAtMs: granted.endsAtMs } : { lacking: [] };
  }
}
