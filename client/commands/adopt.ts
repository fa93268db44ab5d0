import { Option, type Command } from 'commander';
import { colors, type Color } from '../../domain/color.js';
import { shortId } from '../../domain/names.js';
import { workflowTypes, type AdoptionRequest } from '../../workflows/messages.js';
import { inSession, type ServiceOptions } from '../session.js';
import { noticeWithoutWorker, refuseUnsettled, runSummary, startRun } from '../starting.js';
import { waitFor } from '../waiting.js';
import { byOption, durationArgument, jsonOption, teach, whoAsks, withService } from './options.js';

interface AdoptOptions extends ServiceOptions {
  readonly environment?: Color;
  readonly by?: string;
  readonly timeout?: number;
}

export function define(command: Command): void {
  command
    .description(
      'Takes over what runs on the idle environment and was not installed by Verdigris: files kept, nothing restarted.',
    )
    .addOption(
      new Option(
        '--environment <color>',
        'the environment; refused unless it is idle (default: the idle one)',
      ).choices(colors),
    )
    .addOption(byOption())
    .option('--timeout <duration>', 'stop following after this long (exit 21)', durationArgument)
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris adopt --environment green',
    'What runs on each idle server becomes a release that a deployment can put back. The live environment is never touched: what runs there is the way back by load balancer alone, and can be adopted once it is idle. Exit code 10: some servers could not be adopted, and are as they were.',
  );
}

export const run = (options: AdoptOptions): Promise<number> =>
  inSession(options, async (session) => {
    const { service, temporal, output } = session;
    await refuseUnsettled(session, 'adopt');
    await noticeWithoutWorker(session);
    const request: AdoptionRequest = {
      service,
      requestedBy: whoAsks(options.by),
      searchAttributes: await temporal.searchable(),
      ...(options.environment === undefined ? {} : { color: options.environment }),
    };
    const id = await startRun(session, {
      action: 'adopt',
      workflowType: workflowTypes.adoption,
      kind: 'adoption',
      request,
      summary: runSummary('Adopt', service.id, options.environment),
      details: `Takes over what runs on the idle environment of **${service.id}**: files kept, nothing restarted.\n\n- asked for by: ${request.requestedBy}`,
    });
    output.say(`Adoption ${shortId(id)} of ${service.id}`);
    return waitFor(session, id, options.timeout === undefined ? {} : { timeoutMs: options.timeout });
  });
