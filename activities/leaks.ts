import { Failure } from '../domain/failures.js';
import { HoldingsSoFar } from '../domain/growth.js';
import type { Service } from '../domain/service.js';
import type { Patience } from '../drivers/patience.js';
import type { ServerDriver } from '../drivers/servers/driver.js';
import { pause } from './patience.js';

export interface LeakWatch {
  /** Which servers' programs are proved to leak so far, each in a sentence. Throws what kept us from watching. */
  found(): readonly string[];
  end(): Promise<void>;
}

/** Watches what the programs on servers hold, through one streaming command for each, until it is ended. */
export function watchForLeaks(
  servers: readonly ServerDriver[],
  service: Service,
  { signal }: Patience,
): LeakWatch {
  const leaks = new Map<string, string>();
  const broken: { error?: unknown } = {};
  const ending = new AbortController();
  // Silent: what the watch over the whole environment reports is for people.
  const patience = { signal: AbortSignal.any([signal, ending.signal]), progress: () => undefined };
  const watching = servers.map(async (driver) => {
    try {
      await watchOne(driver, service.bake.watchEveryMs, patience, (leak) =>
        leaks.set(driver.server.name, leak),
      );
    } catch (error) {
      if (!patience.signal.aborted) broken.error ??= error;
    }
  });
  return {
    found() {
      if (broken.error !== undefined) throw broken.error;
      return [...leaks].map(([server, leak]) => `${server}: ${leak}`);
    },
    async end() {
      ending.abort(new Error('the watch is over'));
      await Promise.all(watching);
    },
  };
}

/** A server that cannot be reached is tried again: unknown is not ill. */
async function watchOne(
  driver: ServerDriver,
  everyMs: number,
  patience: Patience,
  onLeak: (leak: string) => void,
): Promise<void> {
  let [pid, soFar] = [0, new HoldingsSoFar()];
  for (;;) {
    try {
      for await (const look of driver.watch(everyMs, patience)) {
        if (look.pid !== pid) [pid, soFar] = [look.pid, new HoldingsSoFar()];
        const leak = look.holds && soFar.take({ ...look.holds, atMs: Date.now() });
        if (leak) onLeak(leak);
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      patience.signal.throwIfAborted();
    }
    await pause(everyMs);
  }
}
