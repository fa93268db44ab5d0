import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { expect, onTestFinished, test } from 'vitest';
import { newKeyPair } from '../../../sandbox/machines/host-key.js';
import { startMachine } from '../../../sandbox/machines/machine.js';
import { aDirectory, aMachine, execute, isAlive } from './bench-machine.js';

test('runs a command with the real shell and tells output, errors and exit status apart', async () => {
  const machine = await aMachine();

  const answer = await machine.run('echo to output; echo to errors >&2; exit 7');

  expect(answer).toEqual({ status: 7, signal: undefined, out: 'to output\n', err: 'to errors\n' });
});

test('tells which signal ended a command', async () => {
  const machine = await aMachine();

  expect(await machine.run('kill -TERM $$')).toMatchObject({ status: undefined, signal: 'SIGTERM' });
});

test('gives commands its own home, tools and unit directory, and nothing of the host environment', async () => {
  const machine = await aMachine();
  process.env['OVH_APPLICATION_SECRET_OF_THE_HOST'] = 'secret';
  onTestFinished(() => {
    delete process.env['OVH_APPLICATION_SECRET_OF_THE_HOST'];
  });

  const { out } = await machine.run(
    'pwd; echo $HOME $VERDIGRIS_UNIT_DIRECTORY $USER; command -v systemctl; env',
  );

  const [directory, variables, systemctl] = out.split('\n');
  expect(directory).toBe(join(machine.directory, 'home'));
  expect(variables).toBe(`${machine.directory}/home ${machine.unitDirectory} deploy`);
  expect(systemctl).toBe(`${machine.directory}/usr/bin/systemctl`);
  expect(out).not.toContain('OF_THE_HOST');
});

test('refuses a key that is not authorized', async () => {
  const machine = await aMachine();
  const stranger = newKeyPair();

  await expect(machine.connect({ privateKey: stranger.private })).rejects.toThrow(
    /authentication methods failed/,
  );
  expect(machine.log()).toEqual([]);
});

test('refuses who offers an authorized key without owning it', async () => {
  const authorized = newKeyPair();
  const machine = await aMachine({ authorizedKeys: [authorized.public] });
  const own = parsedKey(authorized.private);
  const forged = Object.assign(parsedKey(newKeyPair().private), {
    getPublicSSH: () => own.getPublicSSH(),
  });

  await expect(machine.connect(onlyWith(forged))).rejects.toThrow(/authentication methods failed/);
  expect(machine.log()).toEqual([]);
  await expect(machine.connect(onlyWith(own))).resolves.toBeDefined();
});

test('refuses passwords, and users it was not made for', async () => {
  const machine = await aMachine({ user: 'deploy' });

  await expect(machine.connect({ password: 'deploy', privateKey: '' })).rejects.toThrow();
  await expect(machine.connect({ username: 'root' })).rejects.toThrow();
  expect(await machine.run('echo $USER')).toMatchObject({ out: 'deploy\n' });
});

test('makes key pairs that can be read, every time', () => {
  const pairs = Array.from({ length: 1000 }, newKeyPair);

  expect(
    pairs.filter((pair) =>
      [pair.private, pair.public].map((text) => ssh2.utils.parseKey(text)).some(isError),
    ),
  ).toEqual([]);
});

