import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { commands } from '../../client/command-table.js';
import { runHere } from './support/command-line.js';
import { parseDuration, parsePercent, parseSize, describeDuration } from '../../configuration/quantities.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** As a process of its own. */
const start = (...words: readonly string[]) =>
  execa(process.execPath, ['--import', 'tsx', 'client/main.ts', ...words], { cwd: root, reject: false });

/** The same in this process, which costs a fraction of it. */
const run = (...words: readonly string[]) => runHere(words);

const example = ['-c', 'docs/verdigris.example.yaml'];

test('help lists every command', async () => {
  const { exitCode, stdout } = await start('--help');
  expect(exitCode).toBe(0);
  for (const { name, summary } of commands) expect(stdout).toMatch(new RegExp(`${name} +${summary}`));
});

test('the help of every command has an example and says what happens next', async () => {
  const { Command } = await import('commander');
  for (const { name, load } of commands) {
    const command = new Command(name);
    (await load()).define(command);
    let help = '';
    const taught = command.commands[0] ?? command;
    taught.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    expect(help).toMatch(new RegExp(`Example:\\n {2}\\$ verdigris ${name}`));
    expect(help).toMatch(/What happens next:\n {2}\S/);
    // Durations as people write them: the milliseconds stay inside.
    expect(help).not.toMatch(/default: \d+\)/);
  }
});

describe('bad input ends with 2 and says why on stderr', () => {
  test.each([
    [['deplyo'], /^Cannot run "verdigris deplyo": unknown command 'deplyo'\n {2}Did you mean deploy\?/],
    [
      ['deploy', '--artifcat', 'x'],
      /^Cannot run "verdigris deploy": unknown option '--artifcat'\n {2}Did you mean --artifact\?/,
    ],
    [
      ['deploy', '--timeout', '3'],
      /Needs a duration such as 90s, 30m or 1h\n {2}see: verdigris deploy --help$/,
    ],
    [
      ['deploy', ...example, '--timeout', '3m'],
      /^Cannot use --timeout here: .*, needs --wait or --until approve$/,
    ],
    [['approve', ...example, '--timeout', '3m'], /^Cannot use --timeout here: .*, needs --wait$/],
    [['retry', ...example, '--timeout', '3m'], /^Cannot use --timeout here: .*, needs --wait$/],
    [['rollback', ...example, '--timeout', '3m', '--no-wait'], /^Cannot use --timeout here: /],
    [
      ['deploy', '--wait', '--until', 'approve'],
      /^Cannot run "verdigris deploy": option '--until <phase>' cannot be used with option '-w, --wait'/,
    ],
    [['--nowhere'], /^Cannot run "verdigris": unknown option '--nowhere'\n {2}see: verdigris --help$/],
    [['approve', '--deployment', 'x'], /Needs eight hexadecimal digits or more/],
    [['adopt', '--environment', 'red'], /Allowed choices are blue, green/],
    [['check', '-c', 'docs'], /^Cannot read "docs": it is a directory, needs a file that may be read$/],
    [['check', '-c', 'nowhere.yaml'], /^Cannot read "nowhere\.yaml": there is no such file/],
    [['check', ...example, '-d', 'moon'], /^Cannot use destination "moon"/],
    [['check', ...example, '--api-key-file', '/nowhere'], /^Cannot read the API key "\/nowhere"/],
    [['check', ...example, '--profile', 'nobody'], /^Cannot read the Temporal profile/],
    [['ovh', 'whoami', '--keys-file', '/nowhere'], /^Cannot read "\/nowhere"/],
    [
      ['server', 'setup', ...example, '--authorize', '/nowhere'],
      /^Cannot authorize "\/nowhere": there is no such file/,
    ],
  ])('%j', async (words, pattern) => {
    const { exitCode, stdout, stderr } = await run(...words);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toMatch(pattern);
  });
});

describe('with --json, bad input is one document on stdout as well', () => {
  test.each([
    [['deploy', '--artifcat', 'x', '--json'], []],
    [['check', '--json', '-c', 'nowhere.yaml'], []],
    [['check', '--json', '-c', 'package.json'], [expect.stringMatching(/^package\.json:\d+:\d+: /)]],
  ])('%j', async (words, complaints) => {
    const { exitCode, stdout, stderr } = await run(...words);
    const document = JSON.parse(stdout) as {
      readonly message: string;
      readonly complaints?: readonly string[];
    };
    expect(document).toMatchObject({ event: 'refused', exitCode: 2 });
    expect([exitCode, document.message]).toEqual([2, stderr]);
    expect(document.complaints ?? []).toEqual(expect.arrayContaining(complaints));
  });
});

test.each([
  [['--trust', '/nowhere'], /^Cannot trust "\/nowhere": it cannot be read \(ENOENT\)/],
  [['--endpoint', 'mars'], /^Cannot use "mars" as an OVHcloud endpoint: needs ovh-eu/],
])('how OVHcloud is to be called is looked at first: %j', async (words, pattern) => {
  for (const name of ['APPLICATION_KEY', 'APPLICATION_SECRET', 'CONSUMER_KEY'])
    vi.stubEnv(`OVH_${name}`, 'a');
  onTestFinished(() => void vi.unstubAllEnvs());
  const { exitCode, stderr } = await run('ovh', 'whoami', ...example, ...words);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(pattern);
});

