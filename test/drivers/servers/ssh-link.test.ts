import { once } from 'node:events';
import { connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { Worker } from 'node:worker_threads';
import type { Connection, ServerChannel } from 'ssh2';
import { expect, onTestFinished, test, vi } from 'vitest';
import { endless } from '../../../drivers/patience.js';
import { ProbeCommand } from '../../../drivers/servers/probe-on-server.js';
import { LinkLost } from '../../../drivers/servers/ssh-command.js';
import { SshConnections } from '../../../drivers/servers/ssh-connection.js';
import { SshLink } from '../../../drivers/servers/ssh-link.js';
import { newKeyPair } from '../../../sandbox/machines/host-key.js';
import { clientOf, freezable, inOnePiece, machine, targetAt } from './ssh-machine.js';

const health = { path: '/health', status: 200, timeoutMs: 300 };
const address = { address: '127.0.0.1', port: 80 };
const probe = (link: SshLink) => link.probe(address, health, endless.signal);

function connections(policy: ConstructorParameters<typeof SshConnections>[0] = {}): SshConnections {
  const made = new SshConnections({ tries: 1, ...policy });
  onTestFinished(() => made.close());
  return made;
}

/** A machine that is at work while this thread is not, with a program that answers at once. */
const program = `
  const { Server } = require('ssh2');
  const { parentPort, workerData } = require('node:worker_threads');
  const server = new Server({ hostKeys: [workerData] }, (link) => {
    link.on('authentication', (attempt) => attempt.accept());
    link.on('error', () => undefined);
    link.on('tcpip', (accept) => {
      const channel = accept();
      channel.once('data', () => channel.end('HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok'));
    });
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

test('a pause of this process is no silence of the program that was asked', async () => {
  const thread = new Worker(program, { eval: true, workerData: newKeyPair().private });
  onTestFinished(async () => void (await thread.terminate()));
  const [port] = (await once(thread, 'message')) as [number];
  const asked = probe(new SshLink(await clientOf(port)));
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 320));
  expect(await asked).toMatchObject({ kind: 'answered', status: 200 });
});

test('a question ends in time though the machine falls silent behind an open tunnel', async () => {
  let arrived: () => void = () => undefined;
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  const line = await freezable(
    await machine((link) => onTunnel(link, (tunnel) => tunnel.on('data', arrived))),
  );
  const asked = probe(new SshLink(await clientOf(line.port)));
  await arrival;
  line.freeze();
  expect(await asked).toEqual({ kind: 'silent', because: 'no answer within 300 ms' });
});

test.each<[string, (link: Connection) => void]>([
  ['while a tunnel is asked for', (link) => link.on('tcpip', () => link.end())],
  ['behind an open tunnel', (link) => onTunnel(link, (tunnel) => tunnel.on('data', () => link.end()))],
])('a link that is lost %s says nothing of the program', async (_, serve) => {
  const link = new SshLink(await clientOf(await machine(serve)));
  await expect(probe(link)).rejects.toThrow(LinkLost);
  await expect(probe(link)).rejects.toThrow(LinkLost);
});

test('a connection to a machine that is frozen is closed all the same', async () => {
  const line = await freezable(await machine(() => undefined));
  const pool = connections();
  const client = await pool.use(targetAt(line.port), endless, (link) => Promise.resolve(link.client));
  const closed = once(client, 'close');
  line.freeze();
  pool.close();
  await closed;
});

test('a bastion is given back even if the machine behind it hung up in one piece with the login', async () => {
  const behind = await machine((link) => link.on('ready', () => link.end()));
  let hungUp: () => void = () => undefined;
  const isGivenBack = new Promise<void>((resolve) => (hungUp = resolve));
  const bastion = await machine((link) => {
    link.on('close', hungUp);
    link.on('tcpip', (accept, _, { destPort }) => {
      const far = connect(destPort, '127.0.0.1').on('error', () => undefined);
      const tunnel = accept();
      tunnel.pipe(far).pipe(tunnel);
    });
  });
  const used = connections({ idleMs: 50 }).use(targetAt(behind, await inOnePiece(bastion)), endless, (link) =>
    link.execute('a command', { signal: endless.signal, deadlineMs: 10_000, onLine: () => undefined }),
  );
  await expect(used).rejects.toThrow();
  await isGivenBack;
});

test('a command that the machine refuses ends no other one', async () => {
  const running: ServerChannel[] = [];
  const port = await machine((link) =>
    link.on('session', (accept) =>
      accept().on('exec', (acceptCommand, refuse, { command }) => {
        if (command === 'refused') refuse();
        else running.push(acceptCommand().on('error', () => undefined) as ServerChannel);
        running[0]?.write('begun\n');
      }),
    ),
  );
  const pool = connections();
  const give = (command: string, onLine = (): void => undefined) =>
    pool.use(targetAt(port), endless, (link) =>
      link.execute(command, { signal: endless.signal, deadlineMs: 10_000, onLine }),
    );
  await pool.use(targetAt(port), endless, () => Promise.resolve());
  let begun: () => void = () => undefined;
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  const first = give('first', begun);
  await hasBegun;
  await expect(give('refused')).rejects.toThrow('no command could be given');
  running[0]?.exit(0);
  running[0]?.end();
  expect(await first).toMatchObject({ code: 0 });
});

test('who asks after a command was told to end is answered by another one', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const given: { say(line: string): void; end(): void }[] = [];
  const stdin = new PassThrough();
  const asking = new ProbeCommand(
    (_, { onLine, signal }) =>
      new Promise((__, reject) =>
        given.push({ say: (line) => onLine(line, stdin), end: () => reject(signal.reason as Error) }),
      ),
  );
  const ask = () => asking.ask(address, health, endless.signal);
  const first = ask();
  given[0]?.say('tool=curl');
  given[0]?.say('q1 answered 200 1');
  expect(await first).toMatchObject({ kind: 'answered' });
  // Nobody asks for so long that it is told to end; that it has ended is heard of later.
  vi.advanceTimersByTime(10_000);
  const second = ask();
  given[0]?.end();
  await new Promise((resolve) => setImmediate(resolve));
  given[1]?.say('tool=curl');
  given[1]?.say('q2 answered 200 1');
  expect(await second).toMatchObject({ kind: 'answered' });
});

const onTunnel = (link: Connection, serve: (tunnel: ServerChannel) => unknown): unknown =>
  link.on('tcpip', (accept) => void serve(accept()));
