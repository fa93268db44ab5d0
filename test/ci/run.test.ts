import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A checkout in which npm and apt-get are stand-ins. */
let checkout: string;

beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'verdigris-ci-'));
  await cp(join(root, '.ci/run'), join(checkout, '.ci/run'));
  await file('scripts/set-up.mjs', 'console.log("set-up", process.argv.slice(2).join());');
  await results(0, ['passed', 'passed', 'passed']);
  await npm('');
  for (const name of commands) await program(name, '');
  for (const name of basics) await symlink(await whereIs(name), join(checkout, 'bin', name));
  await symlink(process.execPath, join(checkout, 'bin/node'));
});

afterEach(() => rm(checkout, { recursive: true, force: true }));

/** What the packages bring. */
const commands = ['cc', 'cmake', 'make', 'pip3', 'ps', 'shellcheck', 'ip', 'systemd-analyze', 'valgrind'];
commands.push('busybox', 'dpkg-query', 'systemd-nspawn', 'debootstrap', 'ssh-keygen', 'haproxy', 'go');
commands.push('sshd', 'curl');
const basics = [
  'bash',
  'cat',
  'dirname',
  'env',
  'mkdir',
  'rm',
  'timeout',
  'cp',
  'find',
  'xargs',
  'nice',
  'mktemp',
];

const whereIs = async (name: string) => (await execa('sh', ['-c', `command -v ${name}`])).stdout;

async function file(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(checkout, path)), { recursive: true });
  await writeFile(join(checkout, path), text);
}

async function program(name: string, text: string): Promise<void> {
  await file(join('bin', name), `#!/bin/sh\n${text}\n`);
  await chmod(join(checkout, 'bin', name), 0o755);
}

/** The stand-in writes down its calls; for tests it leaves the results; `body` may do more, or fail. */
const npm = (body: string) =>
  program(
    'npm',
    `echo "$VERDIGRIS_DEMAND_ALL $CI $*" >> calls
     case "$*" in test*) mkdir -p .cache; cp results.json .cache/test-results.json; exit "$(cat tests-exit)";; esac
     ${body}`,
  );

async function results(
  exitCode: number,
  statuses: readonly string[],
  files: readonly object[] = [],
): Promise<void> {
  const assertionResults = statuses.map((status, index) => ({ status, fullName: `test ${index}` }));
  await file('tests-exit', String(exitCode));
  await file(
    'results.json',
    JSON.stringify({ testResults: [{ status: 'passed', assertionResults }, ...files] }),
  );
}

async function run() {
  const { exitCode, stdout, stderr } = await execa(join(checkout, '.ci/run'), {
    env: { PATH: join(checkout, 'bin') },
    extendEnv: false,
    reject: false,
  });
  return { exitCode, lastLine: stdout.split('\n').at(-1), stdout, stderr };
}

test('runs every part with everything demanded, and sums up', async () => {
  expect(await run()).toMatchObject({ exitCode: 0, lastLine: '10 passed, 0 failed', stderr: '' });
  const calls = (await readFile(join(checkout, 'calls'), 'utf8')).trim().split('\n');
  expect(calls.toSorted()).toEqual([
    '1 true run --silent check',
    '1 true run --silent demo',
    '1 true run --silent lint',
    '1 true run --silent prepare-tests',
    '1 true test --silent -- --reporter=default --reporter=json --outputFile.json=.cache/test-results.json',
  ]);
});

test('goes on after a failure, and counts each', async () => {
  await npm('case "$*" in *lint | *demo) exit 1;; esac');
  await results(1, ['passed', 'failed', 'passed']);
  const { exitCode, lastLine, stdout } = await run();
  expect([exitCode, lastLine]).toEqual([1, '7 passed, 3 failed']);
  expect(stdout).toMatch(/^lint +0 passed +1 failed +\d+ s$/m);
  expect(stdout).toMatch(/^tests +2 passed +1 failed +\d+ s$/m);
});

test('prints what a part has said that went on beside another, as its own', async () => {
  await npm('case "$*" in *lint) echo "a fault"; exit 1;; esac');
  expect((await run()).stdout).toMatch(/=== demo\n+=== lint\na fault\n/);
});

test('counts a skipped test as a failed one, and names it', async () => {
  await results(0, ['passed', 'skipped']);
  const { exitCode, lastLine, stderr } = await run();
  expect([exitCode, lastLine]).toEqual([1, '8 passed, 1 failed']);
  expect(stderr).toBe('Skipped, but everything is demanded: test 1');
});

test('counts a test file that cannot be loaded', async () => {
  await results(1, ['passed'], [{ status: 'failed', assertionResults: [] }]);
  expect(await run()).toMatchObject({ exitCode: 1, lastLine: '8 passed, 1 failed' });
});

test('fails when the tests end badly although each one passed', async () => {
  await results(1, ['passed']);
  expect(await run()).toMatchObject({ exitCode: 1, lastLine: '8 passed, 1 failed' });
});

test('fails when the tests leave no results', async () => {
  await program('npm', 'exit 0');
  await results(0, []);
  await program('npm', 'case "$*" in test*) exit 1;; esac');
  expect(await run()).toMatchObject({ exitCode: 1, lastLine: '7 passed, 1 failed' });
});

test('checks every shell program of the checkout', async () => {
  await program('shellcheck', 'echo "$@" > shellchecked');
  for (const path of ['a/one.sh', 'two.sh', 'node_modules/x/three.sh', 'dist/four.sh']) await file(path, '');
  await run();
  const checked = (await readFile(join(checkout, 'shellchecked'), 'utf8')).trim().split(' ').sort();
  expect(checked).toEqual(['./a/one.sh', './two.sh', '.ci/run']);
});

test('installs only what is missing', async () => {
  await rm(join(checkout, 'bin/valgrind'));
  await rm(join(checkout, 'bin/ps'));
  await program('apt-get', 'echo "apt-get $*" >> apt-calls');
  expect(await run()).toMatchObject({ exitCode: 0 });
  expect(await readFile(join(checkout, 'apt-calls'), 'utf8')).toBe(
    'apt-get update -qq\napt-get install -qq --yes --no-install-recommends procps valgrind\n',
  );
});

test('fails when what is missing cannot be installed, and still runs the rest', async () => {
  await rm(join(checkout, 'bin/valgrind'));
  await program('apt-get', 'exit 100');
  expect(await run()).toMatchObject({ exitCode: 1, lastLine: '9 passed, 1 failed' });
});
