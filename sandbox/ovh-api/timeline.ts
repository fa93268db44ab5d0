import { setTimeout as sleep } from 'node:timers/promises';

import type { Wait } from './iplb/refresh.js';

/** How often a clock that is not the machine's is looked at. */
const lookEveryMs = 5;

/** Waiting by `clock`: it may stand still or jump, and waits end when it says so. Aborting ends them all. */
export function waitingBy(clock: () => number, signal: AbortSignal): Wait {
  if (clock === Date.now) return (ms) => sleep(ms, undefined, { signal });

  return async (ms) => {
    const end = clock() + ms;
    while (clock() < end) await sleep(lookEveryMs, undefined, { signal });
    signal.throwIfAborted();
  };
}
