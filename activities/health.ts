import type { Color } from '../domain/color.js';
import type { Release } from '../domain/deployment.js';
import { Failure, inOneLine } from '../domain/failures.js';
import type { LeftBehind } from '../domain/fleet.js';
import {
  describeSample,
  dumpedCore,
  judgeServer,
  type ProcessLook,
  type Sample,
  type WatchedLook,
} from '../domain/health.js';
import type { ServerName } from '../domain/names.js';
import type { BackendObservation } from '../domain/observation.js';
import type { Service } from '../domain/service.js';
import type { Drivers } from '../drivers/drivers.js';
import type { Patience } from '../drivers/patience.js';
import type { ServerDriver } from '../drivers/servers/driver.js';
import { watchEnvironment, type EnvironmentReport, type EnvironmentWatch } from './environment-watch.js';
import { compareEnvironments, healthQuestion } from './comparison.js';
import { identitiesOf, identityQuestion } from './identity.js';
import { patiently, pause } from './patience.js';

/** What one server proved. */
export interface ServerEvidence {
  readonly server: ServerName;
  /** SHA-256 of the program that runs. */
  readonly program: string;
  /** How it names itself to visitors. */
  readonly identity: string;
  readonly passes: number;
  /** Which process it was: another one after every start. */
  readonly process: ProcessLook;
}

export const createHealthActivities = (drivers: Drivers) => ({
  /**
   * Watches one server until it has proved itself: the same process for `minimumMs`, good answers in a row, and the program
   * that was released.
   * Fails with `ReleaseUnhealthy` (the program's last words included) or `WrongProgramRuns`.
   */
  async verifyServer(input: {
    readonly service: Service;
    readonly server: ServerName;
    readonly release: Release;
    readonly minimumMs: number;
  }): Promise<ServerEvidence> {
    return patiently(async (patience) => {
      const driver = drivers.server(input.service, input.server);
      const { look, ...passed } = await proveHealth(driver, input.service, input.minimumMs, patience);
      const { holds: _, program, coreDumps = 0, ...process } = look;
      if (coreDumps > 0) throw await unhealthy(driver, dumpedCore(coreDumps), patience);
      if (program !== input.release.executable) {
        throw new Failure(
          'WrongProgramRuns',
          `Cannot verify "${input.server}": it runs ${program?.slice(0, 12) ?? 'nothing that may be read'}, needs the released program ${input.release.executable.slice(0, 12)}`,
        );
      }
      return { server: input.server, program, process, ...passed };
    });
  },

  /**
   * Waits until the load balancer itself finds each of `servers` up, by checks newer than now.
   * @returns those that it does not when the time is over, `mayMiss` at most. Fails with `IdleNotUp` when there are more.
   */
  async awaitBackendsUp(input: ExpectedUp): Promise<readonly LeftBehind[]> {
    return patiently((patience) => awaitBackendsUp(drivers, input, patience));
  },

  /** Tells how each server of an environment names itself to visitors; a silent one is left out. */
  async identities(input: { readonly service: Service; readonly color: Color }): Promise<readonly string[]> {
    return patiently((patience) => identitiesOf(drivers, input.service, input.color, patience));
  },

  /**
   * Watches the servers of an environment, through one streaming command for each, and ends by telling why as soon as one is ill
   * (`until: 'ill'`) or once all are seen to be well again (`until: 'well'`). A server that cannot be reached is unknown, neither
   * ill nor well. Lasts until then, or until it is cancelled. With `proved`, another program than that, or another process, is
   * an illness too, and so is growth without end.
   */
  async watchEnvironment(input: EnvironmentWatch): Promise<EnvironmentReport> {
    return watchEnvironment(drivers, input);
  },

  /** Asks both environments the same, in the same window, past the load balancer; servers that get no traffic are not asked. */
  async compareEnvironments(input: {
    readonly service: Service;
    readonly except: readonly ServerName[];
  }): Promise<Readonly<Record<Color, readonly Sample[]>>> {
    return patiently((patience) => compareEnvironments(drivers, input, patience));
  },
});

interface ExpectedUp {
  readonly service: Service;
  readonly servers: readonly ServerName[];
  readonly mayMiss: number;
}

