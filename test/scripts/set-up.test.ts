import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A checkout in which npm, the compiler and Temporal are stand-ins that write down each time they are called. */
let checkout: string;
let bin: string;

beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'verdigris-set-up-'));
  bin = join(checkout, 'bin');
  await cp(join(root, 'scripts/set-up.mjs'), join(checkout, 'scripts/set-up.mjs'));
  await file('package.json', '{ "type": "module" }');
  await file('package-lock.json', lockFile({ left: '1.0.0' }));
  await file('tsconfig.json', '{}');
  await file('tsconfig.build.json', '{ "include": ["domain", "sandbox"] }');
  await file('domain/color.ts', 'export {};');
  await file('scripts/build.mjs', build);
  await file('found.mjs', found);
  for (const name of ['node', 'cc', 'cmake', 'make']) await program(name, '');
  await rm(join(bin, 'node'));
  await symlink(process.execPath, join(bin, 'node'));
  await program(
    'npm',
    `echo npm "$@" >> calls; mkdir -p node_modules; cp package-lock.json node_modules/.package-lock.json`,
  );
});

afterEach(() => rm(checkout, { recursive: true, force: true }));

const lockFile = (versions: Record<string, string>) =>
  JSON.stringify({
    packages: {
      '': { version: '0.1.0' },
      ...Object.fromEntries(
        Object.entries(versions).map(([name, version]) => [`node_modules/${name}`, { version }]),
      ),
      'node_modules/for-other-systems': { version: '1.0.0', optional: true },
    },
  });

const build = `
import { appendFileSync, cpSync } from 'node:fs';
appendFileSync('calls', 'build\\n');
cpSync('found.mjs', 'dist/sandbox/temporal/executable.js', { recursive: true });
`;

/** What stands for the compiled module; \`present\` lists what is found without a download. */
const found = `
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
const find = (name) => async ({ downloads, onProgress }) => {
  if (existsSync(name)) return name;
  if (downloads) throw new Error('not there');
  appendFileSync('calls', 'download ' + name + '\\n');
  if (existsSync('no-network')) throw new Error('Cannot find ' + name);
  writeFileSync(name, '');
};
export const temporalExecutable = find('temporal');
export const timeSkippingExecutable = find('time-skipping');
export const existingServer = () => process.env.TEMPORAL_ADDRESS ? {} : undefined;
`;

async function file(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(checkout, path)), { recursive: true });
  await writeFile(join(checkout, path), text);
}

async function program(name: string, text: string): Promise<void> {
  await file(join('bin', name), `#!/bin/sh\n${text}\n`);
  await chmod(join(bin, name), 0o755);
}

const run = (words: readonly string[] = [], env: NodeJS.ProcessEnv = {}) =>
  execa(process.execPath, ['scripts/set-up.mjs', ...words], {
    cwd: checkout,
    env: { PATH: `${bin}:/usr/bin:/bin`, ...env },
    extendEnv: false,
    reject: false,
  });

/** What the stand-ins were called with since the last look. */
async function calls(): Promise<readonly string[]> {
  const text = await readFile(join(checkout, 'calls'), 'utf8').catch(() => '');
  await rm(join(checkout, 'calls'), { force: true });
  return text.split('\n').filter(Boolean);
}

async function setUp(...words: Parameters<typeof run>) {
  const { exitCode, stderr } = await run(...words);
  return { exitCode, said: stderr, calls: await calls() };
}

const installed = 'npm ci --no-audit --no-fund';

test('does everything once, and nothing the second time', async () => {
  expect(await setUp()).toEqual({ exitCode: 0, said: '', calls: [installed, 'build', 'download temporal'] });
  expect(await setUp()).toEqual({ exitCode: 0, said: '', calls: [] });
});

test('gets the time-skipping server too when asked to be ready for tests', async () => {
  await setUp();
  expect((await setUp(['--tests'])).calls).toEqual(['download time-skipping']);
});

test('installs again when the lock file asks for another version', async () => {
  await setUp();
  await file('package-lock.json', lockFile({ left: '1.0.1' }));
  expect((await setUp()).calls).toEqual([installed, 'build']);
});

