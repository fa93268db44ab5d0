import { Option, type Command } from 'commander';
import { colors, type Color } from '../../domain/color.js';
import type { Complaint } from '../../domain/failures.js';
import { shortId } from '../../domain/names.js';
import { liveColor, type LoadBalancerObservation } from '../../domain/observation.js';
import { workflowTypes, type Inspection, type RepairRequest } from '../../workflows/messages.js';
import { lookWith } from '../looking.js';
import { complaintLines, observationReport } from '../observation-report.js';
import { confirm } from '../output.js';
import { Refusal } from '../refusal.js';
import { heldReport } from '../report.js';
import { lookAt } from '../service-run.js';
import { inSession, type ServiceOptions, type Session } from '../session.js';
import { complaintsUnsettled, runSummary, startRun } from '../starting.js';
import { waitFor } from '../waiting.js';
import { byOption, durationArgument, jsonOption, teach, whoAsks, withService } from './options.js';

interface RepairOptions extends ServiceOptions {
  readonly live?: Color;
  readonly yes?: boolean;
  readonly by?: string;
  readonly timeout?: number;
}

export function define(command: Command): void {
  command
    .description(
      'Settles a state that no deployment may start from: a mixed split, both environments live, edits that are not published, a take-over.',
    )
    .addOption(
      new Option('--live <color>', 'the environment that all traffic goes to afterwards').choices(colors),
    )
    .option('-y, --yes', 'do not ask; needed where there is no terminal')
    .addOption(byOption())
    .option('--timeout <duration>', 'stop following after this long (exit 21)', durationArgument)
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris repair --live blue',
    'It shows what was found and what it would do, and asks. Then all traffic goes to the environment you chose, which is proved from outside. No server is changed. Afterwards deployments are accepted again.',
  );
}

export const run = (options: RepairOptions): Promise<number> =>
  inSession(options, async (session) => {
    const { service, temporal, output, pointers } = session;
    const open = await lookAt(temporal, service.id);
    if (open?.kind === 'open') throw new Refusal(heldReport('repair', open, pointers(open.id), Date.now()));
    const live = await settleOn(session, options);
    if (live === undefined) return 0;
    const request: RepairRequest = {
      service,
      requestedBy: whoAsks(options.by),
      searchAttributes: await temporal.searchable(),
      live,
    };
    const id = await startRun(session, {
      action: 'repair',
      workflowType: workflowTypes.repair,
      kind: 'repair',
      request,
      summary: runSummary('Repair', service.id, `all traffic to ${live}`),
      details: `Sends all traffic of **${service.id}** to **${live}** and proves it.\n\n- asked for by: ${request.requestedBy}`,
    });
    output.say(`Repair ${shortId(id)} of ${service.id}`);
    return waitFor(session, id, options.timeout === undefined ? {} : { timeoutMs: options.timeout });
  });

/** Shows what is and what would be done, and settles with the person on the environment. */
async function settleOn(session: Session, options: RepairOptions): Promise<Color | undefined> {
  const { service, output, command } = session;
  const left = await complaintsUnsettled(session, 'deploy');
  const inspection = await lookWith<Inspection>(session, {
    action: 'look at',
    workflowType: workflowTypes.inspection,
    input: service,
    timeoutMs: 120_000,
  });
  const { observation } = inspection;
  const complaints = [...left, ...inspection.complaints];
  const current = liveColor(observation.loadBalancer);
  const live = options.live ?? current;
  output.say([
    ...observationReport(service, observation),
    ...(complaints.length > 0 ? ['', ...complaintLines(complaints)] : []),
  ]);
  if (!complaints.some(isSettledByRepair)) throw nothingToSettle(session, current, live);
  if (live === undefined) {
    throw new Refusal(
      `Cannot repair "${service.id}": the load balancer does not send all traffic to one environment, needs your choice\n  ${command('repair --live blue')}, or ${command('repair --live green')}`,
    );
  }
  output.say([
    '',
    `Would send all traffic to ${live}, prove it at ${service.publicAddress.url}, and change no server.`,
    ...storedLines(observation.loadBalancer),
  ]);
  if (options.yes === true) return live;
  if (!output.interactive) {
    throw new Refusal(
      `Cannot repair "${service.id}": nobody can be asked here, needs --yes\n  ${command(`repair --live ${live} --yes`)}`,
    );
  }
  if (await confirm('Do it?')) return live;
  output.say('Nothing was changed.');
  return undefined;
}

/** Both consequences: nobody can tell whose it is, and what it touches. */
const storedLines = ({ staged }: LoadBalancerObservation): readonly string[] =>
  staged.length === 0
    ? []
    : [
        `  That publishes, too, what somebody has stored, whatever it touches: ${staged.join('; ')}.`,
        `  Not doing it leaves that stored, and the traffic where it is.`,
      ];

/** A server that is unreachable, or runs something foreign, stays so whatever the load balancer does. */
const isSettledByRepair = ({ failure }: Complaint): boolean =>
  failure === 'RepairNeeded' || failure === 'StateUnclear' || failure === 'StagedEditsFound';

const nothingToSettle = (
  { service, command }: Session,
  current: Color | undefined,
  wanted: Color | undefined,
): Refusal =>
  new Refusal(
    [
      `Cannot repair "${service.id}": there is nothing to settle (all traffic goes to ${current}, nothing is left of a take-over), needs a state that no deployment may start from`,
      wanted === current
        ? `  look again: ${command('check')}`
        : `  send the traffic to ${wanted}: ${command('rollback')}`,
    ].join('\n'),
  );
