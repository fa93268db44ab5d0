import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Color } from '../../domain/color.js';
import type { HandSwitchRecord } from '../../drivers/hand-switches.js';
import { buildDirectory } from '../../sandbox/demo.js';
import { runByHand } from '../../sandbox/foreign-release.js';
import { startLoad } from '../../sandbox/load.js';
import { buildGreeter } from '../../sandbox/programs.js';
import { startSandbox, type Sandbox } from '../../sandbox/sandbox.js';
import { commandFile } from '../../sandbox/worker-process.js';
import { requireCompiled } from './support/compiled.js';
import { hastyApi, lost, quickSettings } from './support/running-service.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 180_000 });
takeTurns();

/** Nothing listens there: Temporal is down. */
const nobody = '127.0.0.1:1';

const versions = { blue: '1.0.0', green: '2.0.0' } as const;

let sandbox: Sandbox;

beforeAll(async () => {
  requireCompiled();
  sandbox = await startSandbox({
    directory: await mkdtemp(join(tmpdir(), 'verdigris-switch-')),
    serversPerEnvironment: 1,
    behaviour: hastyApi,
    settings: quickSettings({}),
  });
  await Promise.all(
    sandbox.servers.map(async (server) => {
      const version = versions[server.color];
      await runByHand(server, await buildGreeter({ version, variant: 'none', directory: buildDirectory() }));
    }),
  );
});
afterAll(async () => {
  await sandbox.close();
  await rm(sandbox.directory, { recursive: true });
});

/** Blue is live, nothing is stored, and nobody has switched anything. */
beforeEach(async () => {
  sandbox.api.faults.clear();
  sandbox.api.admin.behave(hastyApi);
  await inPanel('frontend', { defaultFarmId: sandbox.loadBalancer.farms.blue });
  await inPanel('stagingFrontend', { defaultFarmId: sandbox.loadBalancer.farms.green });
  await sandbox.api.admin.refreshAsSomebodyElse();
  await vi.waitUntil(async () => (await pending()).length === 0 && (await servedBy()) === 'blue', {
    timeout: 30_000,
  });
  await rm(join(sandbox.directory, 'state'), { recursive: true, force: true });
  sandbox.api.journal.clear();
});

const words = (to: Color, more: readonly string[] = []): readonly string[] => [
  'switch',
  to,
  '--without-temporal',
  `--config=${sandbox.serviceFile}`,
  `--worker-config=${sandbox.workerFile}`,
  `--address=${nobody}`,
  ...more,
];

const environment = () => ({ CI: '', NO_COLOR: '1', XDG_STATE_HOME: join(sandbox.directory, 'state') });

/** Starts the compiled command; tests may wait for what it prints. */
const start = (all: readonly string[]) =>
  execa(process.execPath, [commandFile, ...all], {
    all: true,
    reject: false,
    stdin: 'ignore',
    env: environment(),
  });

type Command = ReturnType<typeof start>;

/** Both streams, once the command has ended. */
const run = async (to: Color, more: readonly string[] = ['--yes']) => {
  const { exitCode, all: output } = await start(words(to, more));
  return { exitCode, output };
};

const printed = (command: Command, text: RegExp): Promise<void> =>
  new Promise((resolve, reject) => {
    let seen = '';
    command.all.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (text.test(seen)) resolve();
    });
    command.all.once('end', () => reject(new Error(`it ended without ${text}:\n${seen}`)));
  });

async function servedBy(): Promise<Color | undefined> {
  const { headers } = await fetch(new URL('/version', sandbox.publicUrl), {
    headers: { connection: 'close' },
  });
  const version = headers.get('x-greeter-version');
  return version === versions.blue ? 'blue' : version === versions.green ? 'green' : undefined;
}

const root = () => `/ipLoadbalancing/${sandbox.api.serviceName}`;
const frontendPath = (which: 'frontend' | 'stagingFrontend') =>
  `${root()}/http/frontend/${sandbox.loadBalancer[which]}`;
