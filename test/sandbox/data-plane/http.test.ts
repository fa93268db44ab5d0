import { createHash, randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

import { afterEach, expect, test } from 'vitest';

import type { Configuration } from '../../../sandbox/data-plane/configuration.js';
import { startDataPlane, type DataPlaneOptions } from '../../../sandbox/data-plane/embedded-data-plane.js';
import { ask } from '../load.js';
import { program, until } from '../program.js';
import { farm, frontend, server, serving } from './configurations.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function aDataPlane(configuration: Configuration, options: DataPlaneOptions = {}) {
  const dataPlane = startDataPlane({ retryDelayMs: 10, ...options });
  cleanups.push(() => dataPlane.close());
  for (const { instanceId } of dataPlane.instances) await dataPlane.apply(instanceId, configuration);
  return {
    dataPlane,
    port: dataPlane.portOf(1),
    apply: (next: Configuration) => dataPlane.apply(16_300, next),
  };
}

async function aProgram(...wanted: Parameters<typeof program>) {
  const started = await program(...wanted);
  cleanups.push(() => started.stop());
  return started;
}

/** A port where nobody listens. */
async function aDeadPort(): Promise<number> {
  const gone = await program('gone');
  await gone.stop();
  return gone.port;
}

const bodies = async (port: number, count: number): Promise<string[]> => {
  const seen = [];
  for (let index = 0; index < count; index++) seen.push((await ask(port)).body);
  return seen;
};

test('tells which instance answered, and the program who asked', async () => {
  const echo = await aProgram('echo', ({ headers }, response) => void response.end(JSON.stringify(headers)));
  const { port } = await aDataPlane({
    frontends: [frontend({ httpHeader: ['X-Ip: %ci'] })],
    farms: [farm([server(echo.port)])],
  });

  const answer = await ask(port, {
    headers: { 'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Proto': 'forged' },
  });

  expect(answer.headers['x-iplb-instance']).toBe('16300');
  expect(answer.headers['x-iplb-request-id']).toMatch(
    /^7F000001:[0-9A-F]{4}_7F000001:[0-9A-F]{4}_[0-9A-F]{8}_/,
  );
  expect(JSON.parse(answer.body)).toMatchObject({
    'x-forwarded-for': '192.0.2.7, 127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-ip': '127.0.0.1',
  });
});

test('shares requests by weight, and gives nothing to weight 0 and inactive servers', async () => {
  const [a, b, c, d] = await Promise.all(['a', 'b', 'c', 'd'].map((name) => aProgram(name)));
  const { port } = await aDataPlane(
    serving([
      server(a!.port, { weight: 3 }),
      server(b!.port),
      server(c!.port, { weight: 0 }),
      server(d!.port, { active: false }),
    ]),
  );

  const seen = await bodies(port, 40);

  expect(seen.filter((name) => name === 'a').length).toBe(30);
  expect(seen.filter((name) => name === 'b').length).toBe(10);
});

test('uses a backup only while no other server can', async () => {
  const [main, spare] = [await aProgram('main'), await aProgram('spare')];
  const both = (active: boolean) =>
    serving([server(spare.port, { backup: true }), server(main.port, { active })]);
  const { port, apply } = await aDataPlane(both(true));
  expect(new Set(await bodies(port, 4))).toEqual(new Set(['main']));

  await apply(both(false));

  expect(new Set(await bodies(port, 4))).toEqual(new Set(['spare']));
});

test('sends a client back by its cookie, to a server of weight 0 too', async () => {
  const [a, b] = [await aProgram('a'), await aProgram('b')];
  const servers = [server(a.port, { cookie: 'A', weight: 0 }), server(b.port, { cookie: 'B' })];
  const { port } = await aDataPlane(serving(servers, { stickiness: 'cookie' }));

  const first = await ask(port);
  expect(first.headers['set-cookie']).toEqual(['SERVERID=B; path=/']);
  const returning = await ask(port, { headers: { Cookie: 'x=1; SERVERID=A' } });

  expect(returning.body).toBe('a');
  expect(returning.headers).not.toHaveProperty('set-cookie');
});

test('sends a client back by its address until the next change', async () => {
  const [a, b] = [await aProgram('a'), await aProgram('b')];
  const sticky = serving([server(a.port), server(b.port)], { stickiness: 'sourceIp' });
  const { port } = await aDataPlane(sticky);

  expect(new Set(await bodies(port, 6)).size).toBe(1);
});

