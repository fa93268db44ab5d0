import pMap from 'p-map';
import type { Color } from '../domain/color.js';
import { Failure } from '../domain/failures.js';
import type { HealthQuestion, Sample } from '../domain/health.js';
import type { ServerName } from '../domain/names.js';
import type { Server, Service } from '../domain/service.js';
import type { Drivers } from '../drivers/drivers.js';
import type { Patience } from '../drivers/patience.js';
import type { ServerDriver } from '../drivers/servers/driver.js';

type ServerDrivers = Pick<Drivers, 'server'>;

/** The question whose answer tells whether a server is well. */
export const healthQuestion = ({ health }: Service): HealthQuestion => ({
  path: health.path,
  status: health.status,
  timeoutMs: health.timeoutMs,
});

/** The servers of an environment without those that get no traffic; all of them where nobody would be left. */
export function serversBut(
  { service, except }: { readonly service: Service; readonly except: readonly ServerName[] },
  color: Color,
): readonly Server[] {
  const all = service.environments[color];
  const left = all.filter(({ name }) => !except.includes(name));
  return left.length > 0 ? left : all;
}

/**
 * Asks both environments the same, in the same window, past the load balancer. Knows nothing of Temporal: it is used without it,
 * too. A server that cannot be asked is silent.
 */
export async function compareEnvironments(
  drivers: ServerDrivers,
  input: { readonly service: Service; readonly except: readonly ServerName[] },
  patience: Patience,
): Promise<Readonly<Record<Color, readonly Sample[]>>> {
  const [blue, green] = await Promise.all([
    askEnvironment(drivers, input.service, serversBut(input, 'blue'), patience),
    askEnvironment(drivers, input.service, serversBut(input, 'green'), patience),
  ]);
  return { blue, green };
}

/** Enough to tell a tenth of failing answers from none. */
const questionsPerEnvironment = 30;

/** Few enough not to be a load. */
const questionsAtOnce = 6;

async function askEnvironment(
  drivers: ServerDrivers,
  service: Service,
  servers: readonly Server[],
  patience: Patience,
): Promise<readonly Sample[]> {
  const question = { ...healthQuestion(service), path: service.prober.path };
  const asking = servers.map(({ name }) => new Asking(drivers.server(service, name), question));
  const asked = Array.from({ length: questionsPerEnvironment }, (_, index) => asking[index % asking.length]!);
  return pMap(asked, (server) => server.ask(patience), { concurrency: questionsAtOnce });
}

/**
 * Puts the same question to one server again and again. One that cannot be asked, and cannot be asked again after that either, is
 * not waited for any more: each try takes as long as a connection may, and a person waits for the comparison.
 */
class Asking {
  readonly #driver: ServerDriver;
  readonly #question: HealthQuestion;
  #timesLost = 0;
  #lost: Sample | undefined;

  constructor(driver: ServerDriver, question: HealthQuestion) {
    this.#driver = driver;
    this.#question = question;
  }

  async ask(patience: Patience): Promise<Sample> {
    if (this.#lost) return this.#lost;
    const lostBefore = this.#timesLost;
    try {
      return await this.#driver.probe(this.#question, patience);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const silent = { kind: 'silent', because: error.message } as const;
      // Those asked at the same moment have shared one try.
      if (lostBefore > 0) this.#lost = silent;
      this.#timesLost++;
      return silent;
    }
  }
}
