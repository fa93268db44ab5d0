import { readFile, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { startArtifactServer } from './support/artifact-server.js';
import { watchProcesses } from './support/process-list.js';
import { test, type RunningSandbox } from './support/running-sandbox.js';
import { takeTurns } from './support/turns.js';

vi.setConfig({ testTimeout: 300_000 });
takeTurns();

const token = 'marker-5f1c0a7d-of-the-artifact-store';
const greeting = 'marker-c7e40b19-of-the-configuration';
const wrongToken = 'marker-93b1e2c4-that-the-store-refuses';

describe('secrets of the worker', () => {
  test('are nowhere to be found after deployments that succeeded and failed', async ({ aSandbox }) => {
    const artifacts = await startArtifactServer({ token });
    onTestFinished(() => artifacts.close());
    const running = await aSandbox({
      serversPerEnvironment: 1,
      trust: artifacts.caPem,
      secrets: { artifacts: token, greeting },
      settings: {
        artifact: { headers: { 'private-token': 'secret:artifacts' } },
        configuration: { files: ['etc/greeter.conf'], values: { greeting: 'secret:greeting' } },
      },
    });
    const secrets = await secretsOf(running);
    const processes = watchProcesses(secrets);
    onTestFinished(() => void processes.stop());
    const good = await running.build('2.0.0');
    const crashing = await running.build('4.0.0', 'crashes-at-start');
    const said: string[] = [];
    const deploy = async (url: string, sha256: string, ...words: readonly string[]) => {
      const given = ['--artifact', url, '--sha256', sha256];
      const { exitCode, output } = await running.verdigris(['deploy', ...given, ...words]);
      said.push(output);
      return exitCode;
    };

    expect(await deploy(artifacts.publish(crashing.archive), crashing.sha256, '--wait')).toBe(10);
    expect(await deploy(artifacts.publish(good.archive), '0'.repeat(64), '--wait')).toBe(2);
    await running.rotateSecret('artifacts', wrongToken);
    expect(await deploy(artifacts.publish(good.archive), '1'.repeat(64), '--wait')).toBe(2);
    await running.rotateSecret('artifacts', token);
    const { admin, credentials } = running.sandbox.api;
    admin.setCredentialState(credentials.consumerKey, 'expired');
    expect(await deploy(artifacts.publish(good.archive), good.sha256, '--wait')).toBe(2);
    admin.setCredentialState(credentials.consumerKey, 'validated');
    expect(await deploy(artifacts.publish(good.archive), good.sha256, '--until', 'approve')).toBe(0);
    await isFilledIn(running, good.sha256);
    for (const words of [
      ['status'],
      ['status', '--json'],
      ['plan', '--artifact', good.archive],
      ['rollback'],
    ])
      said.push((await running.verdigris(words)).output);

    const places = {
      'the output of commands': said.join('\n'),
      "the worker's log": await readFile(running.workerLog, 'utf8'),
      'histories and memos': await toldByTemporal(running),
      'journals and commands of servers': toldByServers(running),
      'names in the artifact cache': await namesIn(join(running.sandbox.directory, 'artifacts')),
      'process lists': processes.stop().join('\n'),
      'what is left on servers': await leftOnServers(running),
    };
    // The search is able to find: what is no secret is there.
    expect(places['the output of commands']).toContain('403');
    expect(places['histories and memos']).toContain(good.sha256);
    expect(places['journals and commands of servers']).toContain('activate');
    expect(places['what is left on servers']).toContain('removes');
    for (const [place, text] of Object.entries(places)) {
      const found = secrets.filter(({ value }) => text.includes(value)).map(({ name }) => name);
      expect({ place, isEmpty: text === '' && place !== 'process lists', found }).toEqual({
        place,
        isEmpty: false,
        found: [],
      });
    }
  });
});

/** The program has what the worker knows, from a file that nobody else can read. */
async function isFilledIn(running: RunningSandbox, artifact: string): Promise<void> {
  const [green] = running.servers('green');
  const { port, directory } = green!;
  const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
  expect(await answer.text()).toBe(`${greeting} from greeter 2.0.0\n`);
  expect((await stat(join(directory, 'current/etc/greeter.conf'))).mode & 0o777).toBe(0o600);
  expect(await readlink(join(directory, 'current'))).toContain(artifact.slice(0, 12));
}

/** The text of every file that is there once the release with the secret is gone. */
async function leftOnServers({ sandbox }: RunningSandbox): Promise<string> {
  const texts = await Promise.all(
    sandbox.servers.map(async ({ directory }) => {
      const entries = await readdir(directory, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile());
      return Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1')));
    }),
  );
  return texts.flat().join('\n');
}

/** What a value looks like in base64, wherever it begins in a text. */
const travelling = (value: string) =>
  ['', 'x', 'xx'].map((before) => ({
    name: 'the same as it travels',
    value: Buffer.from(`${before}${value}`).toString('base64').slice(4, -4),
  }));

/** Everything that `worker.yaml` names; of the SSH key a line of its own. */
async function secretsOf({ sandbox }: RunningSandbox) {
  const { credentials } = sandbox.api;
  const key = await readFile(join(sandbox.directory, 'secrets/ssh'), 'utf8');
  return [
    { name: 'token', value: token },
    { name: 'secret of the configuration', value: greeting },
    ...travelling(greeting),
    { name: 'wrong token', value: wrongToken },
    { name: 'application secret', value: credentials.applicationSecret },
    { name: 'consumer key', value: credentials.consumerKey },
    { name: 'SSH key', value: key.split('\n')[2] ?? '' },
  ];
}

/** Every run's history and memo as JSON, with what is inside of payloads. */
async function toldByTemporal({ client, service }: RunningSandbox): Promise<string> {
  const texts: string[] = [];
  const query = `WorkflowId STARTS_WITH "verdigris/${service.id}"`;
  await vi.waitUntil(async () => (await client.workflow.count(query)).count >= 5, { timeout: 60_000 });
  for await (const { workflowId, runId } of client.workflow.list({ query })) {
    const handle = client.workflow.getHandle(workflowId, runId);
    const history = JSON.stringify(JSON.parse(historyToJSON(await handle.fetchHistory())));
    const payloads = [...history.matchAll(/"data":"([^"]*)"/g)].map(([, data = '']) =>
      Buffer.from(data, 'base64').toString(),
    );
    texts.push(history, ...payloads, JSON.stringify((await handle.describe()).memo ?? {}));
  }
  return texts.join('\n');
}

const toldByServers = ({ sandbox }: RunningSandbox): string =>
  sandbox.servers
    .flatMap(({ machine }) => [
      ...machine.init.journal.entries().map(({ message }) => message),
      ...machine.log().map((entry) => JSON.stringify(entry)),
    ])
    .join('\n');

const namesIn = async (folder: string): Promise<string> =>
  (await readdir(folder, { recursive: true })).join('\n');
