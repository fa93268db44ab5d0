import { mkdtemp, readFile, rm } from 'node:fs/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inOneLine, Failure } from '../../../domain/failures.js';
import { SecretName } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import {
  createHttpsArtifacts,
  createLoopbackArtifacts,
  type HttpsArtifactOptions,
} from '../../../drivers/artifacts/https.js';
import { troubleOf } from '../../../drivers/artifacts/http-trouble.js';
import { endless, type Patience } from '../../../drivers/patience.js';
import type { Secrets } from '../../../drivers/secrets.js';
import { makeCertificates, type Certificates } from '../../../sandbox/ovh-api/certificate-authority.js';
import { artifactAt, aService } from './tarball.js';

const marker = 'hunter2-marker';
const bytes = Buffer.from('the artifact'.repeat(1000));

let directory: string;
let certificates: Certificates;
const closers: (() => void)[] = [];
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verdigris-https-'));
  certificates = await makeCertificates();
});
afterAll(async () => {
  for (const close of closers) close();
  await rm(directory, { recursive: true });
});

interface Server {
  readonly url: string;
  readonly requests: http.IncomingMessage[];
}

async function aServer(answer: http.RequestListener, secure = true): Promise<Server> {
  const requests: http.IncomingMessage[] = [];
  const listener: http.RequestListener = (request, response) => {
    requests.push(request);
    answer(request, response);
  };
  const server = secure
    ? https.createServer({ key: certificates.keyPem, cert: certificates.certificatePem }, listener)
    : http.createServer(listener);
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `${secure ? 'https' : 'http'}://localhost:${port}`, requests };
}

const good: http.RequestListener = (_, response) => response.end(bytes);
const answering = (status: number, headers: http.OutgoingHttpHeaders = {}, body = ''): http.RequestListener =>
  ((_, response) => response.writeHead(status, headers).end(body)) as http.RequestListener;

const asked: { readonly host: string; readonly service: string }[] = [];
const secrets: Secrets = {
  resolve(_, use) {
    asked.push(use);
    return Promise.resolve(new Secret(marker));
  },
};

let count = 0;
const newPath = () => join(directory, String(++count));
const withHeader = { headers: { 'private-token': { secret: SecretName('artifacts') } } };

async function download(
  url: string,
  settings: Parameters<typeof aService>[0] = {},
  options: Partial<HttpsArtifactOptions> = {},
  patience: Patience = endless,
): Promise<Buffer> {
  const path = newPath();
  const service = aService(settings);
  const create = url.startsWith('http:') ? createLoopbackArtifacts : createHttpsArtifacts;
  const driver = create({ secrets, ca: certificates.caPem, ...options });
  await driver.download(artifactAt(url, bytes), service.artifact, service, path, patience);
  return readFile(path);
}

async function failureOf(...parameters: Parameters<typeof download>): Promise<Failure> {
  const failure = await download(...parameters).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Failure);
  expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain(marker);
  expect((failure as Failure).message).toMatch(/^Cannot /);
  return failure as Failure;
}

test('brings the bytes as they are', async () => {
  const server = await aServer(good);
  expect(await download(`${server.url}/a.tar.gz`)).toEqual(bytes);
});

test('asks for a query, and does not repeat it in messages', async () => {
  const server = await aServer(answering(500));
  const failure = await failureOf(`${server.url}/a.tar.gz?version=7`);
  expect(server.requests[0]?.url).toBe('/a.tar.gz?version=7');
  expect(inOneLine(failure.message)).toBe(
    `Cannot fetch "${server.url}/a.tar.gz": the server answers HTTP 500`,
  );
});