test('takes what somebody else installed', async () => {
  await file('node_modules/.package-lock.json', lockFile({ left: '1.0.0' }));
  expect((await setUp()).calls).not.toContain(installed);
});

test.each(['domain/color.ts', 'domain/deeper/new.ts', 'tsconfig.json'])(
  'compiles again when %s changes',
  async (path) => {
    await setUp();
    await file(path, 'export {};\n');
    expect((await setUp()).calls).toEqual(['build']);
  },
);

test('compiles again after a compilation that failed', async () => {
  await file('scripts/build.mjs', 'console.error("domain/color.ts(3,1): wrong"); process.exit(2);');
  const failed = await setUp();
  expect(failed.exitCode).toBe(1);
  expect(failed.said).toContain('domain/color.ts(3,1): wrong');
  expect(failed.said).toContain('Cannot compile: "npm run build" ended with exit code 2');
  await file('scripts/build.mjs', build);
  expect((await setUp()).calls).toEqual(['build', 'download temporal']);
});

test('needs no executable where a server runs already, except for tests', async () => {
  const env = { TEMPORAL_ADDRESS: 'temporal.example:7233' };
  expect((await setUp([], env)).calls).toEqual([installed, 'build']);
  expect((await setUp(['--tests'], env)).calls).toEqual(['download temporal', 'download time-skipping']);
});

test('fails where Temporal cannot be had, and says why', async () => {
  await file('no-network', '');
  expect(await setUp()).toMatchObject({ exitCode: 1, said: 'Cannot find temporal' });
});

test('does without the time-skipping server unless everything is demanded', async () => {
  await setUp();
  await file('no-network', '');
  const said = 'Cannot find time-skipping\nTests that need it are skipped';
  expect(await setUp(['--tests'])).toMatchObject({ exitCode: 0, said });
  expect(await setUp(['--tests'], { VERDIGRIS_DEMAND_ALL: '1' })).toMatchObject({ exitCode: 1 });
});

test('names all that this machine lacks before it starts', async () => {
  const { exitCode, said, calls: called } = await setUp([], { PATH: '/nowhere' });
  expect(exitCode).toBe(1);
  expect(called).toEqual([]);
  expect(said).toMatch(
    /no C compiler \(cc\)[^]*no CMake \(cmake\)[^]*no make[^]*apt-get install gcc cmake make/,
  );
});

test('shows what npm said when it fails', async () => {
  await program('npm', 'echo "npm error network unreachable" >&2; exit 1');
  const { exitCode, said } = await setUp();
  expect(exitCode).toBe(1);
  expect(said).toBe(
    'npm error network unreachable\n' +
      'Cannot install the packages: "npm ci" ended with exit code 1, its last words are above\n' +
      '  Try it alone: npm ci',
  );
});

test('two at once do the work once', async () => {
  await program(
    'npm',
    `echo npm >> calls; sleep 0.3; mkdir node_modules; cp package-lock.json node_modules/.package-lock.json`,
  );
  const [one, other] = await Promise.all([run(), run()]);
  expect([one.exitCode, other.exitCode]).toEqual([0, 0]);
  expect(await calls()).toEqual(['npm', 'build', 'download temporal']);
});

test('goes on by itself after one that was killed', async () => {
  await program('npm', `echo $$ > npm-pid; exec sleep 300`);
  const killed = run();
  let npmPid = 0;
  await expect
    .poll(async () => (npmPid = Number(await readFile(join(checkout, 'npm-pid'), 'utf8').catch(() => 0))))
    .toBeGreaterThan(0); // the file is there before its text is, and 0 would be ourselves
  killed.kill('SIGKILL');
  await killed;
  process.kill(npmPid);
  await program('npm', `mkdir node_modules; cp package-lock.json node_modules/.package-lock.json`);
  expect(await setUp()).toMatchObject({ exitCode: 0, calls: ['build', 'download temporal'] });
});

test('says what takes long, in plain lines where there is no terminal', async () => {
  await program('npm', `sleep 1.5; mkdir node_modules; cp package-lock.json node_modules/.package-lock.json`);
  expect((await setUp()).said).toMatch(/^Installing packages \(\d+ s\)\nInstalling packages: done in \d+ s$/);
});
