import { Option, type Command } from 'commander';
import { displayUrl } from '../../domain/artifact-url.js';
import type { DeploymentRequest } from '../../domain/deployment.js';
import { shortId, workflowIdOf } from '../../domain/names.js';
import { workflowTypes } from '../../workflows/messages.js';
import { resolveArtifact } from '../artifact.js';
import { inSession, type ServiceOptions, type Session } from '../session.js';
import { noticeWithoutWorker, refuseUnsettled, runSummary, startRun } from '../starting.js';
import { waitFor } from '../waiting.js';
import { describeRelease } from '../words.js';
import {
  againOption,
  byOption,
  durationArgument,
  jsonOption,
  requireFollowed,
  teach,
  whoAsks,
  withService,
} from './options.js';

interface DeployOptions extends ServiceOptions {
  readonly artifact?: string;
  readonly sha256?: string;
  readonly version?: string;
  readonly wait?: boolean;
  readonly until?: 'approve';
  readonly timeout?: number;
  readonly by?: string;
  readonly again?: string;
}

export function define(command: Command): void {
  command
    .description(
      'Deploys an artifact: puts it on the idle environment, proves it there, waits for approval, switches, watches.',
    )
    .option('-a, --artifact <url|path>', 'the tar.gz that was built; a path is one that workers can read too')
    .option('--sha256 <digest>', 'its SHA-256; needed with a URL, computed for a path')
    .option('--version <name>', 'what people call it, for example a tag')
    .option('-w, --wait', 'follow it to its end')
    .addOption(
      new Option('--until <phase>', 'follow it until it waits for approval')
        .choices(['approve'])
        .conflicts('wait'),
    )
    .option(
      '--timeout <duration>',
      'stop following after this long (exit 21); the deployment goes on',
      durationArgument,
    )
    .addOption(againOption())
    .addOption(byOption())
    .addOption(jsonOption());
  teach(
    withService(command),
    'verdigris deploy --artifact https://ci.example.com/greeter-2.0.1.tar.gz --sha256 3f9c... --version 2.0.1 --wait',
    'One deployment per service runs at a time; it goes on whatever becomes of this command. Exit codes with --wait: 0 promoted, 2 refused (nothing was changed), 10 rolled back, 11 rejected, 20 needs a person or was taken over, 21 waited too long. See: verdigris status, approve, rollback.',
  );
}

export async function run(options: DeployOptions): Promise<number> {
  const follows = options.wait === true || options.until !== undefined;
  requireFollowed(options.timeout, follows, '--wait or --until approve');
  return inSession(options, async (session) => {
    const request = await requestFor(session, options);
    await refuseUnsettled(session, 'deploy');
    await noticeWithoutWorker(session);
    const id = await startRun(session, {
      action: 'deploy',
      workflowType: workflowTypes.deployment,
      kind: 'deployment',
      request,
      summary: runSummary('Deploy', session.service.id, describeRelease(request)),
      details: detailsOf(request),
    });
    session.output.say(`Deployment ${shortId(id)} of ${session.service.id}: ${describeRelease(request)}`);
    session.output[follows ? 'documentLine' : 'document']({
      ...(follows ? { event: 'started' } : {}),
      service: session.service.id,
      deployment: id,
      workflow: workflowIdOf(session.service.id),
      artifact: request.artifact,
      link: session.pointers(id).link,
    });
    if (!follows) return sayHowToFollow(session, id);
    return waitFor(session, id, {
      untilApproval: options.until === 'approve',
      ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
    });
  });
}

async function requestFor(
  { service, temporal }: Session,
  options: DeployOptions,
): Promise<DeploymentRequest> {
  return {
    service,
    artifact: await resolveArtifact(options.artifact, options.sha256),
    requestedBy: whoAsks(options.by),
    searchAttributes: await temporal.searchable(),
    ...(options.version === undefined ? {} : { version: options.version }),
    ...(options.again === undefined ? {} : { again: options.again }),
  };
}

function sayHowToFollow(
  { output, command, pointers }: Session,
  id: Parameters<Session['pointers']>[0],
): number {
  const { link } = pointers(id);
  output.say([
    `  follow it:    ${command('status --watch')}`,
    `  take it back: ${command('rollback')}`,
    ...(link === undefined ? [] : [`  look:         ${link}`]),
  ]);
  return 0;
}

const detailsOf = ({ service, artifact, version, requestedBy, again }: DeploymentRequest): string =>
  [
    `Deploys **${version ?? artifact.sha256.slice(0, 12)}** of **${service.name}** to **${service.destination}**.`,
    '',
    `- artifact: ${displayUrl(artifact.url)}`,
    `- sha256: \`${artifact.sha256}\``,
    `- asked for by: ${requestedBy}`,
    ...(again === undefined ? [] : [`- again, although it was taken back as unfit: ${again}`]),
    '',
    'Send `approve`, `reject` or `rollback` as a signal from this page (no input needed), or use the command line. Cancelling is a rollback. Never terminate it: nothing would be put back.',
  ].join('\n');
