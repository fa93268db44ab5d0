import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { Digest } from '../domain/names.js';
import type { BuiltGreeter } from '../sandbox/programs.js';
import { describeOnFleet } from '../test/fleet/support/needs.js';
import { RunningFleet, type FleetServer } from '../test/fleet/support/running-fleet.js';
import { processorSecondsSoFar } from './processor-time.js';
import { table, type Row } from './table.js';

const runs = Number(process.env['BENCH_RUNS'] ?? 5);
const artifactMegabytes = 10;
const serversPerEnvironment = 5;

/** What was configured to be waited for, and is not counted. */
const minimumS = 1;

describeOnFleet('from `deploy` to verified', () => {
  let running: RunningFleet;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'verdigris-bench-'));
    running = await RunningFleet.start({
      privilege: 'sudo', // as those that it is compared with
      serversPerEnvironment,
      probeSpeed: 300,
      settings: { verify: { passes: 1, every: '50ms', minimum: `${minimumS}s` } },
    });
    await running.startWorker();
    await running.runByHand('blue', await running.build('1.0.0'));
    await writeFile(join(folder, 'key'), running.fleet.privateKey, { mode: 0o600 });
    await Promise.all(running.servers('green').map(prepare));
  });
  afterAll(async () => {
    await running.close();
    await rm(folder, { recursive: true });
  });

  test(`${serversPerEnvironment} of ${2 * serversPerEnvironment} machines, ${artifactMegabytes} MB`, async () => {
    const rows = {
      floor: row('floor (one ssh, one tar stream)'),
      verdigris: row('Verdigris'),
      ansible: row('Ansible'),
    };
    for (let run = 0; run < runs; run += 1) {
      const artifact = await bigArtifact(await running.build('2.0.0'), folder, run);
      const green = running.servers('green');
      await measure(rows.floor, () => byTheClock(() => floor(green, artifact.archive, folder, run)));
      await measure(rows.verdigris, () => verdigris(running, artifact));
      await putBack(running);
      await measure(rows.ansible, () => byTheClock(() => ansible(green, artifact.archive, folder, run)));
    }
    console.info(
      table(
        `\nFrom deploy to verified: ${serversPerEnvironment} of ${2 * serversPerEnvironment} Debian machines, ${artifactMegabytes} MB, ${runs} runs, ${cpus().length} cores for all`,
        Object.values(rows),
      ),
    );
  });
});

interface Measured extends Row {
  readonly seconds: number[];
  readonly processorSeconds: number[];
}

const row = (name: string): Measured => ({ name, seconds: [], processorSeconds: [] });

/** Does it once. `work` tells how many seconds it took. */
async function measure({ seconds, processorSeconds }: Measured, work: () => Promise<number>): Promise<void> {
  const before = processorSecondsSoFar();
  seconds.push(await work());
  processorSeconds.push(processorSecondsSoFar() - before);
}

async function byTheClock(work: () => Promise<unknown>): Promise<number> {
  const beganAt = performance.now();
  await work();
  return (performance.now() - beganAt) / 1_000;
}

/** As often as `deploy --wait` does. */
const lookEveryMs = 1_000;

/** Until every green server is verified, in the load balancer's own eyes too: since when it waits for people, the run tells. */
async function verdigris(running: RunningFleet, artifact: BuiltGreeter): Promise<number> {
  const beganAtMs = Date.now();
  await running.start(artifact, '2.0.0');
  const { since } = await running.until(
    ({ stage, awaits }) => stage === 'approve' && awaits !== undefined,
    120_000,
    lookEveryMs,
  );
  return (since - beganAtMs) / 1_000 - minimumS;
}

async function putBack(running: RunningFleet): Promise<void> {
  await running.send('reject', { by: 'bench', reason: 'measured' });
  expect(await running.handle.result()).toMatchObject({ kind: 'rejected' });
}

