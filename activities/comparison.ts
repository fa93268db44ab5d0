import pMap from 'p-map';
import type { Color } from '../domain/color.js';
import { Failure, inOneLine } from '../domain/failures.js';
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

/** Of an environment: few enough not to be a load. Where it has more servers, each has one. */
const questionsAtOnce = 6;

/** What it may take to reach a server, on top of its answer. */
const reachedWithinMs = 10_000;

/** A server that is reached and has answered none of so many is asked no more. */
const silentAfter = 3;

/** All servers are asked side by side: one that is silent keeps nobody waiting but itself. */
async function askEnvironment(
  drivers: ServerDrivers,
  service: Service,
  servers: readonly Server[],
  patience: Patience,
): Promise<readonly Sample[]> {
  const question = { ...healthQuestion(service), path: service.prober.path };
  const asked = servers.slice(0, questionsPerEnvironment);
  const atOnce = Math.max(1, Math.floor(questionsAtOnce / asked.length));
  const samples = await Promise.all(
    asked.map(({ name }, index) => {
      const server = new AskedServer(drivers.server(service, name), question, patience);
      const times = Math.ceil((questionsPerEnvironment - index) / asked.length);
      return pMap(Array.from({ length: times }), () => server.ask(), { concurrency: atOnce });
    }),
  );
  return samples.flat();
}

/**
 * One server, as far as it has answered. One that cannot be asked, and cannot be asked again after that either, is not waited for any
 * more, and neither is one that never answers: a person waits for the comparison.
 */
class AskedServer {
  readonly #driver: ServerDriver;
  readonly #question: HealthQuestion;
  readonly #patience: Patience;
  #timesLost = 0;
  #timesSilent = 0;
  #hasAnswered = false;
  #silence: Sample | undefined;

  constructor(driver: ServerDriver, question: HealthQuestion, patience: Patience) {
    this.#driver = driver;
    this.#question = question;
    this.#patience = patience;
  }

  async ask(): Promise<Sample> {
    if (this.#silence) return this.#silence;
    const lostBefore = this.#timesLost;
    try {
      const sample = await this.#answer();
      if (sample.kind === 'answered') this.#hasAnswered = true;
      else if (!this.#hasAnswered && ++this.#timesSilent >= silentAfter) this.#silence = sample;
      return sample;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#timesLost++;
      const silent = { kind: 'silent', because: inOneLine(error.message) } as const;
      // Those asked at the same moment have shared one try.
      if (lostBefore > 0) this.#silence = silent;
      return silent;
    }
  }

  /** Connecting to a machine that is frozen takes longer than anybody should wait for. */
  async #answer(): Promise<Sample> {
    const limitMs = this.#question.timeoutMs + reachedWithinMs;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), limitMs);
    const { signal, progress } = this.#patience;
    try {
      const either = AbortSignal.any([signal, late.signal]);
      return await this.#driver.probe(this.#question, { signal: either, progress });
    } catch (error) {
      if (error instanceof Failure || signal.aborted || !late.signal.aborted) throw error;
      const seconds = Math.round(limitMs / 1000);
      this.#silence = {
        kind: 'silent',
        because: `${this.#driver.server.name} was not reached within ${seconds} s`,
      };
      return this.#silence;
    } finally {
      clearTimeout(timer);
    }
  }
}
