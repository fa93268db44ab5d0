import type { Command } from 'commander';
import { shortId } from '../../domain/names.js';
import { workflowTypes, type ConvergenceRequest } from '../../workflows/messages.js';
import { inSession, type ServiceOptions } from '../session.js';
import { noticeWithoutWorker, refuseUnsettled, runSummary, startRun } from '../starting.js';
import { waitFor } from '../waiting.js';
import { byOption, durationArgument, jsonOption, teach, whoAsks, withService } from './options.js';

interface ConvergeOptions extends ServiceOptions {
  readonly by?: string;
  readonly timeout?: number;
}

export function define(command: Command): void {
  command
    .description('Brings live servers that a deployment has left behind to the release that is live.')
    .addOption(byOption())
    .option('--timeout <duration>', 'stop following after this long (exit 21)', durationArgument)
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris converge',
    'The release is installed, started and verified there, and only then the load balancer gives these servers their share again, in one change. Servers that get traffic are not touched. Refused where what is live cannot be told for sure. Exit code 10: some did not come back.',
  );
}

export const run = (options: ConvergeOptions): Promise<number> =>
  inSession(options, async (session) => {
    const { service, temporal, output } = session;
    await refuseUnsettled(session, 'converge');
    await noticeWithoutWorker(session);
    const request: ConvergenceRequest = {
      service,
      requestedBy: whoAsks(options.by),
      searchAttributes: await temporal.searchable(),
    };
    const id = await startRun(session, {
      action: 'converge',
      workflowType: workflowTypes.convergence,
      kind: 'convergence',
      request,
      summary: runSummary('Converge', service.id),
      details: `Brings the live servers of **${service.id}** that were left behind to the release that is live.\n\n- asked for by: ${request.requestedBy}`,
    });
    output.say(`Convergence ${shortId(id)} of ${service.id}`);
    return waitFor(session, id, options.timeout === undefined ? {} : { timeoutMs: options.timeout });
  });