/** A new one for each run, so that nothing is there already. */
async function bigArtifact(built: BuiltGreeter, folder: string, run: number): Promise<BuiltGreeter> {
  const tree = await mkdtemp(join(folder, 'tree-'));
  await execa('tar', ['-xzf', built.archive, '-C', tree]);
  await writeFile(join(tree, 'data'), randomBytes(artifactMegabytes * 1024 * 1024));
  const archive = join(folder, `greeter-${run}.tar.gz`);
  await execa('tar', ['-czf', archive, '-C', tree, '.']);
  await rm(tree, { recursive: true });
  const sha256 = createHash('sha256')
    .update(await readFile(archive))
    .digest('hex');
  return { ...built, archive, sha256: Digest(sha256) };
}

/** Units for those who come without a helper, each with a port of its own. */
const others = { floor: 8081, ansible: 8082 } as const;

async function prepare({ machine }: FleetServer): Promise<void> {
  for (const [name, port] of Object.entries(others)) {
    const current = `/srv/${name}/current`;
    const start = `ExecStart=${current}/bin/greeter --config ${current}/etc/greeter.conf --port ${port}`;
    await machine.writeFile(`etc/systemd/system/${name}.service`, `[Service]\n${start}\nTimeoutStopSec=5\n`);
    await machine.exec(`mkdir -p /srv/${name}/releases && systemctl daemon-reload`);
  }
}

const sshOptions = (folder: string): readonly string[] => [
  '-i',
  join(folder, 'key'),
  ...['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'].flatMap(
    (option) => ['-o', option],
  ),
];

/** The least that can be done: for each server one ssh with one command, all at once. */
async function floor(
  servers: readonly FleetServer[],
  archive: string,
  folder: string,
  run: number,
): Promise<void> {
  const command = `set -e
    mkdir /srv/floor/releases/${run}
    tar -xz --no-same-owner -C /srv/floor/releases/${run}
    ln -sfn releases/${run} /srv/floor/current
    systemctl restart floor
    healthy() { exec 3<>/dev/tcp/127.0.0.1/${others.floor} && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ "$status" = 200 ]; }
    until (healthy) 2>/dev/null; do sleep 0.05; done`;
  const input = await readFile(archive);
  await Promise.all(
    servers.map(({ address }) =>
      execa(
        'ssh',
        [...sshOptions(folder), `deploy@${address}`, `sudo -n bash -c '${command.replaceAll("'", "'\\''")}'`],
        { input },
      ),
    ),
  );
}

/** As its documentation has it: a release directory, unarchive, a link, a restart, and waiting for the answer. */
async function ansible(
  servers: readonly FleetServer[],
  archive: string,
  folder: string,
  run: number,
): Promise<void> {
  const release = `/srv/ansible/releases/${run}`;
  const playbook = [
    {
      hosts: 'all',
      gather_facts: false,
      become: true,
      tasks: [
        { file: { path: release, state: 'directory' } },
        { unarchive: { src: archive, dest: release } },
        { file: { src: release, dest: '/srv/ansible/current', state: 'link' } },
        { systemd: { name: 'ansible', state: 'restarted' } },
        {
          uri: { url: `http://127.0.0.1:${others.ansible}/health` },
          register: 'answer',
          until: 'answer.status == 200',
          retries: 60,
          delay: 1,
        },
      ],
    },
  ];
  await writeFile(join(folder, 'playbook.yml'), stringify(playbook));
  const inventory = servers.map(({ address }) => `${address} ansible_python_interpreter=/usr/bin/python3`);
  await writeFile(join(folder, 'inventory'), `${inventory.join('\n')}\n`);
  await execa(
    'ansible-playbook',
    ['-i', 'inventory', '-u', 'deploy', '--private-key', 'key', 'playbook.yml'],
    {
      cwd: folder,
      env: {
        ANSIBLE_FORKS: '10',
        ANSIBLE_PIPELINING: 'True',
        ANSIBLE_HOST_KEY_CHECKING: 'False',
        ANSIBLE_SSH_ARGS: '-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null',
        ANSIBLE_SSH_CONTROL_PATH_DIR: join(folder, 'cp'),
      },
    },
  );
}