const inPanel = (which: 'frontend' | 'stagingFrontend', body: Readonly<Record<string, string | number>>) =>
  sandbox.api.admin.editAsSomebodyElse('PUT', frontendPath(which), body);
const pending = async () =>
  (await sandbox.api.admin.editAsSomebodyElse('GET', `${root()}/pendingChanges`)) as readonly unknown[];
const storedFarm = async () =>
  (await sandbox.api.admin.editAsSomebodyElse('GET', frontendPath('frontend'))) as {
    readonly defaultFarmId: number;
  };

const writes = (): readonly string[] =>
  sandbox.api.journal.entries
    .filter(({ method, by }) => method !== 'GET' && by === 'client')
    .map(({ method, path }) => `${method} ${path.slice(root().length + 1)}`);
const refreshes = () => writes().filter((write) => write === 'POST refresh').length;

/** The newest record. */
async function recorded(): Promise<HandSwitchRecord & { readonly file: string; readonly text: string }> {
  const folder = join(sandbox.directory, 'state/verdigris/switches/greeter@production');
  const name = (await readdir(folder)).toSorted().at(-1) ?? 'none';
  const file = join(folder, name);
  const text = await readFile(file, 'utf8');
  return { ...(JSON.parse(text) as HandSwitchRecord), file, text };
}

