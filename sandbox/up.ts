import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildDirectory, untilInterrupted } from './demo.js';
import { startPlayground, type Playground } from './playground.js';
import { removeSandbox, type SandboxOptions } from './sandbox.js';
import { writeShellFile } from './shell-file.js';
import { temporaryDirectory } from './temporary-directory.js';

export interface SandboxUpOptions {
  /** Where it keeps its state, and goes on from what it finds; a temporary place, removed at the end, when left out. */
  readonly directory?: string;
  readonly product?: NonNullable<SandboxOptions['product']>;
  readonly instances?: number;
}

/** Starts everything and keeps it running until Ctrl-C, with releases to play with. */
export async function sandboxUp(options: SandboxUpOptions): Promise<void> {
  const { directory: asked, product = 'ovh-iplb', instances = 1 } = options;
  const directory = asked === undefined ? await temporaryDirectory('verdigris-sandbox-') : resolve(asked);
  const say = (line: string): void => console.log(line);
  const playground = await startPlayground({
    directory,
    product,
    instances,
    // A Public Cloud Load Balancer would come back without anything that carries its traffic.
    keep: asked !== undefined && product !== 'ovh-public-cloud',
    buildDirectory: buildDirectory(),
    onProgress: (line) => say(`starting ${line}`),
  });
  try {
    await playground.startWorker();
    say('building greeter 2.0.0 and an ill variant of it');
    const good = await playground.build('2.0.0');
    const ill = await playground.build('3.0.0', 'falls-ill-errors');
    await copyFile(good.archive, join(directory, 'greeter-2.0.0.tar.gz'));
    await copyFile(ill.archive, join(directory, 'greeter-3.0.0.tar.gz'));
    say(invitation(playground, await writeShellFile(playground)));
    await untilInterrupted();
  } finally {
    await playground.close();
    if (asked === undefined) await removeSandbox(directory);
  }
}

const invitation = ({ sandbox, temporal }: Playground, shellFile: string): string => `
${sandbox.isResumed ? 'The small OVHcloud of this directory runs again, as it was left.' : 'A small OVHcloud runs here. greeter 1.0.0 is live on blue, put there by hand; green is empty.'}

  the service      ${sandbox.publicUrl}   (curl -i it: x-greeter-version tells who answers)
  Temporal UI      ${temporal.uiUrl ?? 'where your Temporal has it'}
  configuration    ${sandbox.serviceFile}
  OVHcloud API     ${sandbox.api.url}   (trust ${sandbox.api.caFile})
  break the API    curl --cacert ${sandbox.api.caFile} https://127.0.0.1:${sandbox.api.port}/sandbox   (docs/sandbox.md has examples)

In another terminal:

  . ${shellFile}

  verdigris deploy --artifact greeter-2.0.0.tar.gz --version 2.0.0 --until approve
  verdigris approve --wait           the traffic moves to green; blue stays the way back

  verdigris adopt                    takes over what ran by hand on blue, which is idle now
  verdigris deploy --artifact greeter-3.0.0.tar.gz --version 3.0.0 --until approve
  verdigris approve --wait           3.0.0 falls ill under traffic: watch it being taken back

  verdigris rollback                 the traffic is back on blue, in seconds
  verdigris status --watch           where it is, and what you can do

Ctrl-C ends it all${sandbox.directory.startsWith(join(tmpdir(), 'verdigris-sandbox-')) ? '' : '; the same command goes on from here'}.`;
