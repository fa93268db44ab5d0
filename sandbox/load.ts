import * as http from 'node:http';
import type { Tally } from '../domain/traffic.js';
import { createHttpProber } from '../drivers/traffic/http.js';

export interface LoadOptions {
  readonly url: string;
  readonly requestsPerSecond: number;
  /** A long answer that is read all the time, and begun again when it has ended. */
  readonly streamPath: string;
  /** After this long without a whole answer a request counts as lost; 5 s unless told. */
  readonly timeoutMs?: number;
}

/** What visitors saw. */
export interface LoadTally extends Tally {
  /** Long answers that were read to their end, and those that were cut. */
  readonly streams: { readonly ended: number; readonly cut: number };
}

/** Visitors of a service: requests at a fixed rate on kept-alive and on new connections, and one long stream. */
export interface Load {
  /** Ends and gives the sum; waits for the stream to come to its end. */
  stop(): Promise<LoadTally>;
}

export function startLoad({ url, requestsPerSecond, streamPath, timeoutMs = 5_000 }: LoadOptions): Load {
  const prober = createHttpProber().start({ url, path: '/', requestsPerSecond, timeoutMs }, () => undefined);
  const streams = { ended: 0, cut: 0 };
  let stopping = false;
  const streaming = (async () => {
    while (!stopping) {
      if (await readToTheEnd(new URL(streamPath, url))) streams.ended++;
      else streams.cut++;
    }
  })();
  return {
    async stop() {
      stopping = true;
      const tally = await prober.stop();
      await streaming;
      return { ...tally, streams };
    },
  };
}

/** Whether the whole answer came. */
const readToTheEnd = (url: URL): Promise<boolean> =>
  new Promise((resolve) => {
    const request = http.get(url, { agent: new http.Agent() }, (response) => {
      response.resume();
      response.once('close', () => resolve(response.complete && response.statusCode === 200));
    });
    request.once('error', () => resolve(false));
  });
