import type { Command } from 'commander';
import { exitCodes } from '../../../domain/deployment.js';
import { diagnose, type ExaminedServer } from '../../../domain/examination.js';
import { workflowTypes } from '../../../workflows/messages.js';
import { examinationReport } from '../../examination-report.js';
import { lookWith } from '../../looking.js';
import { inSession, type ServiceOptions } from '../../session.js';
import { count } from '../../words.js';
import { jsonOption, lookingTimeoutOption, teach, withService } from '../options.js';

export interface DoctorOptions extends ServiceOptions {
  readonly timeout: number;
}

export function defineDoctor(command: Command): void {
  command
    .description(
      'Examines all servers at once, as a worker reaches them: what they are, what is left of it, what is in the way, and whether blue and green are alike.',
    )
    .addOption(lookingTimeoutOption('2m'))
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris server doctor',
    'Nothing: it changes nothing. Exit code 0: nothing has to be mended; 2: something has.',
  );
}

/** Through a worker, because it is a worker's key and a worker's way to the servers that have to do. */
export const examine = (options: DoctorOptions): Promise<number> =>
  inSession(options, async (session) => {
    const { service, output } = session;
    const servers = await lookWith<readonly ExaminedServer[]>(session, {
      action: 'examine',
      workflowType: workflowTypes.examination,
      input: service,
      timeoutMs: options.timeout,
    });
    const diagnosis = diagnose(service, servers);
    const { complaints } = diagnosis;
    output.say(examinationReport(servers, diagnosis));
    output.say([
      '',
      complaints.length === 0
        ? `${count(servers.length, 'server')} of ${service.id} are fit.`
        : `${service.id} has ${count(complaints.length, 'thing')} to mend.`,
    ]);
    output.document({ service: service.id, fit: complaints.length === 0, ...diagnosis, servers });
    return complaints.length === 0 ? 0 : exitCodes.refused;
  });
