import { setTimeout as sleep } from 'node:timers/promises';
import type { Patience } from '../drivers/patience.js';

/** Waits, or throws why the caller gave up. For steps that are also taken without Temporal. */
export const rest = (ms: number, { signal }: Patience): Promise<void> => sleep(ms, undefined, { signal });
