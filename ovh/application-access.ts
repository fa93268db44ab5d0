import ovh, { type OvhPackageClient } from 'ovh';
import type { Access, Line } from './access.js';
import { withoutQuery, type Answer, type Call } from './call.js';
import { isV2, targetAt } from './endpoint.js';
import { OvhError } from './error.js';
import { callDirectly } from './own-call.js';
import { callThroughPackage } from './package-call.js';
import { serverTime } from './server-time.js';
import { signedBy, type ApplicationKeys } from './signature.js';

/** A clock that steps while a worker lives must not make every later signature wrong. */
const resyncEveryMs = 10 * 60_000;

interface Clock {
  /** Server's time minus ours, in seconds. */
  readonly offset: number;
  readonly setAtMs: number;
  readonly client: OvhPackageClient;
}

/** Signs with an application key and a consumer key, by the API's clock. */
export class ApplicationAccess implements Access {
  readonly #line: Line;
  readonly #keys: ApplicationKeys;
  #clock: Promise<Clock> | undefined;

  constructor(line: Line, keys: ApplicationKeys) {
    this.#line = line;
    this.#keys = keys;
  }

  async call(call: Call): Promise<Answer> {
    const { endpoint, time, transport, told } = this.#line;
    const clock = await this.#synced(call);
    return told(call, () => {
      if (!transport && !needsOwnCall(call)) return callThroughPackage(clock.client, this.#line, call);
      const timestamp = Math.round(time.epochMs() / 1_000) + clock.offset;
      const destination = { ...endpoint, path: targetAt(endpoint, call.path) };
      return callDirectly(destination, this.#line, call, signedBy(this.#keys, timestamp));
    });
  }

  forgets(error: OvhError): boolean {
    if (error.aboutTime) this.#clock = undefined;
    return error.aboutTime;
  }

  async #synced({ method, path, signal }: Call): Promise<Clock> {
    // Of all who find it old one reads it anew.
    for (let held = this.#clock; held; held = this.#clock) {
      const known = await held.catch(() => undefined);
      if (known && this.#line.time.nowMs() - known.setAtMs < resyncEveryMs) return known;
      if (this.#clock === held) break;
    }
    const sync = this.#sync(signal);
    this.#clock = sync;
    try {
      return await sync;
    } catch (error) {
      if (this.#clock === sync) this.#clock = undefined;
      if (!(error instanceof OvhError)) throw error;
      throw new OvhError({
        trouble: 'clock',
        method,
        path: withoutQuery(path),
        message: `the API's time could not be read (${error.message})`,
        cause: error,
      });
    }
  }

  async #sync(signal: AbortSignal | undefined): Promise<Clock> {
    const { endpoint, time } = this.#line;
    const { host, port, basePath } = endpoint;
    const seconds = await serverTime(this.#line, signal);
    const offset = seconds - Math.round(time.epochMs() / 1_000);

    const { applicationKey, applicationSecret, consumerKey } = this.#keys;
    const client = ovh({
      appKey: applicationKey,
      appSecret: applicationSecret,
      consumerKey,
      host,
      port,
      basePath,
    });
    // Not given to the constructor: it takes 0 for unknown.
    client.apiTimeDiff = offset;
    return { offset, setAtMs: time.nowMs(), client };
  }
}

/** The package leaves every path with `/auth` unsigned, knows no `/v2`, and drops null from what it sends. */
const needsOwnCall = ({ path, body }: Call): boolean =>
  path.includes('/auth') || isV2(path) || Object.values(body ?? {}).includes(null);
