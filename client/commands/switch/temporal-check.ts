import { WorkflowNotFoundError } from '@temporalio/client';
import type { Service } from '../../../domain/service.js';
import { queue, turnsOf, type Turns } from '../../../domain/turns.js';
import type { Output } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { heldReport } from '../../report.js';
import { lookAt, type OpenRun, type ServiceRun } from '../../service-run.js';
import {
  connectTemporal,
  refusalAt,
  TemporalUnreachable,
  type Temporal,
  type TemporalOptions,
} from '../../temporal.js';
import { clock } from '../../words.js';

interface Around {
  readonly output: Output;
  readonly command: (words: string) => string;
}

type Answer =
  | { readonly kind: 'silent'; readonly why: string }
  | { readonly kind: 'answers'; readonly run: ServiceRun | undefined; readonly neighbours: readonly string[] }
  | { readonly kind: 'tells nothing'; readonly why: string };

/**
 * Asks Temporal once, since whoever switches by hand may be wrong about it. Where it is silent, nothing keeps from going on.
 * Where it has an open run of the service, that run would find its traffic moved: refused, with the command that is meant.
 */
export async function seeThatTemporalIsDown(
  options: TemporalOptions & { readonly force?: boolean },
  service: Service,
  { output, command }: Around,
): Promise<void> {
  const answer = await ask(options, service);
  if (answer.kind === 'silent') return output.notice(`Going on without Temporal. ${answer.why}`);
  if (answer.kind === 'tells nothing') {
    if (options.force === true) return output.notice(`Going on without Temporal (--force). ${answer.why}`);
    throw new Refusal(
      `Cannot switch "${service.id}": Temporal may hold an open deployment of it and does not tell, needs it to be down or to tell\n  ${answer.why}\n  go on all the same: --force`,
    );
  }
  if (answer.run?.kind === 'open')
    return againstOpenRun(answer.run, options.force === true, service, { output, command });
  if (answer.neighbours.length > 0)
    againstNeighbours(answer.neighbours, options.force === true, service, output);
  output.notice(
    `Temporal answers, and no run of ${service.id} is open: ${command('rollback')} does the same, compares first, watches, and can be followed`,
  );
}

async function ask(options: TemporalOptions, service: Service): Promise<Answer> {
  try {
    const refusal = await refusalAt(options);
    if (refusal) throw refusal;
    const temporal = await connectTemporal(options);
    try {
      return {
        kind: 'answers',
        run: await lookAt(temporal, service.id),
        neighbours: await neighboursPublishing(temporal, service),
      };
    } finally {
      await temporal.close();
    }
  } catch (error) {
    if (error instanceof TemporalUnreachable) return { kind: 'silent', why: firstLine(error) };
    if (error instanceof Refusal) return { kind: 'tells nothing', why: firstLine(error) };
    throw error;
  }
}

/** A worker that answers would take the traffic back its own way: then there is no forcing it. */
function againstOpenRun(run: OpenRun, force: boolean, service: Service, { output, command }: Around): void {
  const pointers = { service: service.id, command, whereabouts: '' };
  const held = heldReport('switch', run, pointers, Date.now());
  const next = [
    `  go back, in every situation: ${command('rollback')}; whatever speaks against it: ${command('rollback --force')}`,
    `  out of its hands first: ${command('take-over')}`,
  ];
  if (run.told === 'by a worker') throw new Refusal([held, ...next].join('\n'));
  const later = `  no worker answers; once one does, it finds the traffic moved and asks a person`;
  if (!force) throw new Refusal([held, ...next, later, '  go on all the same: --force'].join('\n'));
  output.notice(['Going on all the same (--force):', held, later].join('\n'));
}

/** Services that share a load balancer take turns: what one has stored so far, another one would publish. */
async function neighboursPublishing(temporal: Temporal, service: Service): Promise<readonly string[]> {
  const told = await Promise.all(
    turnsOf(service).map(async (loadBalancer) => {
      const handle = temporal.client.workflow.getHandle(queue.workflowId(loadBalancer));
      const { status } = (await temporal.call(() => handle.describe()).catch(absent)) ?? {};
      if (status?.name !== 'RUNNING') return [];
      try {
        const { holder } = await temporal.call(() => handle.query<Turns>(queue.turns), turnsMs);
        if (!holder || holder.service === service.id) return [];
        return [`${holder.service} publishes at ${loadBalancer} since ${clock(holder.since)}`];
      } catch (error) {
        if (error instanceof TypeError) throw error;
        return [
          `somebody may publish at ${loadBalancer}: its queue is open, and does not tell who has the turn`,
        ];
      }
    }),
  );
  return told.flat();
}

const turnsMs = 5_000;

function absent(error: unknown): undefined {
  if (error instanceof WorkflowNotFoundError) return undefined;
  throw error;
}

function againstNeighbours(
  neighbours: readonly string[],
  force: boolean,
  service: Service,
  output: Output,
): void {
  const words = `${neighbours.join(', ')}; what it has stored so far would go out with this`;
  if (force) return output.notice(`Going on all the same (--force): ${words}`);
  throw new Refusal(
    `Cannot switch "${service.id}": ${words}, needs that to end\n  wait a moment and try again; go on all the same: --force`,
  );
}

const firstLine = ({ message }: Error): string => message.split('\n', 1)[0] ?? message;