test('takes bytes that are labelled as compressed for what they are', async () => {
  const server = await aServer((_, response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(bytes),
  );
  expect(await download(server.url)).toEqual(bytes);
});

describe('a secret header', () => {
  test('is resolved for the host of the URL and sent to it', async () => {
    const server = await aServer(good);
    asked.length = 0;
    await download(server.url, withHeader);
    expect(server.requests[0]?.headers['private-token']).toBe(marker);
    expect(asked).toEqual([{ service: 'greeter@production', host: 'localhost' }]);
  });

  test('follows a redirect on the same host and port', async () => {
    const server = await aServer((request, response) =>
      (request.url === '/a' ? answering(302, { location: '/b' }) : good)(request, response),
    );
    await download(`${server.url}/a`, withHeader);
    expect(server.requests[1]?.headers['private-token']).toBe(marker);
  });

  test.each([301, 302, 303, 307, 308])('is not sent where HTTP %s leads to another port', async (status) => {
    const storage = await aServer(good);
    const server = await aServer(answering(status, { location: `${storage.url}/signed?X-Amz-Signature=s` }));
    expect(await download(server.url, withHeader)).toEqual(bytes);
    expect(server.requests[0]?.headers['private-token']).toBe(marker);
    expect(storage.requests[0]?.headers).not.toHaveProperty('private-token');
    expect(storage.requests[0]?.url).toBe('/signed?X-Amz-Signature=s');
  });

  test('is not sent where a redirect leads to another name of the same machine', async () => {
    const server = await aServer((request, response) =>
      (request.url === '/a'
        ? answering(302, { location: server.url.replace('localhost', '127.0.0.1') })
        : good)(request, response),
    );
    await download(`${server.url}/a`, withHeader);
    expect(server.requests.map(({ headers }) => headers['private-token'])).toEqual([marker, undefined]);
  });

  test('is not sent again to the first host when a redirect leads away and back', async () => {
    const away = await aServer((_, response) => response.writeHead(302, { location: `${home.url}/c` }).end());
    const home = await aServer((request, response) =>
      (request.url === '/a' ? answering(302, { location: away.url }) : good)(request, response),
    );
    await download(`${home.url}/a`, withHeader);
    expect(home.requests.map(({ headers }) => headers['private-token'])).toEqual([marker, undefined]);
    expect(away.requests[0]?.headers).not.toHaveProperty('private-token');
  });

  test('that no header can carry is refused without its value', async () => {
    const server = await aServer(good);
    const broken: Secrets = { resolve: () => Promise.resolve(new Secret(`${marker}\nx: y`)) };
    const failure = await failureOf(server.url, withHeader, { secrets: broken });
    expect(failure.failure).toBe('SecretRefused');
    expect(server.requests).toHaveLength(0);
  });

  test('that is refused is refused before anybody is asked', async () => {
    const server = await aServer(good);
    const denied: Secrets = { resolve: () => Promise.reject(new Failure('SecretRefused', 'Cannot use it')) };
    expect((await failureOf(server.url, withHeader, { secrets: denied })).failure).toBe('SecretRefused');
    expect(server.requests).toHaveLength(0);
  });
});

describe('a redirect is refused', () => {
  test.each([
    ['http://storage.example/a', 'redirected to "http://storage.example/a", needs https://'],
    ['file:///etc/passwd', 'redirected to "file:///etc/passwd", needs https://'],
    ['https://u:p@storage.example/', 'with a user name or password in it'],
    ['https://', 'redirected to an invalid URL'],
  ])('to %s', async (location, words) => {
    const server = await aServer(answering(302, { location }));
    const failure = await failureOf(server.url);
    expect(failure.failure).toBe('ArtifactRefused');
    expect(failure.message).toContain(words);
  });

  test('the sixth time', async () => {
    const server = await aServer(answering(302, { location: '/again' }));
    expect((await failureOf(server.url)).message).toContain('redirected more than 5 times');
    expect(server.requests).toHaveLength(6);
  });

  test('from TLS to this machine without it', async () => {
    const plain = await aServer(good, false);
    const server = await aServer(answering(302, { location: plain.url }));
    expect((await failureOf(server.url)).failure).toBe('ArtifactRefused');
    expect(plain.requests).toHaveLength(0);
  });
});

describe('an answer that is no artifact', () => {
  test.each<[number, http.OutgoingHttpHeaders, string, string]>([
    [
      401,
      {},
      'ArtifactRefused',
      'needs a login\n  sent was the header "private-token" from secret "artifacts"',
    ],
    [403, {}, 'ArtifactRefused', 'may not read this'],
    [404, {}, 'ArtifactRefused', 'check that CI has uploaded it'],
    [410, {}, 'ArtifactRefused', 'was removed (expired?)'],
    [400, {}, 'ArtifactRefused', 'HTTP 400, needs 200'],
    [204, {}, 'ArtifactRefused', 'HTTP 204, needs 200'],
    [206, {}, 'ArtifactRefused', 'HTTP 206, needs 200'],
    [304, {}, 'ArtifactRefused', 'HTTP 304, needs 200'],
    [429, { 'retry-after': '30' }, 'ArtifactUnreachable', 'too many requests (it asks to wait: 30)'],
    [408, {}, 'ArtifactUnreachable', 'HTTP 408'],
    [500, {}, 'ArtifactUnreachable', 'HTTP 500'],
    [503, { 'retry-after': '5' }, 'ArtifactUnreachable', 'HTTP 503 (it asks to wait: 5)'],
    [200, { 'content-type': 'text/html; charset=utf-8' }, 'ArtifactRefused', 'a web page (a login page?)'],
  ])('HTTP %s %j is %s', async (status, headers, name, words) => {
    const server = await aServer(answering(status, headers));
    const failure = await failureOf(server.url, withHeader);
    expect(failure.failure).toBe(name);
    expect(failure.message).toContain(words);
  });

  test('says that no header was sent where none is configured', async () => {
    const server = await aServer(answering(401));
    expect((await failureOf(server.url)).message).toContain(
      'no header was sent: name one under artifact.headers',
    );
  });
});

describe('too many bytes', () => {
  test('are refused by their announcement', async () => {
    const server = await aServer((_, response) => {
      response.writeHead(200, { 'content-length': '5000000' });
      response.write('x');
    });
    const failure = await failureOf(server.url, { maxBytes: 1000 });
    expect(failure).toMatchObject({ failure: 'ArtifactRefused' });
    expect(failure.message).toContain('larger than 1000 bytes\n  allow more: artifact.maxSize');
  });

  test('are refused as they come, where nothing was announced', async () => {
    const server = await aServer((_, response) => {
      const pour = () => {
        while (response.write(Buffer.alloc(65_536)));
      };
      response.on('drain', pour);
      pour();
    });
    expect((await failureOf(server.url, { maxBytes: 1_000_000 })).message).toContain(
      'larger than 1000000 bytes',
    );
  });
});

describe('trouble on the way', () => {
  test('a server that refuses connections', async () => {
    const server = await aServer(good);
    closers.pop()!();
    const failure = await failureOf(server.url);
    expect(failure).toMatchObject({ failure: 'ArtifactUnreachable' });
    expect(failure.message).toContain('the server refuses connections');
  });

  test('an answer that is cut off', async () => {
    const server = await aServer((_, response) => {
      response.writeHead(200, { 'content-length': '5000' });
      response.write('half', () => response.destroy());
    });
    const failure = await failureOf(server.url);
    expect(failure).toMatchObject({ failure: 'ArtifactUnreachable' });
    expect(failure.message).toContain('cut before all bytes had come');
  });

  test('a server that never answers, or stops in the middle', async () => {
    const mute = await aServer(() => undefined);
    const stuck = await aServer((_, response) => void response.write('half'));
    for (const server of [mute, stuck]) {
      const failure = await failureOf(server.url, {}, { idleTimeoutMs: 200 });
      expect(failure).toMatchObject({ failure: 'ArtifactUnreachable' });
      expect(failure.message).toContain('no byte for 0.2 s');
    }
  });

  test('a server that accepts and never greets', async () => {
    const { createServer } = await import('node:net');
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    closers.push(() => silent.close());
    const url = `https://localhost:${(silent.address() as AddressInfo).port}`;
    expect((await failureOf(url, {}, { connectTimeoutMs: 200 })).message).toContain(
      'no connection after 0.2 s',
    );
  });

  test('a server that drips', async () => {
    const server = await aServer((_, response) => {
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    });
    const failure = await failureOf(server.url, { timeoutMs: 300 });
    expect(failure).toMatchObject({ failure: 'ArtifactUnreachable' });
    expect(failure.message).toContain('not complete after 0.3 s\n  give it longer');
  });

  test('a certificate that nobody vouches for is refused for good', async () => {
    const server = await aServer(good);
    const path = newPath();
    const service = aService(withHeader);
    const failure = await createHttpsArtifacts({ secrets })
      .download(artifactAt(server.url, bytes), service.artifact, service, path, endless)
      .catch((error: unknown) => error as Failure);
    expect(failure).toMatchObject({ failure: 'ArtifactRefused' });
    expect(failure?.message).toContain("the server's certificate is not trusted");
    expect(server.requests).toHaveLength(0);
  });

  test.each(['ENOSPC', 'EDQUOT'])('a disk without room (%s) is told as such', (code) => {
    const failure = troubleOf(Object.assign(new Error('no space'), { code }), 'https://git.example/a');
    expect(failure).toMatchObject({ failure: 'DiskFull' });
  });

  test('ends at once when the caller gives up', async () => {
    const caller = new AbortController();
    const server = await aServer((_, response) => {
      response.write('half');
      caller.abort(new Error('cancelled'));
    });
    const patience = { signal: caller.signal, progress: () => undefined };
    await expect(download(server.url, {}, {}, patience)).rejects.toThrow('cancelled');
  });
});

test('tells how far it is', async () => {
  const server = await aServer(good);
  const heard: string[] = [];
  await download(server.url, {}, {}, { signal: endless.signal, progress: (what) => heard.push(what) });
  expect(heard[0]).toContain('asking localhost:');
  expect(heard.some((words) => words.startsWith('fetching the artifact'))).toBe(true);
});

describe('without TLS', () => {
  test('this machine may be asked where that is allowed', async () => {
    const server = await aServer(good, false);
    expect(await download(server.url)).toEqual(bytes);
    expect(await download(server.url.replace('localhost', '127.0.0.1'))).toEqual(bytes);
  });

  test.each(['http://storage.example/a', 'http://127.0.0.1.evil.example/', 'http://10.0.0.1/'])(
    'nobody else: %s',
    async (url) => {
      expect((await failureOf(url)).message).toContain('without TLS, needs https://');
    },
  );

  test('nobody at all by the usual driver', async () => {
    const server = await aServer(good, false);
    const service = aService();
    const driver = createHttpsArtifacts({ secrets });
    await expect(
      driver.download(artifactAt(server.url, bytes), service.artifact, service, newPath(), endless),
    ).rejects.toThrow('without TLS, needs https://');
  });
});
