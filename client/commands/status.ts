import type { Command } from 'commander';
import { runReport } from '../report.js';
import { exitCodeOf, lookAt } from '../service-run.js';
import { inSession, type ServiceOptions } from '../session.js';
import { waitFor } from '../waiting.js';
import { jsonOption, teach, withService } from './options.js';

interface StatusOptions extends ServiceOptions {
  readonly watch?: boolean;
}

export function define(command: Command): void {
  command
    .description(
      'Tells where a service is: phase, since when, what is awaited, every server, what can be done, what happens next.',
    )
    .option('-w, --watch', 'follow it to its end; Ctrl-C stops following, never the deployment')
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris status --destination staging --watch',
    'Nothing: it only looks. Without an open deployment it tells what the last run was and how it ended. It works without a living worker too. With --watch the exit code is that of deploy --wait.',
  );
}

export const run = (options: StatusOptions): Promise<number> =>
  inSession(options, async (session) => {
    const { temporal, service, output, pointers, command } = session;
    const last = await lookAt(temporal, service.id);
    if (!last) {
      output.say([
        `${service.id} has never been deployed from this Temporal namespace ("${temporal.namespace}").`,
        `  begin: ${command('check')}`,
      ]);
      output.document({ service: service.id, run: null });
      return 0;
    }
    if (options.watch === true && last.kind === 'open') return waitFor(session, last.id, { pastNeed: true });
    const { link } = pointers(last.id);
    output.say(runReport(last, pointers(last.id), Date.now()));
    if (options.watch !== true || last.kind === 'open') {
      output.document({ service: service.id, run: last, link });
      return 0;
    }
    // It has ended before anybody watched: that is no reason to call it good.
    const [deployment, exitCode] = [last.id, exitCodeOf(last.end)];
    output.documentLine({ event: 'ended', service: service.id, deployment, exitCode, end: last.end, link });
    return exitCode;
  });
