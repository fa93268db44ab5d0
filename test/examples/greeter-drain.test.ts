import { execa } from 'execa';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { RawConnection, request } from './raw-http.js';
import { builtGreeter, RunningGreeter } from './running-greeter.js';
import { TalliedLoad } from './tallied-load.js';

const run = promisify(execFile);

/** Many clients at work, then a signal in the middle of it. */
async function signalledUnderLoad(signal: 'SIGTERM' | 'SIGKILL') {
  await using greeter = await RunningGreeter.serving();
  const port = await greeter.port();
  const load = new TalliedLoad();
  const stream = await RawConnection.open(port);
  const clients = [
    ...Array.from({ length: 6 }, () => load.newConnections(port)),
    ...[0, 1, 5, 20, 50, 200].map((pauseMs) => load.keptAlive(port, pauseMs)),
    load.ask(stream, 'stream', request('GET', '/stream?seconds=2')).finally(() => stream.destroy()),
  ];
  await stream.received('line 4 of 20');
  load.mark();
  greeter.signal(signal);
  const ending = await greeter.ended;
  await Promise.all(clients);
  return { ending, ...load.tally };
}

describe('on SIGTERM', () => {
  test.each([1, 2, 3])('loses no request under load, round %i', async () => {
    const { ending, answered, answeredAfterMark, failures } = await signalledUnderLoad('SIGTERM');
    expect(failures).toEqual([]);
    expect(ending).toEqual({ code: 0, signal: null });
    expect(answered).toBeGreaterThan(0);
    expect(answeredAfterMark).toBeGreaterThan(0);
  });

  test('the same load notices a program that just dies', async () => {
    const { failures } = await signalledUnderLoad('SIGKILL');
    expect(failures).not.toEqual([]);
  });

  test('answers every connection that the kernel has accepted already', async () => {
    await using greeter = await RunningGreeter.serving({ config: { max_connections: 1 } });
    const port = await greeter.port();
    const connections = await Promise.all(Array.from({ length: 50 }, () => RawConnection.open(port)));
    greeter.signal('SIGTERM');
    const answers = await Promise.all(connections.map((connection) => connection.get('/')));
    expect(answers.map(({ status }) => status)).toEqual(connections.map(() => 200));
    for (const connection of connections) connection.end();
    expect(await greeter.ended).toEqual({ code: 0, signal: null });
  });

  test('answers a connection that was still being made', async ({ skip }) => {
    const isolated = ['--map-root-user', '--net'];
    const mayIsolate = await run('unshare', [...isolated, 'test', '-w', '/dev/net/tun']).then(
      () => true,
      () => false,
    );
    if (!mayIsolate) skip('needs network namespaces and /dev/net/tun');
    const directory = await mkdtemp(join(tmpdir(), 'half-open-'));
    const [client, config] = [join(directory, 'half-open'), join(directory, 'greeter.conf')];
    await run('cc', ['-D_GNU_SOURCE', '-o', client, join(import.meta.dirname, 'half-open.c')]);
    await writeFile(config, 'address = 10.9.0.1\nport = 8080\n');
    const { executable } = await builtGreeter();
    let met: { stdout: string; exitCode?: number | undefined };
    do met = await execa('unshare', [...isolated, client, executable, config], { reject: false });
    while (met.exitCode === 75);
    expect(met.stdout).toBe('half open: HTTP/1.1 200 OK\nexit status: 0\nbegun after: refused');
    await rm(directory, { recursive: true });
  });

  test('answers a request that is on its way on an idle connection, and then closes it', async () => {
    await using greeter = await RunningGreeter.serving();
    const connection = await RawConnection.open(await greeter.port());
    const other = await RawConnection.open(await greeter.port());
    await connection.get('/');
    await other.get('/');
    greeter.signal('SIGTERM');
    await greeterSays(greeter, 'draining');
    const health = await connection.get('/health');
    expect(health).toMatchObject({ status: 503, body: 'draining\n', headers: { connection: 'close' } });
    expect(await connection.closed()).toBe('ended');
    expect(await other.closed()).toBe('ended');
    connection.destroy();
    other.destroy();
    expect(await greeter.ended).toEqual({ code: 0, signal: null });
  });

  test('ends a stream as it would have ended', async () => {
    await using greeter = await RunningGreeter.serving();
    const connection = await RawConnection.open(await greeter.port());
    connection.write(request('GET', '/stream?seconds=2'));
    await connection.received('line 1 of 20');
    greeter.signal('SIGTERM');
    expect((await connection.response()).body).toMatch(/line 20 of 20\n$/);
    connection.end();
    expect(await greeter.ended).toEqual({ code: 0, signal: null });
    expect(greeter.lines.at(-1)).toBe('stopped after 1 requests');
  });

  test('cuts what lasts longer than it may, and says how many', async () => {
    await using greeter = await RunningGreeter.serving({ config: { drain_seconds: 1 } });
    const streams = await Promise.all([1, 2].map(async () => RawConnection.open(await greeter.port())));
    for (const stream of streams) {
      stream.write(request('GET', '/stream?seconds=3600'));
      await stream.received('line 1 of 36000');
    }
    expect(await greeter.terminate()).toEqual({ code: 0, signal: null });
    expect(greeter.lines).toContain('drained for 1 s: cut 2 open requests');
    for (const stream of streams) stream.destroy();
  });

  test('ends at once when nobody is connected', async () => {
    await using greeter = await RunningGreeter.serving({
      config: { drain_seconds: 3600, linger_ms: 60_000 },
    });
    expect(await greeter.terminate()).toEqual({ code: 0, signal: null });
  });

  test('takes a second signal for the first', async () => {
    await using greeter = await RunningGreeter.serving();
    const connection = await RawConnection.open(await greeter.port());
    const slow = connection.get('/slow?ms=500');
    await expect.poll(() => stats(greeter)).toMatchObject({ requestsInFlight: 1 });
    greeter.signal('SIGTERM');
    await greeterSays(greeter, 'draining');
    greeter.signal('SIGTERM');
    greeter.signal('SIGINT');
    expect((await slow).status).toBe(200);
    connection.end();
    expect(await greeter.ended).toEqual({ code: 0, signal: null });
  });
});