test('answers 503 where no server is left', async () => {
  const { port } = await aDataPlane(serving([]));

  const answer = await ask(port);

  expect(answer.status).toBe(503);
  expect(answer.body).toContain('No server is available');
});

test('tries another server when one refuses, also with a body', async () => {
  const good = await aProgram('good', (asked, response) => void asked.pipe(response));
  const { port } = await aDataPlane(serving([server(await aDeadPort()), server(good.port)]));

  for (let count = 0; count < 6; count++) {
    expect(await ask(port, { method: 'POST', body: 'question' })).toMatchObject({
      status: 200,
      body: 'question',
    });
  }
});

test('gives up after three retries on the only server', async () => {
  const { port } = await aDataPlane(serving([server(await aDeadPort())]));

  expect((await ask(port)).status).toBe(503);
});

test('waits for a server that comes back within its retries', async () => {
  const deadPort = await aDeadPort();
  const { port } = await aDataPlane(serving([server(deadPort)]), { retryDelayMs: 300 });
  const answer = ask(port);

  await aProgram('back', undefined, deadPort);

  expect((await answer).body).toBe('back');
});

test('loses nothing when the program closes kept connections just as they are used', async () => {
  let used = 0;
  const hasty = createServer((socket) => {
    let answered = 0;
    socket.on('error', () => socket.destroy());
    socket.on('data', () => {
      used++;
      // The second request on a connection meets its end: what a keep-alive timeout does at the wrong moment.
      if (answered++ === 1) return void socket.destroy();
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  await new Promise<void>((resolve) => hasty.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => new Promise((resolve) => hasty.close(resolve)));
  const { port } = await aDataPlane(serving([server((hasty.address() as AddressInfo).port)]));

  for (let count = 0; count < 10; count++) {
    expect(await ask(port)).toMatchObject({ status: 200, body: 'ok' });
    expect(await ask(port, { method: 'POST', body: 'x' })).toMatchObject({ status: 200, body: 'ok' });
  }
  expect(used).toBeGreaterThan(20);
});

test('never repeats a request that may have changed something', async () => {
  const fragile = await aProgram('fragile', (asked) => void asked.socket.destroy());
  const { port } = await aDataPlane(serving([server(fragile.port)]));

  expect((await ask(port, { method: 'POST', body: 'x' })).status).toBe(502);
  expect((await ask(port, { method: 'DELETE' })).status).toBe(502);

  expect(fragile.requests()).toBe(2);
});

test('streams in both directions without holding the whole', async () => {
  const megabytes = 64;
  const hashing = await aProgram('hashing', (asked, response) => {
    const hash = createHash('sha256');
    asked.on('data', (chunk) => hash.update(chunk));
    asked.on('end', () => response.end(hash.digest('hex')));
  });
  const { port } = await aDataPlane(serving([server(hashing.port)]));
  const chunk = randomBytes(1024 * 1024);
  const expected = createHash('sha256');

  const answer = await new Promise<string>((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method: 'PUT', agent: false }, (received) => {
      let body = '';
      received.on('data', (part) => (body += part));
      received.on('end', () => resolve(body));
    });
    sent.on('error', reject);
    void (async () => {
      for (let count = 0; count < megabytes; count++) {
        expected.update(chunk);
        if (!sent.write(chunk)) await new Promise((drained) => sent.once('drain', drained));
      }
      sent.end();
    })();
  });

  expect(answer).toBe(expected.digest('hex'));
});

test('holds the program back while the client does not read', async () => {
  let written = 0;
  const chatty = await aProgram('chatty', (_, response) => {
    const write = (): void => {
      while (written++ < 256)
        if (!response.write(Buffer.alloc(1024 * 1024))) return void response.once('drain', write);
      response.end();
    };
    write();
  });
  const { port } = await aDataPlane(serving([server(chatty.port)]));
  const client = connect(port, '127.0.0.1');
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  client.pause();
  cleanups.push(async () => client.destroy());

  await until(() => written > 0);
  let before = -1;
  await until(async () => {
    const isStill = before === written;
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return isStill;
  });

  expect(written).toBeLessThan(128);
});

test('passes on the head of a stream before its first byte', async () => {
  let begin = (): void => undefined;
  const slow = await aProgram('slow', (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.flushHeaders();
    begin = () => response.end('data');
  });
  const { port } = await aDataPlane(serving([server(slow.port)]));

  const answer = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    request({ host: '127.0.0.1', port, agent: false }, resolve).on('error', reject).end();
  });

  expect(answer.statusCode).toBe(200);
  begin();
  answer.resume();
});