async function proveHealth(
  driver: ServerDriver,
  service: Service,
  minimumMs: number,
  patience: Patience,
): Promise<Pick<ServerEvidence, 'identity' | 'passes'> & { readonly look: WatchedLook }> {
  const { verify, health } = service;
  const question = { ...healthQuestion(service), identityHeader: service.publicAddress.identify.header };
  const startedAtMs = Date.now();
  const samples: Sample[] = [];
  let first: ProcessLook | undefined;

  for await (const look of driver.watch(verify.everyMs, patience)) {
    first ??= look;
    const sample = await driver.probe(question, patience);
    samples.push(sample);
    const verdict = judgeServer(samples, first, look, { passes: verify.passes, status: health.status });
    const ranMs = Date.now() - startedAtMs;
    patience.progress(`${describeSample(sample)}, pid ${look.pid} for ${Math.round(ranMs / 1000)} s`);
    if (verdict.kind === 'fail') throw await unhealthy(driver, verdict.because, patience);
    if (verdict.kind === 'pass' && ranMs >= minimumMs) {
      const identity = await identityOf(driver, service, patience);
      return { identity, passes: verify.passes, look };
    }
    if (ranMs > verify.deadlineMs) {
      const because = `${health.path} answered "${describeSample(sample)}" ${Math.round(ranMs / 1000)} s after it was started, needs HTTP ${health.status} ${verify.passes} times in a row`;
      throw await unhealthy(driver, because, patience);
    }
  }
  throw new Failure(
    'ServerUnreachable',
    `Cannot verify "${driver.server.name}": the watch over its process ended by itself`,
  );
}

async function unhealthy(driver: ServerDriver, because: string, patience: Patience): Promise<Failure> {
  // The verdict stands without them; a link that breaks now must not lead to another try of what has failed.
  const words = await driver.lastWords(10, patience).catch((error: unknown) => {
    if (error instanceof Failure) return [`(cannot be read: ${inOneLine(error.message)})`];
    throw error;
  });
  const quoted = words.map((line) => `\n  last words of ${driver.server.name}: ${line}`).join('');
  return new Failure('ReleaseUnhealthy', `Cannot verify "${driver.server.name}": ${because}${quoted}`);
}

async function identityOf(driver: ServerDriver, service: Service, patience: Patience): Promise<string> {
  const sample = await driver.probe(identityQuestion(service), patience);
  return sample.kind === 'answered' ? (sample.identity ?? '') : '';
}

async function awaitBackendsUp(
  drivers: Drivers,
  { service, servers, mayMiss }: ExpectedUp,
  patience: Patience,
): Promise<readonly LeftBehind[]> {
  const startedAtMs = Date.now();
  const deadlineAtMs = startedAtMs + service.verify.loadBalancerDeadlineMs;
  const driver = await drivers.loadBalancer(service);
  const before = new Map(
    (await driver.observe(patience)).backends.map((backend) => [backend.server, backend.checkedAtMs ?? 0]),
  );
  // Where nobody tells when a check was made, one is new once every one from before has grown too old.
  const isFresh = ({ server, checkedAtMs, checkedWithinMs }: BackendObservation, atMs: number): boolean =>
    (checkedAtMs !== undefined || checkedWithinMs !== undefined) &&
    (checkedAtMs === undefined || checkedAtMs > (before.get(server) ?? 0)) &&
    (checkedWithinMs === undefined || atMs - startedAtMs > checkedWithinMs);
  for (;;) {
    const askedAtMs = Date.now();
    const { backends } = await driver.observe(patience);
    const missing = servers.flatMap((name) => {
      const backend = backends.find((candidate) => candidate.server === name);
      const fresh = backend !== undefined && isFresh(backend, askedAtMs);
      return backend?.state === 'up' && fresh
        ? []
        : [
            {
              server: name,
              is: `${backend?.state ?? 'absent'}${backend?.state === 'up' ? ' by an old check' : ''}`,
            },
          ];
    });
    if (missing.length === 0) return [];
    const words = missing.map(({ server, is }) => `${server} is ${is}`).join(', ');
    if (Date.now() > deadlineAtMs && missing.length <= mayMiss) {
      return missing.map(({ server, is }) => ({
        server,
        because: `in the load balancer's own eyes it is ${is}`,
      }));
    }
    if (Date.now() > deadlineAtMs) {
      throw new Failure(
        'IdleNotUp',
        `Cannot verify ${service.id}: in the load balancer's own eyes ${words}; needs all up with a check newer than the activation\n  ${whereToLook(service)}`,
      );
    }
    patience.progress(`waiting for the load balancer: ${words}`);
    await pause(Math.min(service.verify.everyMs, 5_000));
  }
}

const whereToLook = ({ loadBalancer }: Service): string =>
  loadBalancer.driver === 'ovh-public-cloud'
    ? "look at the pool's health monitor; a pool that no listener uses may not be monitored: needs loadBalancer.stagingListener"
    : `look at the farm's probe, and at "probe" of its servers, in the control panel`;
