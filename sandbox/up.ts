import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildDirectory, untilInterrupted } from './demo.js';
import { startPlayground } from './playground.js';
import { greeterVariants } from './programs.js';
import { removeSandbox } from './sandbox.js';

export interface SandboxUpOptions {
  /** Where it keeps its state; a temporary place, removed at the end, when left out. */
  readonly directory?: string;
}

/** Starts everything and keeps it running until Ctrl-C, with releases to play with. */
export async function sandboxUp({ directory: asked }: SandboxUpOptions): Promise<void> {
  const directory =
    asked === undefined ? await mkdtemp(join(tmpdir(), 'verdigris-sandbox-')) : resolve(asked);
  const say = (line: string): void => console.log(line);
  const playground = await startPlayground({
    directory,
    buildDirectory: buildDirectory(),
    onProgress: (line) => say(`starting ${line}`),
  });
  try {
    await playground.startWorker();
    say('building greeter 2.0.0 and an ill variant of it');
    const good = await playground.build('2.0.0');
    const ill = await playground.build('3.0.0', 'falls-ill-errors');
    const { sandbox, temporal } = playground;
    const words = `TEMPORAL_ADDRESS=${temporal.address} VERDIGRIS_UI=${temporal.uiUrl ?? ''} npx verdigris`;
    say(`
A small OVHcloud runs here. greeter 1.0.0 is live on blue, put there by hand.

  the service        ${sandbox.publicUrl}     (curl -i it; x-greeter-version tells who answers)
  Temporal UI        ${temporal.uiUrl ?? 'where your Temporal has it'}
  configuration      ${sandbox.serviceFile}
  OVHcloud API       ${sandbox.api.url}     (certificate authority: ${sandbox.api.caFile})
  break the API      https://127.0.0.1:${sandbox.api.port}/sandbox/faults

Deploy a good release:
  ${words} deploy --config ${sandbox.serviceFile} --artifact ${good.archive} --version 2.0.0 --until approve
  ${words} approve --config ${sandbox.serviceFile}
  ${words} status --config ${sandbox.serviceFile} --watch

Take over what ran there by hand, and deploy one that falls ill under traffic:
  ${words} adopt --config ${sandbox.serviceFile}
  ${words} deploy --config ${sandbox.serviceFile} --artifact ${ill.archive} --version 3.0.0 --wait

Go back:
  ${words} rollback --config ${sandbox.serviceFile}

Other variants to build: ${greeterVariants.join(', ')}
Ctrl-C ends it all.`);
    await untilInterrupted();
  } finally {
    await playground.close();
    if (asked === undefined) await removeSandbox(directory);
  }
}