describe('under systemd', () => {
  test('says when it is ready and when it stops, without a library', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'notify-'));
    const socket = join(directory, 'socket');
    await writeFile(join(directory, 'receive.c'), receiver);
    await run('cc', ['-o', join(directory, 'receive'), join(directory, 'receive.c')]);
    const receiving = execFile(join(directory, 'receive'), [socket, '2']);
    let heard = '';
    receiving.stdout?.on('data', (text: string) => (heard += text));
    await expect.poll(() => heard).toBe('bound\n');

    await using greeter = await RunningGreeter.serving({ environment: { NOTIFY_SOCKET: socket } });
    await expect.poll(() => heard).toContain('READY=1\n');
    expect(heard).not.toContain('STOPPING');
    await greeter.terminate();
    if (receiving.exitCode === null) await once(receiving, 'close');
    expect(heard).toMatch(/READY=1\nSTATUS=Serving\nSTOPPING=1\nSTATUS=Draining\n$/);
    await rm(directory, { recursive: true });
  });

  test('serves on when nobody hears it', async () => {
    await using greeter = await RunningGreeter.serving({ environment: { NOTIFY_SOCKET: '/nowhere/socket' } });
    expect(greeter.lines.join('\n')).not.toContain('READY');
    await greeterSays(greeter, 'Cannot notify "/nowhere/socket": No such file or directory');
    expect(await stats(greeter)).toMatchObject({ draining: false });
  });
});

describe('a thousand requests', () => {
  test('leave no descriptor and no connection behind', async () => {
    await using greeter = await RunningGreeter.serving();
    const port = await greeter.port();
    const descriptors = async () => (await readdir(`/proc/${greeter.pid}/fd`)).length;
    const before = await descriptors();
    for (let round = 0; round < 1000; round++) {
      const connection = await RawConnection.open(port);
      await connection.get('/', 'Connection: close');
      connection.destroy();
    }
    await expect.poll(descriptors).toBe(before);
    expect(await stats(greeter)).toMatchObject({ connections: 1, requestsServed: 1000 });
  });
});

async function greeterSays(greeter: RunningGreeter, text: string): Promise<void> {
  await expect.poll(() => greeter.lines.some((line) => line.includes(text))).toBe(true);
}

async function stats(greeter: RunningGreeter): Promise<unknown> {
  const connection = await RawConnection.open(await greeter.port());
  const { body } = await connection.get('/stats', 'Connection: close');
  connection.destroy();
  return JSON.parse(body);
}

/** Node has no datagram sockets in the file system, so a few lines of C stand in for systemd. */
const receiver = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int count, char **words) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char text[4096];
  int wanted = count > 2 ? atoi(words[2]) : 1, descriptor = socket(AF_UNIX, SOCK_DGRAM, 0);
  strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
  if (bind(descriptor, (struct sockaddr *)&address, sizeof address)) return 1;
  setvbuf(stdout, NULL, _IONBF, 0);
  puts("bound");
  while (wanted-- > 0) {
    ssize_t length = recv(descriptor, text, sizeof text - 1, 0);
    if (length < 0) return 1;
    text[length] = 0;
    puts(text);
  }
  return 0;
}
`;