test('lets go of the program when the client goes away', async () => {
  const silent = await aProgram('silent', () => undefined);
  const { port, dataPlane } = await aDataPlane(serving([server(silent.port)]));
  const client = connect(port, '127.0.0.1', () => client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  await until(() => silent.requests() === 1);

  client.destroy();

  await until(() => silent.connections.size === 0);
  expect(dataPlane.loadOn(silent.port)).toEqual({ open: 0, idle: 0 });
});

test('cuts the client off when the program dies in the middle of an answer', async () => {
  const dying = await aProgram('dying', (asked, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('half', () => asked.socket.destroy());
  });
  const { port } = await aDataPlane(serving([server(dying.port)]));

  await expect(ask(port)).rejects.toThrow(/aborted|hang up/);
});

test('keeps a client connection over a change, and closes it where that is asked for', async () => {
  const [blue, green] = [await aProgram('blue'), await aProgram('green')];
  for (const [whenReloaded, sockets] of [
    ['keep', 1],
    ['close idle', 2],
  ] as const) {
    const { port, apply } = await aDataPlane(serving([server(blue.port)]), { whenReloaded });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cleanups.push(async () => agent.destroy());
    const used = new Set<Socket>();
    agent.on('free', (socket: Socket) => used.add(socket));
    expect((await ask(port, { agent })).body).toBe('blue');
    await until(() => used.size === 1);

    await apply(serving([server(green.port)]));
    if (whenReloaded === 'close idle') await until(() => [...used].every(({ destroyed }) => destroyed));

    expect((await ask(port, { agent })).body).toBe('green');
    await until(() => used.size === sockets);
  }
});

test('stops listening on a frontend that is gone or disabled', async () => {
  const { dataPlane, apply } = await aDataPlane(serving([]));

  await apply({ frontends: [frontend({ disabled: true })], farms: [] });

  expect(() => dataPlane.portOf(1)).toThrow('Cannot tell the port of frontend "1"');
});

test('lets routes decide before the default farm', async () => {
  const [main, canary] = [await aProgram('main'), await aProgram('canary')];
  const rule = { field: 'header', match: 'is', negate: false, pattern: 'yes', subField: 'X-Canary' };
  const { port } = await aDataPlane({
    frontends: [
      frontend({
        routes: [
          {
            routeId: 1,
            action: { kind: 'reject', status: 403 },
            rules: [{ ...rule, field: 'uri', match: 'startswith', pattern: '/admin', subField: null }],
          },
          { routeId: 2, action: { kind: 'farm', farmId: 11 }, rules: [rule] },
          {
            routeId: 3,
            action: { kind: 'redirect', location: 'https://${host}${path}', status: 301 },
            rules: [{ ...rule, field: 'host', pattern: 'old.example' }],
          },
        ],
      }),
    ],
    farms: [farm([server(main.port)]), farm([server(canary.port)], { farmId: 11 })],
  });

  expect((await ask(port)).body).toBe('main');
  expect((await ask(port, { headers: { 'X-Canary': 'yes' } })).body).toBe('canary');
  expect((await ask(port, { path: '/admin/x' })).status).toBe(403);
  expect(await ask(port, { path: '/a?b', headers: { Host: 'old.example:80' } })).toMatchObject({
    status: 301,
    headers: { location: 'https://old.example/a' },
  });
});

test('admits only allowed sources', async () => {
  const main = await aProgram('main');
  const { port } = await aDataPlane({
    frontends: [frontend({ allowedSource: ['192.0.2.0/24'] })],
    farms: [farm([server(main.port)])],
  });

  expect((await ask(port)).status).toBe(403);
});

test('introduces the client by the PROXY protocol', async () => {
  for (const [version, expected] of [
    ['v1', /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nGET \/ HTTP/],
    ['v2', /^0d0a0d0a000d0a515549540a2111000c7f0000017f000001.{8}474554202f20/],
  ] as const) {
    let heard = '';
    const listening = createServer((socket) => {
      socket.setEncoding('latin1');
      socket.on('data', (chunk: string) => {
        heard += chunk;
        if (heard.includes('GET ')) socket.end('HTTP/1.1 204 No Content\r\n\r\n');
      });
    });
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => new Promise((resolve) => listening.close(resolve)));
    const { port: to } = listening.address() as AddressInfo;
    const { port } = await aDataPlane(serving([server(to, { proxyProtocol: version })]));

    expect((await ask(port)).status).toBe(204);
    expect(version === 'v1' ? heard : Buffer.from(heard, 'latin1').toString('hex')).toMatch(expected);
  }
});
