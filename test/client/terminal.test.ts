import { execa } from 'execa';
import { expect, onTestFinished } from 'vitest';
import { test } from '../support/world.js';
import { aCommandLine, type CommandLine } from './support/command-line.js';

/** More than the longest line: nothing wraps. */
const wide = 'stty columns 200 rows 50';

/** The command line under a pseudo-terminal, with somebody who types. */
function atTerminal(cli: CommandLine, words: string, size = wide) {
  const terminal = execa('script', ['-qefc', `${size} && ${cli.shell(words)}`, '/dev/null'], {
    cwd: cli.folder,
    env: { CI: '', TERM: 'xterm', NO_COLOR: '1' },
    reject: false,
  });
  onTestFinished(() => void terminal.kill('SIGKILL'));
  let screen = '';
  terminal.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString()));
  return {
    terminal,
    type: (text: string) => terminal.stdin.write(text),
    shows: (text: string | RegExp) => expect.poll(() => screen, { timeout: 120_000 }).toMatch(text),
  };
}

test('approve shows the evidence and asks; no sends nothing, yes sends it', async ({ aWorld }) => {
  const world = await aWorld();
  const cli = await aCommandLine(world);
  await cli.run(`deploy --until approve ${cli.artifact('v2')}`);

  const hesitant = atTerminal(cli, 'approve');
  await hesitant.shows(/Evidence[\s\S]*Give it the traffic\? \[y\/N\]/);
  hesitant.type('n\n');
  await hesitant.shows('Nothing was sent.');
  expect((await hesitant.terminal).exitCode).toBe(0);
  expect(await world.status()).toMatchObject({ stage: 'approve' });

  const sure = atTerminal(cli, 'approve --by ann');
  await sure.shows('Give it the traffic?');
  sure.type('y\n');
  await sure.shows('Approved: the servers are verified once more');
  expect(await world.handle().result()).toMatchObject({ kind: 'promoted' });
});

test('Ctrl-C at the question sends nothing', async ({ aWorld }) => {
  const world = await aWorld();
  const cli = await aCommandLine(world);
  await cli.run(`deploy --until approve ${cli.artifact('v2')}`);
  const leaving = atTerminal(cli, 'approve');
  await leaving.shows('Give it the traffic?');
  leaving.type('\u0003');
  await leaving.shows('Nothing was sent');
  expect((await leaving.terminal).exitCode).toBe(130);
  expect(await world.status()).toMatchObject({ stage: 'approve' });
});

test('following shows what turns now, and Ctrl-C leaves the deployment going', async ({ aWorld }) => {
  const world = await aWorld();
  const cli = await aCommandLine(world);
  const following = atTerminal(cli, `deploy --wait ${cli.artifact('v2')}`);
  await following.shows(/approve +for .*: waits for an approval/);
  following.type('\u0003');
  await following.shows(/Stopped following; deployment \w{8} goes on\./);
  expect((await following.terminal).exitCode).toBe(130);
  expect(await world.status()).toMatchObject({ stage: 'approve' });
});

test('a terminal that does not know its width gets plain lines', async ({ aWorld }) => {
  const world = await aWorld();
  const cli = await aCommandLine(world);
  const following = atTerminal(cli, `deploy --until approve ${cli.artifact('v2')}`, 'stty columns 0');
  await following.shows(/Deployment \w{8} waits for an approval\./);
  const { exitCode, stdout } = await following.terminal;
  expect(exitCode).toBe(0);
  expect(stdout).not.toContain('\u001B');
});
