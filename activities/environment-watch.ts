import { activityInfo } from '@temporalio/activity';
import pMap from 'p-map';
import type { Color } from '../domain/color.js';
import { Failure, inOneLine } from '../domain/failures.js';
import { describeSample, isGood, type ProcessLook } from '../domain/health.js';
import type { ServerName } from '../domain/names.js';
import type { Server, Service } from '../domain/service.js';
import type { Unwatched } from '../domain/unwatched.js';
import type { Drivers } from '../drivers/drivers.js';
import type { Patience } from '../drivers/patience.js';
import { healthQuestion, serversBut } from './comparison.js';
import { beats, lostMsSince, type Beat } from './lost-time.js';
import { patiently, pause, wasEndedByWorkflow } from './patience.js';
import { ProcessWatch, type ProcessWatchOrder } from './process-watch.js';

export interface EnvironmentWatch {
  readonly service: Service;
  readonly color: Color;
  readonly until: 'ill' | 'well';
  /** Servers that get no traffic: how they are says nothing of the environment. */
  readonly except: readonly ServerName[];
  readonly proved?: {
    /** SHA-256 of the program that was released. */
    readonly program: string;
    /** By server, the process that proved itself; one that is missing is taken as it is found. */
    readonly processes: Readonly<Record<string, ProcessLook>>;
  };
}

export interface EnvironmentReport {
  /** Why servers are ill; empty when they are well, or when the watch was ended before. */
  readonly because: string;
  /** What was not watched, by server; those that were seen all the time are left out. */
  readonly unwatched: readonly Unwatched[];
}

/** What a heartbeat carries, so that the next attempt knows what was not watched. */
interface Carried extends Beat {
  readonly now: string;
  readonly unwatched: readonly Unwatched[];
}

/** Watches until servers are ill, or well, as `until` says, or until the workflow ends it. */
export async function watchEnvironment(
  drivers: Drivers,
  input: EnvironmentWatch,
): Promise<EnvironmentReport> {
  const before = activityInfo().heartbeatDetails as Carried | undefined;
  const beat = beats();
  const watches: ProcessWatch[] = [];
  const unwatched = () => watches.map((watch) => watch.unwatched).filter(({ ms }) => ms > 0);
  return patiently(
    async (patience) => {
      const seenAtMs = Date.now() - (before ? await lostMsSince(before) : 0);
      for (const { name } of serversBut(input, input.color)) {
        const order = orderFor(input, name, before, seenAtMs);
        watches.push(new ProcessWatch(drivers.server(input.service, name), order, patience));
      }
      try {
        const because = await findingOf(drivers, input, watches, patience);
        return { because, unwatched: unwatched() };
      } catch (error) {
        if (!wasEndedByWorkflow()) throw error;
        return { because: '', unwatched: unwatched() };
      } finally {
        await Promise.all(watches.map((watch) => watch.end()));
      }
    },
    (now) => ({ now, unwatched: unwatched(), ...beat() }) satisfies Carried,
  );
}

/** Why servers are ill, once one is, or an empty text once all are seen to be well. */
async function findingOf(
  drivers: Drivers,
  { service, color, until, except }: EnvironmentWatch,
  watches: readonly ProcessWatch[],
  patience: Patience,
): Promise<string> {
  const servers = serversBut({ service, except }, color);
  for (;;) {
    const found = await pMap([...servers.entries()], ([index, server]) =>
      illness(drivers, service, server, watches[index]!, patience),
    );
    const complaints = found.filter((complaint) => complaint !== undefined);
    if (until === 'ill' && complaints.length > 0) return complaints.join('; ');
    if (until === 'well' && complaints.length === 0 && watches.every(({ sees }) => sees)) return '';
    patience.progress(complaints[0] ?? `${color} is well`);
    await pause(service.bake.watchEveryMs);
  }
}

function orderFor(
  { service, proved }: EnvironmentWatch,
  server: ServerName,
  before: Carried | undefined,
  seenAtMs: number,
): ProcessWatchOrder {
  const gap = before?.unwatched.find((each) => each.server === server);
  return {
    everyMs: service.bake.watchEveryMs,
    program: proved?.program,
    process: proved?.processes[server],
    forLeaks: proved !== undefined,
    before: {
      ms: gap?.ms ?? 0,
      because: gap?.because ?? (before ? 'the worker that watched was lost' : 'it has not answered yet'),
      seenAtMs,
    },
  };
}

/** Why a server is ill: something is wrong with its process, or it gives no good answer in three. */
async function illness(
  drivers: Drivers,
  service: Service,
  { name }: Server,
  watch: ProcessWatch,
  patience: Patience,
): Promise<string | undefined> {
  const wrong = watch.illness();
  if (wrong !== undefined) return `${name}: ${wrong}`;
  const driver = drivers.server(service, name);
  try {
    for (let tries = 0; tries < 3; tries++) {
      const sample = await driver.probe(healthQuestion(service), patience);
      if (isGood(sample, service.health)) return undefined;
      if (tries === 2) return `${name}: ${service.health.path} answers "${describeSample(sample)}"`;
    }
    return undefined;
  } catch (error) {
    // Whatever keeps us from looking: unknown is not ill.
    if (error instanceof Failure) {
      patience.progress(`cannot look: ${inOneLine(error.message)}`);
      return undefined;
    }
    throw error;
  }
}