describe('verdigris switch', () => {
  test('without --without-temporal names the command that is meant', async () => {
    const { exitCode, all: output } = await start(
      words('green').filter((word) => word !== '--without-temporal'),
    );
    expect(exitCode).toBe(2);
    for (const command of ['rollback', 'deploy', 'repair --live green', 'switch green --without-temporal'])
      expect(output).toContain(`verdigris ${command} --config ${sandbox.serviceFile}`);
    expect(writes()).toEqual([]);
  });

  test('shows what it sees and would do, and does nothing where nobody can be asked', async () => {
    await run('green');
    await run('blue');
    sandbox.api.journal.clear();
    const { exitCode, output } = await run('green', []);
    expect(exitCode).toBe(2);
    expect(output).toMatch(
      /^Going on without Temporal. Cannot reach Temporal at 127.0.0.1:1: it refuses connections/,
    );
    expect(output).toMatch(/greeter@production: all to blue\n/);
    expect(output).toMatch(/load balancer +frontend \d+ -> farm \d+ \(blue\)/);
    expect(output).toMatch(/a switch took +\S+ .*lately; the way back takes as long/);
    for (const color of ['blue', 'green'])
      expect(output).toMatch(new RegExp(`${color} +30 of 30 questions answered well past the load balancer`));
    expect(output).toMatch(/others there +nothing but this service/);
    expect(output).toMatch(/last by hand +green -> blue by \S+ at \S+: moved, and proved from outside/);
    expect(output).toContain(`Would send all new traffic to green with one published change`);
    expect(output).toMatch(
      /nobody can be asked here, needs --yes\n {2}verdigris switch green --without-temporal --yes/,
    );
    expect(writes()).toEqual([]);
  });

  test('says which secrets are needed where no worker.yaml is', async () => {
    const { exitCode, output } = await run('green', ['--yes', '--worker-config', 'nowhere.yaml']);
    expect(exitCode).toBe(2);
    expect(output).toMatch(
      /Cannot switch "greeter@production" from here: there is no "nowhere.yaml"[\s\S]*secret:ovh-application-key, secret:ovh-application-secret, secret:ovh-consumer-key/,
    );
  });

  test('moves the traffic there and back under load without losing a request, and records it without secrets', async () => {
    const visitors = () =>
      startLoad({
        url: sandbox.publicUrl,
        requestsPerSecond: 25,
        streamPath: '/stream?seconds=2',
        timeoutMs: 20_000,
      });
    const control = visitors();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(lost(await control.stop()), 'void: the control has lost requests too').toBe(0);

    const load = visitors();
    const there = await run('green', ['--yes', '--by', 'ann', '--reason', 'a bad night']);
    const record = await recorded();
    const isThere = await servedBy();
    const back = await run('blue');
    const tally = await load.stop();

    expect(there.output).toMatch(/Switched greeter@production to green in \d+\.\d s\./);
    expect(there.output).toMatch(/10 new connections in a row were answered by green at http:/);
    expect([there.exitCode, back.exitCode, isThere, await servedBy()]).toEqual([0, 0, 'green', 'blue']);
    expect(lost(tally), JSON.stringify(tally)).toBe(0);
    expect(refreshes()).toBe(2);

    expect(record).toMatchObject({
      service: 'greeter@production',
      by: 'ann',
      reason: 'a bad night',
      from: 'blue',
      to: 'green',
      state: 'proved',
      beganAt: expect.stringMatching(/^\d{4}-/),
      objects: expect.objectContaining({
        [`http/frontend/${sandbox.loadBalancer.frontend}`]: expect.any(String),
      }),
    });
    const refresh = sandbox.api.journal.calls('POST', '/refresh')[0];
    expect(record.calls).toContainEqual(
      expect.objectContaining({ method: 'POST', queryId: refresh?.queryId, status: 200 }),
    );
    expect((await stat(record.file)).mode & 0o777).toBe(0o600);
    const folder = join(sandbox.directory, 'secrets');
    for (const name of await readdir(folder))
      expect(record.text).not.toContain((await readFile(join(folder, name), 'utf8')).trim());
  });

  test('refuses what somebody else has stored, and with --force publishes and lists it', async () => {
    await sandbox.api.admin.editAsSomebodyElse(
      'PUT',
      `${root()}/http/farm/${sandbox.loadBalancer.farms.green}`,
      {
        balance: 'leastconn',
      },
    );
    const refused = await run('green');
    expect(refused.exitCode).toBe(2);
    expect(refused.output).toMatch(
      /edits are stored that are not published \(1 edit in zone gra\)[\s\S]*--force/,
    );
    expect(writes()).toEqual([]);

    const forced = await run('green', ['--yes', '--force']);
    expect(forced).toMatchObject({
      exitCode: 0,
      output: expect.stringMatching(/went out with it: 1 edit in zone gra/),
    });
    expect(await servedBy()).toBe('green');
    expect(await recorded()).toMatchObject({ force: true, published: ['1 edit in zone gra'] });
  });

  test('does not go where nobody answers; forced, it tells that nothing proves it', async () => {
    const unit = sandbox.servers.find(({ color }) => color === 'green')?.machine.init.unit('greeter.service');
    await unit?.stop();
    onTestFinished(async () => void (await unit?.start()));
    const refused = await run('green');
    expect(refused.exitCode).toBe(2);
    expect(refused.output).toMatch(
      /to green: 0 of 30 questions answered well past the load balancer; else connection refused, needs half/,
    );
    expect(writes()).toEqual([]);

    const forced = start(words('green', ['--yes', '--force']));
    await printed(forced, /asking http:/);
    forced.kill('SIGINT');
    expect(await forced).toMatchObject({
      exitCode: 20,
      all: expect.stringMatching(/the traffic has moved[\s\S]*Not proved: it was stopped/),
    });
    expect(await recorded()).toMatchObject({ state: 'moved', because: 'it was stopped' });
  });
});

