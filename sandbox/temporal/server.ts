import { createWriteStream, mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { temporalExecutable, type Looking } from './executable.js';
import { freePort } from '../free-port.js';
import { startGuarded, type GuardedProcess } from '../guarded-process.js';

export type SearchAttributeType = 'Text' | 'Keyword' | 'Int' | 'Double' | 'Bool' | 'Datetime' | 'KeywordList';

/** What a deployment can be searched by in the Temporal UI. */
export const searchAttributes = {
  VerdigrisService: 'Keyword',
  VerdigrisPhase: 'Keyword',
  VerdigrisLive: 'Keyword',
  VerdigrisRelease: 'Keyword',
} as const satisfies Record<string, SearchAttributeType>;

export interface TemporalOptions extends Looking {
  /** Keeps `temporal.db` and `temporal.log` here. */
  readonly directory?: string;
  /** Keeps the state here, so that it outlives the server. In memory when neither this nor `directory` is given. */
  readonly dbFile?: string;
  /** Serves the web UI. Off unless asked for. */
  readonly ui?: boolean;
  /** gRPC port on 127.0.0.1; 0, the default, takes a free one. */
  readonly port?: number;
  /** Port of the web UI on 127.0.0.1; 0, the default, takes a free one. */
  readonly uiPort?: number;
  /** Registered in the namespace `default`; those of Verdigris unless given. */
  readonly searchAttributes?: Readonly<Record<string, SearchAttributeType>>;
}

/** A Temporal dev server that ends when we do, whatever ends us. */
export interface TemporalServer {
  readonly address: string;
  readonly uiUrl: string | undefined;
  /** Of the server itself; another one after `restart`. */
  readonly pid: number;
  /** Ends it as a power cut would. `restart` brings it back. */
  kill(): Promise<void>;
  /** Ends it if it runs, and starts it again on the same ports with the same state. Ends when it answers. */
  restart(): Promise<void>;
  /** Ends it, politely where it has state to write. May be called again. */
  close(): Promise<void>;
}

/** Long enough for a cold, busy machine with two cores. */
const readyMs = 60_000;
const graceMs = 5_000;
/** Other programs may take the free port that was just found. */
const portTries = 3;

/** Starts a dev server and returns once it really answers. */
export async function startTemporal(options: TemporalOptions = {}): Promise<TemporalServer> {
  const executable = await temporalExecutable(options);
  if (options.directory !== undefined) mkdirSync(options.directory, { recursive: true });
  const stateFile = options.dbFile ?? (options.directory && join(options.directory, 'temporal.db'));
  for (let tries = 1; ; tries += 1) {
    const place = await placeOf(options);
    const words = wordsOf(options, place, stateFile);
    try {
      return await serve(
        () => startReady(executable, words, place.port, options.directory),
        place,
        stateFile,
      );
    } catch (error) {
      const taken = error instanceof StartFailure && /address already in use/i.test(error.message);
      if (!taken || options.port || tries === portTries) throw error;
    }
  }
}

interface Place {
  readonly port: number;
  /** `undefined` without web UI. */
  readonly uiPort: number | undefined;
}

const placeOf = async ({ port, ui, uiPort }: TemporalOptions): Promise<Place> => ({
  port: port || (await freePort()),
  uiPort: ui ? uiPort || (await freePort()) : undefined,
});

function wordsOf(
  options: TemporalOptions,
  { port, uiPort }: Place,
  stateFile: string | undefined,
): readonly string[] {
  const attributes = Object.entries(options.searchAttributes ?? searchAttributes);
  // As the SDK starts it: the version check calls out, and updates were once switched off.
  const settings = [
    'frontend.enableServerVersionCheck=false',
    'frontend.enableUpdateWorkflowExecution=true',
    'frontend.enableUpdateWorkflowExecutionAsyncAccepted=true',
  ];
  const listen = ['--ip', '127.0.0.1', '--port', String(port)];
  const ui =
    uiPort === undefined
      ? ['--headless']
      : ['--ui-ip', '127.0.0.1', '--ui-port', String(uiPort), '--ui-disable-news-fetch'];
  return [
    'server',
    'start-dev',
    ...listen,
    ...ui,
    '--log-level',
    'error',
    ...(stateFile === undefined ? [] : ['--db-filename', stateFile]),
    ...settings.flatMap((setting) => ['--dynamic-config-value', setting]),
    ...attributes.flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
  ];
}

async function serve(
  start: () => Promise<GuardedProcess>,
  { port, uiPort }: Place,
  stateFile: string | undefined,
): Promise<TemporalServer> {
  let running = await start();
  const end = async () => {
    if (!running.isRunning()) return;
    // A polite end takes two seconds, and state in memory is lost either way.
    if (stateFile === undefined) await running.kill();
    else await running.stop(graceMs);
  };
  return {
    address: `127.0.0.1:${port}`,
    uiUrl: uiPort === undefined ? undefined : `http://127.0.0.1:${uiPort}`,
    get pid() {
      return running.pid;
    },
    kill: () => running.kill(),
    async restart() {
      await end();
      running = await start();
    },
    close: end,
  };
}

async function startReady(
  executable: string,
  words: readonly string[],
  port: number,
  directory: string | undefined,
): Promise<GuardedProcess> {
  const server = startGuarded(executable, words);
  const lastWords = record(server, directory);
  const stopWaiting = new AbortController();
  try {
    await Promise.race([
      untilAnswering(port, AbortSignal.any([stopWaiting.signal, AbortSignal.timeout(readyMs)])),
      server.ended.then((how) => Promise.reject(new Error(`it ended with ${how}`))),
    ]);
    return server;
  } catch (error) {
    if (server.isRunning()) await server.kill();
    throw new StartFailure(port, error, lastWords());
  } finally {
    stopWaiting.abort();
  }
}

class StartFailure extends Error {
  constructor(port: number, cause: unknown, lastWords: string) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`Cannot start Temporal on "127.0.0.1:${port}": ${why}${lastWords && `\n${lastWords}`}`, { cause });
  }
}

/** Connects anew each time: a refused gRPC channel waits a second and longer before it tries again by itself. */
async function untilAnswering(port: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await acceptsConnections(port);
      return await answers(`127.0.0.1:${port}`);
    } catch (error) {
      if (signal.aborted) {
        throw new Error(`it does not answer after ${readyMs / 1000} s`, { cause: error });
      }
      await sleep(50);
    }
  }
}

const acceptsConnections = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', resolve).once('error', reject);
    socket.once('connect', () => socket.destroy());
  });

async function answers(address: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: 2_000 });
  try {
    await connection.withDeadline(Date.now() + 2_000, async () => {
      await connection.workflowService.describeNamespace({ namespace: 'default' });
      await connection.workflowService.listWorkflowExecutions({ namespace: 'default', pageSize: 1 });
    });
  } finally {
    await connection.close();
  }
}

/** Keeps the end of what the server says, for errors, and all of it in the directory's log. */
function record(server: GuardedProcess, directory: string | undefined): () => string {
  const streams = [server.stdout, server.stderr];
  let end = '';
  for (const stream of streams) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      end = (end + text).slice(-2_000);
    });
  }
  if (directory !== undefined) {
    const log = createWriteStream(join(directory, 'temporal.log'), { flags: 'a' });
    // A full disk, or a directory that is gone, costs the log and not the server.
    log.on('error', () => undefined);
    for (const stream of streams) stream.pipe(log, { end: false });
    void Promise.allSettled(streams.map((stream) => finished(stream))).then(() => log.end());
  }
  return () => end.trim();
}
