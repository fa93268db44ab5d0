import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RawConnection, request } from './raw-http.js';
import { builtGreeter, RunningGreeter } from './running-greeter.js';

let greeter: RunningGreeter;
let port: number;

beforeAll(async () => {
  greeter = await RunningGreeter.serving({
    config: { greeting: 'Hello', request_seconds: 1, max_body_bytes: 1000 },
  });
  port = await greeter.port();
});

afterAll(() => greeter[Symbol.asyncDispose]());

const get = async (path: string, ...fields: readonly string[]) => {
  const connection = await RawConnection.open(port);
  const response = await connection.get(path, ...fields);
  connection.destroy();
  return response;
};

const answerTo = async (text: string) => {
  const connection = await RawConnection.open(port);
  connection.write(text);
  const response = await connection.response();
  const close = response.headers['connection'] === 'close' ? await connection.closed() : 'open';
  connection.destroy();
  return { status: response.status, close };
};

describe('answers', () => {
  test('greets', async () => {
    expect(await get('/')).toMatchObject({ status: 200, body: 'Hello\n' });
  });

  test('is healthy', async () => {
    expect(await get('/health')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  test('tells its version and build', async () => {
    const { body, headers } = await get('/version');
    expect(JSON.parse(body)).toEqual({ version: '2.0.0', build: expect.stringMatching(/^[0-9a-f]{40}$/) });
    expect(headers).toMatchObject({ 'x-greeter-version': '2.0.0', 'content-type': 'application/json' });
  });

  test('names its version in errors too', async () => {
    expect((await get('/nowhere')).headers['x-greeter-version']).toBe('2.0.0');
  });

  test('echoes what is posted', async () => {
    const connection = await RawConnection.open(port);
    connection.write(`${request('POST', '/echo', 'Content-Length: 11')}what I said`);
    expect(await connection.response()).toMatchObject({ status: 200, body: 'what I said' });
    connection.destroy();
  });

  test('asks for the body of a client that waits to be asked', async () => {
    const connection = await RawConnection.open(port);
    connection.write(request('POST', '/echo', 'Content-Length: 2', 'Expect: 100-continue'));
    expect((await connection.response()).status).toBe(100);
    connection.write('hi');
    expect(await connection.response()).toMatchObject({ status: 200, body: 'hi' });
    connection.destroy();
  });

  test('counts open connections and requests', async () => {
    const slow = await RawConnection.open(port);
    slow.write(request('GET', '/slow?ms=60000'));
    await expect
      .poll(async () => JSON.parse((await get('/stats')).body) as unknown)
      .toMatchObject({ connections: 2, requestsInFlight: 1, draining: false });
    slow.destroy();
  });

  test('streams line by line', async () => {
    const connection = await RawConnection.open(port);
    connection.write(request('GET', '/stream?seconds=1'));
    await connection.received('line 2 of 10');
    const { body, headers } = await connection.response();
    expect(headers['transfer-encoding']).toBe('chunked');
    expect(body.split('\n')).toHaveLength(11);
    expect((await connection.get('/')).status).toBe(200);
    connection.destroy();
  });

  test('streams to HTTP/1.0 until the connection ends', async () => {
    const connection = await RawConnection.open(port);
    connection.write('GET /stream?seconds=1 HTTP/1.0\r\n\r\n');
    const { body, headers } = await connection.response();
    expect(headers['transfer-encoding']).toBeUndefined();
    expect(body).toMatch(/line 10 of 10\n$/);
    connection.destroy();
  });

  test('lets nobody wait for a slow answer but who asked for it', async () => {
    const order: string[] = [];
    const slow = get('/slow?ms=500').then(({ body }) => order.push(body));
    const fast = get('/').then(({ body }) => order.push(body));
    await Promise.all([slow, fast]);
    expect(order).toEqual(['Hello\n', 'answered after 500 ms\n']);
  });
});

describe('connections', () => {
  test('stay open for the next request', async () => {
    const connection = await RawConnection.open(port);
    for (let round = 0; round < 100; round++) expect((await connection.get('/')).status).toBe(200);
    connection.destroy();
  });

  test('take many requests at once and answer them in order', async () => {
    const connection = await RawConnection.open(port);
    const paths = Array.from({ length: 5000 }, (_, index) => (index % 2 === 0 ? '/' : '/health'));
    connection.write(`${request('GET', '/slow?ms=50')}${paths.map((path) => request('GET', path)).join('')}`);
    expect((await connection.response()).body).toBe('answered after 50 ms\n');
    for (const path of paths)
      expect((await connection.response()).body).toBe(path === '/' ? 'Hello\n' : 'ok\n');
    connection.destroy();
  });

  test('take a request in any pieces', async () => {
    const text = `${request('POST', '/echo', 'Content-Length: 3')}abc${request('GET', '/')}`;
    const connection = await RawConnection.open(port);
    for (let cut = 1; cut < text.length; cut += 7) {
      connection.write(text.slice(0, cut));
      await new Promise(setImmediate);
      connection.write(text.slice(cut));
      expect((await connection.response()).body).toBe('abc');
      expect((await connection.response()).body).toBe('Hello\n');
    }
    connection.destroy();
  });

  test('end after the answer when the client wants that', async () => {
    expect(await answerTo(request('GET', '/', 'Connection: close'))).toEqual({ status: 200, close: 'ended' });
    expect(await answerTo('GET / HTTP/1.0\r\n\r\n')).toEqual({ status: 200, close: 'ended' });
    expect(await answerTo('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')).toEqual({
      status: 200,
      close: 'open',
    });
  });

  test('are answered although the client has closed its side', async () => {
    const connection = await RawConnection.open(port);
    connection.write(request('GET', '/slow?ms=50'));
    connection.end();
    expect((await connection.response()).status).toBe(200);
    expect(await connection.closed()).toBe('ended');
    connection.destroy();
  });

  test('send nothing but the head for HEAD', async () => {
    const connection = await RawConnection.open(port);
    for (const path of ['/', '/stream', '/version']) {
      connection.write(request('HEAD', path));
      expect(await connection.response({ head: true })).toMatchObject({ status: 200, body: '' });
    }
    expect((await connection.get('/')).body).toBe('Hello\n');
    connection.destroy();
  });

  test('end by a proper end, not by a reset, when more came than was read', async () => {
    const connection = await RawConnection.open(port);
    connection.write(`${request('POST', '/echo', 'Content-Length: 100000')}${'x'.repeat(100_000)}`);
    expect((await connection.response()).status).toBe(413);
    expect(await connection.closed()).toBe('ended');
    connection.destroy();
  });
});

describe('refuses', () => {
  test.each([
    ['a path that is none', request('GET', '/nowhere'), { status: 404, close: 'open' }],
    ['a method that does not fit', request('DELETE', '/'), { status: 405, close: 'open' }],
    ['a number out of bounds', request('GET', '/slow?ms=60001'), { status: 400, close: 'open' }],
    ['nonsense', 'nonsense\r\n\r\n', { status: 400, close: 'ended' }],
    ['a missing host', 'GET / HTTP/1.1\r\n\r\n', { status: 400, close: 'ended' }],
    ['a body too large', request('POST', '/echo', 'Content-Length: 1001'), { status: 413, close: 'ended' }],
    ['chunks', request('POST', '/echo', 'Transfer-Encoding: chunked'), { status: 411, close: 'ended' }],
    ['a path too long', request('GET', `/${'x'.repeat(8192)}`), { status: 414, close: 'ended' }],
    ['fields too large', request('GET', '/', `X: ${'x'.repeat(8192)}`), { status: 431, close: 'ended' }],
    ['a newer HTTP', 'GET / HTTP/2.0\r\n\r\n', { status: 505, close: 'ended' }],
    ['a request that does not end', 'GET / HTTP/1.1\r\nHost:', { status: 408, close: 'ended' }],
  ])('%s', async (_, text, expected) => {
    expect(await answerTo(text)).toEqual(expected);
  });

  test('a client that sends a byte now and then', async () => {
    const connection = await RawConnection.open(port);
    const dripping = setInterval(() => !connection.isClosed && connection.write('a'), 100);
    connection.write('GET / HTTP/1.1\r\nX: ');
    expect((await connection.response()).status).toBe(408);
    clearInterval(dripping);
    connection.destroy();
  });

  test('more connections than it may have, until one ends', async () => {
    await using small = await RunningGreeter.serving({ config: { max_connections: 2 } });
    const open = async () => RawConnection.open(await small.port());
    const [first, second, third] = [await open(), await open(), await open()];
    expect((await first.get('/')).status).toBe(200);
    expect((await second.get('/')).status).toBe(200);
    const waiting = third.get('/').then(() => 'third');
    expect(await Promise.race([waiting, second.get('/slow?ms=200').then(() => 'second')])).toBe('second');
    first.destroy();
    expect(await waiting).toBe('third');
    second.destroy();
    third.destroy();
  });
});

describe('the command line', () => {
  test.each([
    [
      'an unknown key',
      { prot: 80 },
      /^greeter\.conf:3: Cannot set "prot": no such key, needs one of address, port/,
    ],
    [
      'a wrong number',
      { slow_ms: '1s' },
      'greeter.conf:3: Cannot set "slow_ms": is "1s", needs a whole number from 0 to 60000',
    ],
    [
      'a name for an address',
      { address: 'localhost' },
      /^greeter\.conf:1: Cannot set "address": is "localhost", needs/,
    ],
  ])('refuses %s with file, line and key', async (_, config, message) => {
    await using wrong = await RunningGreeter.start({ config });
    expect(await wrong.ended).toEqual({ code: 2, signal: null });
    expect(wrong.lines).toHaveLength(1);
    expect(wrong.lines[0]).toMatch(message);
  });

  test('refuses a port that is no port', async () => {
    const { executable } = await builtGreeter();
    await using wrong = await RunningGreeter.start({ command: [executable, '--port', '80x'] });
    expect(await wrong.ended).toEqual({ code: 2, signal: null });
    expect(wrong.lines).toEqual(['Cannot use --port "80x": needs a whole number from 0 to 65535']);
  });

  test('says when the port is taken', async () => {
    await using second = await RunningGreeter.start({ config: { port } });
    expect(await second.ended).toEqual({ code: 1, signal: null });
    expect(second.lines.at(-1)).toBe(`Cannot listen on "127.0.0.1" port ${port}: Address already in use`);
  });

  test('checks a configuration without serving', async () => {
    const { executable } = await builtGreeter();
    await using checked = await RunningGreeter.start({ command: [executable, '--check'] });
    expect(await checked.ended).toEqual({ code: 0, signal: null });
    expect(checked.lines).toEqual([]);
  });
});