describe('verdigris switch that is stopped by Ctrl-C', () => {
  test('before anything was published puts back what it had stored', async () => {
    sandbox.api.faults.add({ method: 'PUT', path: `*/frontend/*`, action: 'latency', latencyMs: 1_000 });
    const command = start(words('green', ['--yes']));
    await printed(command, /storing http\/frontend/);
    command.kill('SIGINT');
    expect(await command).toMatchObject({
      exitCode: 130,
      all: expect.stringContaining(
        'Stopped: the traffic goes where it went before, and what was stored was put back',
      ),
    });
    expect(await storedFarm()).toMatchObject({ defaultFarmId: sandbox.loadBalancer.farms.blue });
    expect([refreshes(), await servedBy()]).toEqual([0, 'blue']);
    expect(await recorded()).toMatchObject({ state: 'not moved' });
  });

  test('while it is published sees it through', async () => {
    sandbox.api.admin.behave({ doingMs: 2_000 });
    const command = start(words('green', ['--yes']));
    await printed(command, /refresh task \d+ is/);
    command.kill('SIGINT');
    command.kill('SIGINT');
    expect(await command).toMatchObject({
      exitCode: 0,
      all: expect.stringMatching(/is seen through[\s\S]*Switched greeter@production to green/),
    });
    expect([refreshes(), await servedBy()]).toEqual([1, 'green']);
    expect(await recorded()).toMatchObject({ state: 'proved' });
  });
});

describe('verdigris switch that is killed', () => {
  /** Kills it once it has printed this, and waits until what it was sending has arrived. */
  async function killed(text: RegExp): Promise<void> {
    const command = start(words('green', ['--yes']));
    await printed(command, text);
    command.kill('SIGKILL');
    await command;
    await vi.waitUntil(() => sandbox.api.journal.entries.every(({ status }) => status !== null));
    sandbox.api.faults.clear();
  }

  test('with edits stored is finished by the same command, which knows them as its own', async () => {
    sandbox.api.faults.add({ method: 'PUT', path: '*', after: 1, action: 'latency', latencyMs: 500 });
    await killed(new RegExp(`storing http/frontend/${sandbox.loadBalancer.stagingFrontend}`));
    expect([(await pending()).length, await servedBy(), refreshes()]).toEqual([1, 'blue', 0]);
    expect(await recorded()).toMatchObject({ state: 'begun' });

    const { exitCode, output } = await run('green');
    expect(output).toMatch(/last by hand +blue -> green by \S+ at \S+: begun, and cut off/);
    expect([exitCode, await servedBy(), refreshes(), await pending()]).toEqual([0, 'green', 1, []]);
  });

  test('with edits stored is taken back by the opposite command', async () => {
    sandbox.api.faults.add({ method: 'PUT', path: '*', after: 1, action: 'latency', latencyMs: 500 });
    await killed(new RegExp(`storing http/frontend/${sandbox.loadBalancer.stagingFrontend}`));
    const { exitCode } = await run('blue');
    expect([exitCode, await servedBy(), await pending()]).toEqual([0, 'blue', []]);
    expect(await storedFarm()).toMatchObject({ defaultFarmId: sandbox.loadBalancer.farms.blue });
  });

  test('with an edit of somebody else beside its own is refused again', async () => {
    sandbox.api.faults.add({ method: 'PUT', path: '*', after: 1, action: 'latency', latencyMs: 500 });
    await killed(new RegExp(`storing http/frontend/${sandbox.loadBalancer.stagingFrontend}`));
    await sandbox.api.admin.editAsSomebodyElse(
      'PUT',
      `${root()}/http/farm/${sandbox.loadBalancer.farms.blue}`,
      {
        balance: 'leastconn',
      },
    );
    const { exitCode, output } = await run('green');
    expect([exitCode, await servedBy(), refreshes()]).toEqual([2, 'blue', 0]);
    expect(output).toMatch(/farm\/\d+ was changed by somebody else/);
    expect(output).toContain(
      'greeter@production is served as before: nothing was published, or it was put back',
    );
  });

  test('while it is published: the same command waits for that refresh and orders none', async () => {
    sandbox.api.admin.behave({ todoMs: 1_500 });
    await killed(/refresh task \d+ is/);
    const { exitCode, output } = await run('green');
    expect([exitCode, await servedBy(), refreshes()]).toEqual([0, 'green', 1]);
    expect(output).toMatch(/All traffic of greeter@production goes to green; nothing had to be changed/);
  });
});

