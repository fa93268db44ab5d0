import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import type { Playground } from '../../sandbox/playground.js';
import { writeShellFile } from '../../sandbox/shell-file.js';

test('a shell that reads it knows Temporal, its UI, the folder and the command', async () => {
  const directory = await realpath(await mkdtemp(join(tmpdir(), "it's a sandbox ")));
  onTestFinished(() => rm(directory, { recursive: true }));
  const playground = {
    sandbox: { directory },
    temporal: { address: '127.0.0.1:7233', uiUrl: 'http://127.0.0.1:9' },
  } as Playground;

  const path = await writeShellFile(playground);

  const { stdout } = await execa('sh', [
    '-c',
    '. "$1"; echo "$TEMPORAL_ADDRESS $VERDIGRIS_UI"; pwd; echo "$XDG_STATE_HOME"; type verdigris',
    'sh',
    path,
  ]);
  expect(stdout).toMatch(/^127\.0\.0\.1:7233 http:\/\/127\.0\.0\.1:9\n/);
  // A switch by hand is written down here, and not where one of a real service of that name is.
  expect(stdout).toContain(`\n${directory}\n${directory}/state\n`);
  expect(stdout).toMatch(/verdigris is a( shell)? function/);
});
