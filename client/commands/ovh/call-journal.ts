import { closeSync, openSync, writeSync } from 'node:fs';
import type { OvhCall } from '../../../ovh/api.js';

export interface CallJournal {
  write(call: OvhCall): void;
  close(): void;
}

/** Adds each call to a file that only its owner reads, as one line of JSON. Without a path nothing is written. */
export function callJournal(path: string | undefined): CallJournal {
  if (path === undefined) return { write: () => undefined, close: () => undefined };
  const file = openSync(path, 'a', 0o600);
  return {
    write: ({ error, tookMs, ...call }) => {
      const line = {
        at: new Date().toISOString(),
        ...call,
        tookMs: Math.round(tookMs),
        error: error?.message,
      };
      writeSync(file, `${JSON.stringify(line)}\n`);
    },
    close: () => closeSync(file),
  };
}