describe('verdigris switch at a terminal', () => {
  test('asks, and takes no for an answer', async () => {
    const line = ['stty columns 200 rows 50 &&', process.execPath, commandFile, ...words('green')].join(' ');
    const answering = async (answer: string) => {
      const terminal = execa('script', ['-qefc', line, '/dev/null'], {
        reject: false,
        env: { ...environment(), TERM: 'xterm' },
      });
      onTestFinished(() => void terminal.kill('SIGKILL'));
      let screen = '';
      terminal.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString()));
      await expect.poll(() => screen, { timeout: 60_000 }).toContain('Do it? [y/N]');
      terminal.stdin.write(answer);
      const { exitCode, stdout } = await terminal;
      return { exitCode, stdout };
    };
    expect(await answering('n\n')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('Nothing was changed.'),
    });
    expect([writes(), await servedBy()]).toEqual([[], 'blue']);
    expect(await answering('\u0003')).toMatchObject({ exitCode: 130 });
    expect(writes()).toEqual([]);
    expect(await answering('y\n')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('Switched'),
    });
    expect(await servedBy()).toBe('green');
  });
});

describe('verdigris switch whose words reach nobody', () => {
  /** Begins it at a terminal that is gone once it has shown this, and waits for what its record says. */
  async function abandoned(text: RegExp): Promise<void> {
    const line = [process.execPath, commandFile, ...words('green', ['--yes'])].join(' ');
    const terminal = execa('script', ['-qefc', line, '/dev/null'], {
      reject: false,
      env: { ...environment(), TERM: 'xterm' },
    });
    onTestFinished(() => void terminal.kill('SIGKILL'));
    let screen = '';
    terminal.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString()));
    await expect.poll(() => screen, { timeout: 60_000 }).toMatch(text);
    terminal.kill('SIGKILL');
    await expect.poll(async () => (await recorded()).endedAt, { timeout: 60_000 }).toBeDefined();
  }

  test('puts back what it had stored when its terminal is gone', async () => {
    sandbox.api.faults.add({ method: 'PUT', path: '*', after: 1, action: 'latency', latencyMs: 500 });
    await abandoned(new RegExp(`storing http/frontend/${sandbox.loadBalancer.stagingFrontend}`));
    expect(await recorded()).toMatchObject({ state: 'not moved' });
    expect(await storedFarm()).toMatchObject({ defaultFarmId: sandbox.loadBalancer.farms.blue });
    expect([refreshes(), await servedBy()]).toEqual([0, 'blue']);
  });

  test('sees through what is being published when its terminal is gone', async () => {
    sandbox.api.admin.behave({ doingMs: 2_000 });
    await abandoned(/refresh task \d+ is/);
    expect(await recorded()).toMatchObject({ state: 'proved' });
    expect([refreshes(), await servedBy()]).toEqual([1, 'green']);
  });

  test('moves the traffic though the disk of its log is full, and says so at the end', async () => {
    const line = [process.execPath, commandFile, ...words('green', ['--yes']), '>/dev/full'].join(' ');
    const command = execa('sh', ['-c', line], { reject: false, stdin: 'ignore', env: environment() });
    expect(await command).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^Cannot write what it says: .*ENOSPC/m),
    });
    expect(await recorded()).toMatchObject({ state: 'proved' });
    expect(await servedBy()).toBe('green');
  });
});

test('verdigris switch does not write over a file that is no record', async () => {
  const file = join(sandbox.directory, 'precious.txt');
  await writeFile(file, 'precious');
  expect(await run('green', ['--yes', '--record', file])).toMatchObject({
    exitCode: 2,
    output: expect.stringContaining('is no record of "greeter@production"'),
  });
  expect(await readFile(file, 'utf8')).toBe('precious');
  const good = join(sandbox.directory, 'here.json');
  expect(await run('green', ['--yes', '--json', '--record', good])).toMatchObject({ exitCode: 0 });
  expect(JSON.parse(await readFile(good, 'utf8'))).toMatchObject({ to: 'green', state: 'proved' });
});