test('keeps its host key from one start to the next', async () => {
  const directory = aDirectory();
  const before = await startMachine({ name: 'green-1', directory, authorizedKeys: [] });
  await before.close();

  const after = await startMachine({ name: 'green-1', directory, authorizedKeys: [] });
  await after.close();

  expect(after.hostKeyFingerprint).toBe(before.hostKeyFingerprint);
  expect(after.hostKeyFingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
});

test('presents the host key whose fingerprint it tells', async () => {
  const machine = await aMachine();
  let presented = '';

  await machine.connect({
    hostVerifier: (hostKey: Buffer) => {
      presented = createHash('sha256').update(hostKey).digest('base64').replace(/=+$/, '');
      return true;
    },
  });

  expect(`SHA256:${presented}`).toBe(machine.hostKeyFingerprint);
});

test('takes 20 MB on the input of a command and returns them unharmed', async () => {
  const machine = await aMachine();
  const bytes = randomBytes(20 * 1024 * 1024);
  const copy = join(machine.directory, 'copy');

  const { out } = await machine.run(`tee ${copy} | sha256sum`, bytes);

  const digest = createHash('sha256').update(bytes).digest('hex');
  expect(out).toContain(digest);
  const back = await machine.run(`cat ${copy} | sha256sum; cat ${copy} | wc -c`);
  expect(back.out).toBe(`${digest}  -\n${bytes.length}\n`);
});

test('returns much output and many errors at the same time unharmed', async () => {
  const machine = await aMachine();

  const { out, err } = await machine.run(
    'head -c 8000000 /dev/zero | tr "\\0" e >&2 & head -c 8000000 /dev/zero | tr "\\0" o; wait',
  );

  expect([out.length, err.length]).toEqual([8_000_000, 8_000_000]);
  expect([/[^o]/.test(out), /[^e]/.test(err)]).toEqual([false, false]);
});

test('ends a command that does not read its input as soon as it is done', async () => {
  const machine = await aMachine();

  const answer = await machine.run('exit 3', randomBytes(8 * 1024 * 1024));

  expect(answer.status).toBe(3);
});

test('runs several commands over one connection at the same time, ten at most', async () => {
  const machine = await aMachine();
  const client = await machine.connect();
  const flag = join(machine.directory, 'go');
  const waiting = Array.from({ length: 10 }, () =>
    execute(client, `while [ ! -e ${flag} ]; do sleep 0.02; done; echo ok`),
  );

  await expect(execute(client, 'true')).rejects.toThrow(/open failure/i);
  machine.write('go', '');
  const answers = await Promise.all(waiting);

  expect(answers.map(({ out }) => out)).toEqual(Array.from({ length: 10 }, () => 'ok\n'));
  expect(await execute(client, 'echo again')).toMatchObject({ out: 'again\n' });
});

test('counts logins and commands', async () => {
  const machine = await aMachine();
  const client = await machine.connect();

  await execute(client, 'true');
  await execute(client, 'echo 2');

  expect(machine.log()).toMatchObject([
    { kind: 'login', user: 'deploy' },
    { kind: 'exec', command: 'true' },
    { kind: 'exec', command: 'echo 2' },
  ]);
});

test('kills a command, with all that it started, when its connection is lost', async () => {
  const machine = await aMachine();
  const client = await machine.connect();
  const pids = join(machine.directory, 'pids');
  const lost = execute(client, `sleep 300 & echo $$ $! > ${pids}.new; mv ${pids}.new ${pids}; wait`);
  await expect.poll(() => existsSync(pids)).toBe(true);

  client.destroy();

  await expect(lost).rejects.toThrow('connection lost');
  const [shell, child] = readFileSync(pids, 'utf8').trim().split(' ').map(Number);
  await expect.poll(() => isAlive(shell!)).toBe(false);
  expect(isAlive(child!)).toBe(false);
});

test('hands a signal on to the command', async () => {
  const machine = await aMachine();
  const client = await machine.connect();

  const said = await new Promise<string>((resolve, reject) => {
    client.exec(
      'trap "echo got it; exit 0" USR1; echo ready; while :; do sleep 0.02; done',
      (error, channel) => {
        if (error !== undefined) reject(error);
        let text = '';
        channel.on('data', (data: Buffer) => {
          text += data.toString();
          if (text === 'ready\n') channel.signal('USR1');
        });
        channel.on('close', () => resolve(text));
      },
    );
  });

  expect(said).toBe('ready\ngot it\n');
});

test('tunnels to a port of the machine, both ways', async () => {
  const machine = await aMachine();
  const port = await anEchoPort();
  const client = await machine.connect();

  const tunnel = await tunnelTo(client, '127.0.0.1', port);
  tunnel.end('over the tunnel');

  expect(await textOf(tunnel)).toBe('you said: over the tunnel');
});

test('refuses tunnels to a closed port and to other machines', async () => {
  const machine = await aMachine();
  const port = await anEchoPort();
  const client = await machine.connect();

  await expect(tunnelTo(client, '127.0.0.1', 1)).rejects.toThrow();
  await expect(tunnelTo(client, '203.0.113.1', port)).rejects.toThrow();
});

test('answers keep-alives', async () => {
  const machine = await aMachine();
  // Unanswered, the tenth would end the connection after one and a half seconds.

  const client = await machine.connect({ keepaliveInterval: 150, keepaliveCountMax: 10 });
  const { out } = await execute(client, 'sleep 3; echo still here');

  expect(out).toBe('still here\n');
});

test('says which key it cannot authorize', async () => {
  await expect(
    startMachine({ name: 'green-1', directory: aDirectory(), authorizedKeys: ['not a key'] }),
  ).rejects.toThrow('Cannot authorize "not a key"');
});

test('ends at its close the commands that run, and those that were left in the background', async () => {
  const busy = await aMachine();
  const client = await busy.connect();
  const { out: pid } = await execute(client, 'sleep 300 >/dev/null 2>&1 </dev/null & echo $!');
  const lost = execute(client, 'sleep 300').catch((error: Error) => error.message);

  await busy.close();

  expect(await lost).toBe('connection lost');
  await expect.poll(() => isAlive(Number(pid))).toBe(false);
});

const isError = (key: unknown): boolean => key instanceof Error;

function parsedKey(text: string): ssh2.ParsedKey {
  const key = ssh2.utils.parseKey(text);
  if (key instanceof Error) throw key;
  return key;
}

/** Offers that key and signs with it, once. The library takes parsed keys, though its types do not say so. */
function onlyWith(key: ssh2.ParsedKey): ssh2.ConnectConfig {
  const methods = [{ type: 'publickey', username: 'deploy', key } as unknown as ssh2.PublicKeyAuthMethod];
  return { authHandler: (_left, _partial, next) => next(methods.pop() ?? (false as never)) };
}

async function anEchoPort(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', (data) => socket.write(`you said: ${data.toString()}`));
    socket.on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const tunnelTo = (client: ssh2.Client, address: string, port: number): Promise<ssh2.ClientChannel> =>
  new Promise((resolve, reject) => {
    client.forwardOut('127.0.0.1', 0, address, port, (error, channel) =>
      error === undefined ? resolve(channel) : reject(error),
    );
  });

async function textOf(channel: ssh2.ClientChannel): Promise<string> {
  let text = '';
  channel.on('data', (data: Buffer) => (text += data.toString()));
  await once(channel, 'close');
  return text;
}
