import { performance } from 'node:perf_hooks';
import { credentialKindOf, credentialLacks } from '../../domain/credential-lacks.js';
import { Failure } from '../../domain/failures.js';
import type { LoadBalancerObservation } from '../../domain/observation.js';
import type { OvhIplbSettings, OvhPublicCloudSettings } from '../../domain/service.js';
import type { OvhApi } from '../../ovh/api.js';
import { missingActions, missingRules } from '../../ovh/credential.js';
import { ovhEndpoint } from '../../ovh/endpoint.js';
import { OvhError } from '../../ovh/error.js';
import { balancerResourceOf, deployRights, describeRight } from '../../ovh/rights.js';
import type { Patience } from '../patience.js';
import type { LoadBalancerDriver, RouteChange, RouteReport } from './driver.js';

/** A credential that lacked nothing is asked about again after this long: rights are taken away, and credentials end. */
const askAgainMs = 10 * 60_000;

/** What was found good, by the client that carries the credential: drivers are made anew for every step. */
const good = new WeakMap<OvhApi, { readonly needed: string; readonly untilMs: number }>();

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
    const known = good.get(this.#api);
    const needed = describeAll(this.#settings);
    if (known?.needed === needed && performance.now() < known.untilMs) return observation;
    const lacking = await this.#lacking(patience);
    if (lacking.length > 0) return { ...observation, lacking };
    good.set(this.#api, { needed, untilMs: performance.now() + askAgainMs });
    return observation;
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
      const lacking = await this.#lacking(patience);
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

  /** Empty too where it cannot be told: then the calls themselves tell. */
  async #lacking({ signal, progress }: Patience): Promise<readonly string[]> {
    try {
      return (await this.#missing(signal)) ?? [];
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof OvhError)) throw error;
      progress(`cannot tell what the credential lacks: ${error.message}`);
      return [];
    }
  }

  async #missing(signal: AbortSignal): Promise<readonly string[] | undefined> {
    const { api } = this.#settings;
    const needed = deployRights(this.#settings);
    if (!('clientId' in api)) return missingRules(this.#api, needed, { signal });
    const urn = `urn:v1:${ovhEndpoint(api.endpoint).region}:resource:${balancerResourceOf(this.#settings)}`;
    return missingActions(this.#api, needed, urn, { signal });
  }
}
