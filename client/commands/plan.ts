import type { Command } from 'commander';
import { exitCodes } from '../../domain/deployment.js';
import type { Complaint } from '../../domain/failures.js';
import type { Planning } from '../../domain/plan.js';
import type { PlanningResult } from '../../workflows/messages.js';
import { complaintLines, observationReport, planReport } from '../observation-report.js';
import { planWith, type WantedArtifact } from '../planning.js';
import { inSession, type ServiceOptions } from '../session.js';
import { complaintsUnsettled } from '../starting.js';
import { againOption, jsonOption, lookingTimeoutOption, teach, withService } from './options.js';

type PlanOptions = ServiceOptions & WantedArtifact;

export function define(command: Command): void {
  command
    .description('Shows what a deployment of an artifact would do. Changes nothing.')
    .option('-a, --artifact <url|path>', 'the tar.gz that was built')
    .option('--sha256 <digest>', 'its SHA-256; needed with a URL, computed for a path')
    .option('--version <name>', 'what people call it')
    .addOption(againOption())
    .addOption(lookingTimeoutOption('10m'))
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris plan --artifact build/greeter.tar.gz',
    'Nothing: the artifact is fetched and read, no server is changed. The hash of the plan is the one that an approval names, as long as nothing changes until then. Exit code 2: a deployment would be refused.',
  );
}

export const run = (options: PlanOptions): Promise<number> =>
  inSession(options, async (session) => {
    const { service, output } = session;
    const left = await complaintsUnsettled(session, 'deploy');
    const result = await planWith(session, options);
    const { observation } = result;
    const planning = withLeft(left, result);
    output.say(observationReport(service, observation));
    output.say([
      '',
      ...(planning.kind === 'planned'
        ? planReport(service, planning.plan)
        : complaintLines(planning.complaints)),
    ]);
    output.document({ service: service.id, planning, observation });
    return planning.kind === 'planned' ? 0 : exitCodes.refused;
  });

/** What was planned, unless something else is left to settle first. */
function withLeft(left: readonly Complaint[], { planning, complaints }: PlanningResult): Planning {
  if (left.length === 0 && planning?.kind === 'planned') return planning;
  return {
    kind: 'refused',
    complaints: [...left, ...(planning?.kind === 'refused' ? planning.complaints : complaints)],
  };
}