test('a worker that Temporal does not serve says why, and is no fault of ours', async () => {
  const address = inject('temporalAddress');
  const worker = ['worker', '--config', 'docs/worker.example.yaml', '--address', address];
  const [elsewhere, encrypted] = await Promise.all([
    start(...worker, '--namespace', 'nope'),
    start(...worker, '--tls'),
  ]);
  expect([elsewhere.exitCode, encrypted.exitCode]).toEqual([2, 2]);
  expect(elsewhere.stderr).toContain(
    `Cannot use namespace "nope" at ${address}: there is none of that name, needs one (--namespace NAME)\n  which there are: `,
  );
  expect(encrypted.stderr).toContain(`Cannot reach Temporal at ${address}: it speaks no TLS, which --tls `);
});

describe('without Temporal', () => {
  test('whoever wants to go back is told how to, all the same', async () => {
    const { exitCode, stderr } = await run('rollback', ...example, '--address', '127.0.0.1:1');
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(
      /verdigris switch blue --without-temporal --config docs\/verdigris\.example\.yaml/,
    );
  });

  test('whoever switches by hand and has no worker.yaml is told the keys of every region', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'verdigris-switch-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const region = (name: string, balancer: number, api: string): string => `
  - name: ${name}
    loadBalancer:
      driver: ovh-iplb
      serviceName: loadbalancer-${balancer}
      frontends: [1]
      stagingFrontend: 2
      farms: { blue: 3, green: 4 }
      api: { ${api} }
    publicAddress: { url: "http://${name}.example.com", identify: { header: X-Version } }`;
    const file = join(folder, 'verdigris.yaml');
    await writeFile(
      file,
      `service: shop
program: { port: 8080 }
ssh: { user: deploy, key: secret:ssh-key }
environments:
  blue: [{ name: blue-1, address: 10.0.0.11, hostKey: "SHA256:${'A'.repeat(43)}" }]
  green: [{ name: green-1, address: 10.0.0.21, hostKey: "SHA256:${'B'.repeat(43)}" }]
regions:${region('gra', 1, '')}${region('sbg', 2, 'consumerKey: secret:sbg-consumer-key')}
`,
    );
    const words = ['switch', 'blue', '--without-temporal', '--worker-config', join(folder, 'nowhere')];
    const { exitCode, stderr } = await run(...words, '-c', file, '--address', '127.0.0.1:1');
    expect(exitCode).toBe(2);
    expect(stderr).toContain(
      'resolve to: secret:ovh-application-key, secret:ovh-application-secret, secret:ovh-consumer-key, secret:sbg-consumer-key\n',
    );
  });

  test('a worker says so in the same words', async () => {
    const words = ['worker', '--config', 'docs/worker.example.yaml', '--address', '127.0.0.1:1'];
    const { exitCode, stderr } = await start(...words);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(
      /^Cannot reach Temporal at 127\.0\.0\.1:1: it refuses connections, needs a server that answers/,
    );
  });

  test('it says so in words, with how to start one', async () => {
    const { exitCode, stderr } = await run('status', ...example, '--address', '127.0.0.1:1');
    expect(exitCode).toBe(2);
    expect(stderr).toBe(
      'Cannot reach Temporal at 127.0.0.1:1: it refuses connections, needs a running server\n  start one: docker compose up -d, or verdigris sandbox up; another address: --address HOST:PORT',
    );
  });

  test('it does not take something else for Temporal', async () => {
    const server = createServer(() => undefined).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const { exitCode, stderr } = await run('status', ...example, '--address', `127.0.0.1:${port}`);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/something else answers there, or it expects TLS \(--tls\)/);
  });

  test('the configuration can be checked all the same', async () => {
    const { exitCode, stdout } = await run('check', '--offline', ...example);
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: 'docs/verdigris.example.yaml is good for greeter@production: 2 servers in blue, 2 in green.',
    });
  });
});

test('quantities are read as people write them', () => {
  expect(['500ms', '10s', '10 s', '1.5m', '72h', '3d', '0s'].map(parseDuration)).toEqual([
    500, 10_000, 10_000, 90_000, 259_200_000, 259_200_000, 0,
  ]);
  expect(['10', 's', '-1s', '1 m 3 s', '', '1M'].map(parseDuration)).toEqual(Array(6).fill(undefined));
  expect(['200 MB', '1GiB', '10 B'].map(parseSize)).toEqual([200e6, 2 ** 30, 10]);
  expect(['200', '1 TB', '-1 MB'].map(parseSize)).toEqual(Array(3).fill(undefined));
  expect(['0.1 %', '0.3%', '100 %', '0 %'].map(parsePercent)).toEqual([0.001, 0.003, 1, 0]);
  expect(['0.1', '101 %', '%'].map(parsePercent)).toEqual(Array(3).fill(undefined));
});

test('durations are written with at most two units', () => {
  expect([0, 999, 1_000, 59_600, 90_000, 3_600_000, 5_000_000, 259_200_000].map(describeDuration)).toEqual([
    '0 ms',
    '999 ms',
    '1 s',
    '1 m',
    '1 m 30 s',
    '1 h',
    '1 h 23 m',
    '72 h',
  ]);
});
