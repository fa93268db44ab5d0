import { Context, activityInfo } from '@temporalio/activity';
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import { Failure, inOneLine } from '../domain/failures.js';
import type { ServiceId } from '../domain/names.js';
import { namedIn, serviceIn } from '../domain/service-by-name.js';
import type { Service } from '../domain/service.js';
import type { Activity } from './fail.js';

/** Below the heartbeat timeout of every step: they begin to beat after it. */
const readWithinMs = 4_000;

/** A worker has few runs in hand at a time. One that is forgotten is read again. */
const keptRuns = 100;

/** Gives steps the service that their input only names: the one that their run was started with. */
export function withServiceOfRun<T extends Record<string, Activity>>(activities: T): T {
  const started = new StartedServices();
  const wrapped = Object.entries(activities).map(([name, activity]) => [
    name,
    async (...inputs: never[]) =>
      activity(...((await Promise.all(inputs.map((input) => completed(input, started)))) as never[])),
  ]);
  return Object.fromEntries(wrapped) as T;
}

async function completed(input: object, started: StartedServices): Promise<unknown> {
  const named = namedIn(input);
  return named === undefined ? input : { ...input, service: await started.named(named) };
}

/** What runs were started with, as the first event of their histories holds it. Read once for all their steps. */
class StartedServices {
  readonly #byRun = new Map<string, Promise<Service | undefined>>();

  async named(id: ServiceId): Promise<Service> {
    const { workflowExecution: run } = activityInfo();
    if (!run) throw new TypeError(`Cannot find "${id}": this is no step of a run`);
    const service = await this.#of(run, id);
    if (service?.id === id) return service;
    throw new Failure(
      'RequestInvalid',
      `Cannot take a step for "${id}": its run was started for ${service ? `"${service.id}"` : 'no service'}, needs to be started for "${id}"\n  start it by a command of ours: verdigris --help`,
    );
  }

  #of(run: Run, id: ServiceId): Promise<Service | undefined> {
    const service = this.#byRun.get(run.runId) ?? serviceOf(run, id);
    this.#byRun.delete(run.runId);
    this.#byRun.set(run.runId, service); // the one that was asked for last is forgotten last
    service.catch(() => this.#forget(run.runId, service));
    const [oldest] = this.#byRun.keys();
    if (this.#byRun.size > keptRuns && oldest !== undefined) this.#byRun.delete(oldest);
    return service;
  }

  /** What could not be read is read again for the next try. */
  #forget(runId: string, failed: Promise<unknown>): void {
    if (this.#byRun.get(runId) === failed) this.#byRun.delete(runId);
  }
}

interface Run {
  readonly workflowId: string;
  readonly runId: string;
}

async function serviceOf(run: Run, id: ServiceId): Promise<Service | undefined> {
  const { client } = Context.current();
  const { namespace, loadedDataConverter } = client.options;
  try {
    // In the place of the step's own signal: who waits with it goes on when that one is cancelled.
    const { history } = await client.withAbortSignal(AbortSignal.timeout(readWithinMs), () =>
      client.withDeadline(Date.now() + readWithinMs, () =>
        client.workflowService.getWorkflowExecutionHistory({ namespace, execution: run, maximumPageSize: 1 }),
      ),
    );
    const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
    const [input] = await decodeArrayFromPayloads(loadedDataConverter, started?.input?.payloads);
    return serviceIn(input);
  } catch (cause) {
    throw new Failure(
      'TemporalUnreachable',
      `Cannot take a step for "${id}": what its run was started with cannot be read (${inOneLine((cause as Error).message)}), needs Temporal to answer within ${readWithinMs / 1000} s\n  it is tried again; see whether Temporal answers: verdigris status`,
      { cause },
    );
  }
}
