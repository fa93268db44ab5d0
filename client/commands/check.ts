import type { Command } from 'commander';
import { workflowTypes, type Inspection } from '../../workflows/messages.js';
import { exitCodes } from '../../domain/deployment.js';
import { rootByKey, serversOf } from '../../domain/service.js';
import { readService } from '../configuration/configuration.js';
import { lookWith } from '../looking.js';
import { artifactReport, complaintLines, observationReport, readyLine } from '../observation-report.js';
import { createOutput } from '../output.js';
import { planWith, type WantedArtifact } from '../planning.js';
import { inSession, type ServiceOptions, type Session } from '../session.js';
import { heldReport } from '../report.js';
import { lookAt as lookAtRun } from '../service-run.js';
import { complaintsUnsettled } from '../starting.js';
import { count } from '../words.js';
import { jsonOption, lookingTimeoutOption, teach, withService } from './options.js';

interface CheckOptions extends ServiceOptions, Omit<WantedArtifact, 'version' | 'again'> {
  readonly offline?: boolean;
}

export function define(command: Command): void {
  command
    .description(
      'Checks the configuration, then looks at everything it names: load balancer, servers, units, releases.',
    )
    .option('-a, --artifact <url|path>', 'also whether this tar.gz would run on the idle servers')
    .option('--sha256 <digest>', 'its SHA-256; needed with a URL, computed for a path')
    .option('--offline', 'the configuration only, without Temporal')
    .addOption(lookingTimeoutOption('2m'))
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris check --destination staging',
    'Nothing: it changes nothing. All complaints are told at once, those of the configuration with file, line and column. Exit code 0: a deployment may start; 2: it would be refused.',
  );
}

export function run(options: CheckOptions): Promise<number> {
  if (options.offline === true) return Promise.resolve(checkConfiguration(options));
  return inSession(options, async (session) => {
    const { service, output } = session;
    const left = await complaintsUnsettled(session, 'deploy');
    const { observation, complaints: found, known } = await lookAt(session, options);
    const complaints = [...left, ...found];
    const held = await whoHolds(session);
    const ready = complaints.length === 0 && held === undefined;
    output.say(observationReport(service, observation));
    const root = rootByKey(service);
    if (root !== undefined) output.say(`  ${root}`);
    if (known.length > 0) output.say(['', ...known]);
    output.say([
      '',
      ...complaintLines(complaints),
      ...(held === undefined ? [] : [held]),
      ...(ready ? [readyLine(service)] : []),
    ]);
    output.document({
      service: service.id,
      ready,
      complaints,
      ...(held === undefined ? {} : { held }),
      observation,
    });
    return ready ? 0 : exitCodes.refused;
  });
}

/** The run that is open, as whoever would deploy now would be told of it. */
async function whoHolds({ temporal, service, pointers }: Session): Promise<string | undefined> {
  const run = await lookAtRun(temporal, service.id);
  return run?.kind === 'open' ? heldReport('deploy', run, pointers(run.id), Date.now()) : undefined;
}

/** What was seen, and with an artifact what is known of it. */
async function lookAt(
  session: Session,
  options: CheckOptions,
): Promise<Inspection & { readonly known: readonly string[] }> {
  if (options.artifact !== undefined) {
    const { planning, ...inspection } = await planWith(session, options);
    return planning?.kind === 'refused'
      ? { ...inspection, complaints: planning.complaints, known: [] }
      : { ...inspection, known: planning ? artifactReport(planning.plan) : [] };
  }
  const inspection = await lookWith<Inspection>(session, {
    action: 'look at',
    workflowType: workflowTypes.inspection,
    input: session.service,
    timeoutMs: options.timeout,
  });
  return { ...inspection, known: [] };
}

function checkConfiguration({ config, destination, json }: CheckOptions): number {
  const service = readService(config, destination);
  const output = createOutput(json === true);
  output.say(
    `${config} is good for ${service.id}: ${count(service.environments.blue.length, 'server')} in blue, ${service.environments.green.length} in green.`,
  );
  output.document({ service: service.id, good: true, servers: serversOf(service).length });
  return 0;
}
