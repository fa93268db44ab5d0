import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Tally, TrafficWindow } from '../../../domain/traffic.js';
import { endless } from '../../../drivers/patience.js';
import { createHttpProber, type HttpProberOptions } from '../../../drivers/traffic/http.js';
import { makeCertificates, type Certificates } from '../../../sandbox/ovh-api/certificate-authority.js';
import { aTcpService, response, type Arrival, type TcpService } from './tcp-service.js';

const good = ({ socket }: Arrival) => socket.write(response(200));

const services: TcpService[] = [];
afterAll(async () => {
  for (const service of services) await service.close();
});

async function aService(...parameters: Parameters<typeof aTcpService>): Promise<TcpService> {
  const service = await aTcpService(...parameters);
  services.push(service);
  return service;
}

/** Probes until `enough` says so after a window, and gives everything that was seen. */
async function probe(
  url: string,
  options: {
    readonly rate?: number;
    readonly timeoutMs?: number;
    readonly windows?: number;
    readonly prober?: HttpProberOptions;
  } = {},
): Promise<{ windows: readonly TrafficWindow[]; tallies: readonly Tally[]; tally: Tally }> {
  const windows: TrafficWindow[] = [];
  const tallies: Tally[] = [];
  let enough: () => void;
  const seen = new Promise<void>((resolve) => (enough = resolve));
  const running = createHttpProber(options.prober).start(
    { url, path: '/health', requestsPerSecond: options.rate ?? 100, timeoutMs: options.timeoutMs ?? 20_000 },
    (window, tally) => {
      windows.push(window);
      tallies.push(tally);
      if (windows.length === (options.windows ?? 1)) enough();
    },
  );
  await seen;
  const tally = await running.stop();
  return { windows, tallies, tally };
}

describe('the schedule', () => {
  test('sends exactly the rate in every whole second', async () => {
    const service = await aService(good);
    const { windows, tally } = await probe(service.url, { rate: 150, windows: 2 });
    expect(windows.slice(0, 2).map(({ sent }) => sent)).toEqual([150, 150]);
    expect(windows.map(({ atMs }) => atMs - windows[0]!.atMs)).toEqual(windows.map((_, i) => i * 1000));
    expect(tally).toMatchObject({ failed: 0, idleClosed: 0, failures: {}, unobservedMs: 0 });
  });

  test('sends every request once, and counts every one', async () => {
    const service = await aService(({ socket, nth }) =>
      nth % 3 === 0 ? socket.resetAndDestroy() : socket.write(response(200)),
    );
    const { windows, tally } = await probe(service.url);
    expect(service.arrivals).toHaveLength(tally.sent);
    expect(windows.reduce((sum, { sent }) => sum + sent, 0)).toBe(tally.sent);
  });

  test('uses kept-alive connections for half of the requests, and a new one for each of the others', async () => {
    const service = await aService(good);
    const { tally } = await probe(service.url);
    const onNew = Math.floor(tally.sent / 2);
    expect(service.connections - onNew).toBeGreaterThanOrEqual(1);
    expect(service.connections - onNew).toBeLessThanOrEqual(16);
    expect(service.arrivals.filter(({ nth }) => nth > 1).length).toBe(tally.sent - service.connections);
  });

  test('holds the rate while the service does not answer at all', async () => {
    const service = await aService(() => undefined);
    const { windows, tally } = await probe(service.url, { timeoutMs: 300 });
    expect(windows[0]).toMatchObject({ sent: 100, failed: 100 });
    expect(windows[0]!.p50Ms).toBeGreaterThanOrEqual(300);
    expect(tally.failures).toEqual({ 'timed out': tally.sent });
    expect(tally.longestGapMs).toBeGreaterThanOrEqual(1000);
  });

  test('goes on asking a service that stalls, so that the stall shows in full', async () => {
    const held: Arrival[] = [];
    let stalled = true;
    const service = await aService((arrival) => (stalled ? held.push(arrival) : good(arrival)));
    setTimeout(() => {
      stalled = false;
      for (const arrival of held) good(arrival);
    }, 500);
    const { windows } = await probe(service.url, { timeoutMs: 5000 });
    expect(windows[0]).toMatchObject({ sent: 100, failed: 0 });
    expect(windows[0]!.p99Ms).toBeGreaterThan(400);
    expect(windows[0]!.p99Ms).toBeGreaterThan(windows[0]!.p50Ms);
  });

  test('waits for the answers that are due when it is stopped', async () => {
    let firstArrived: () => void;
    const first = new Promise<void>((resolve) => (firstArrived = resolve));
    const service = await aService((arrival) => {
      firstArrived();
      setTimeout(() => good(arrival), 200);
    });
    const windows: TrafficWindow[] = [];
    const running = createHttpProber().start(
      { url: service.url, path: '/', requestsPerSecond: 100, timeoutMs: 5000 },
      (window) => windows.push(window),
    );
    await first;
    const [tally, again] = await Promise.all([running.stop(), running.stop()]);
    expect(tally.sent).toBeGreaterThan(0);
    expect(tally).toMatchObject({ sent: service.arrivals.length, failed: 0 });
    expect(again).toEqual(tally);
    expect(windows).toHaveLength(1);
  });
});

describe('what fails is counted under its word', () => {
  test.each<[string, (arrival: Arrival) => void]>([
    ['HTTP 503', ({ socket }) => socket.write(response(503))],
    ['HTTP 404', ({ socket }) => socket.write(response(404))],
    ['reset', ({ socket }) => socket.resetAndDestroy()],
    ['cut', ({ socket }) => socket.end('HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf')],
    ['cut', ({ socket }) => socket.end('HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n')],
    ['cut', ({ socket }) => socket.end('HTTP/1.1 20')],
    ['cut', ({ socket }) => socket.end()],
    ['bad answer', ({ socket }) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ['timed out', () => undefined],
    ['timed out', ({ socket }) => socket.write('HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf')],
  ])('%s, exactly (case %#)', async (word, answer) => {
    const service = await aService(answer);
    const { tally } = await probe(service.url, { rate: 40, timeoutMs: word === 'timed out' ? 300 : 20_000 });
    expect(tally.failures).toEqual({ [word]: tally.sent });
    expect(tally).toMatchObject({ failed: tally.sent, idleClosed: 0, sent: service.arrivals.length });
  });

  test('refused', async () => {
    const service = await aService(good);
    await service.close();
    const { tally } = await probe(service.url, { rate: 40 });
    expect(tally.failures).toEqual({ refused: tally.sent });
  });

  test('reset or cut, when it is broken off in the middle of an answer', async () => {
    // Linux reports a reset that arrives together with the last bytes as an end.
    const service = await aService(({ socket }) =>
      socket.write('HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf', () => socket.resetAndDestroy()),
    );
    const { tally } = await probe(service.url, { rate: 40 });
    const { cut = 0, reset = 0 } = tally.failures;
    expect(cut + reset).toBe(tally.sent);
  });

  test('redirects are good answers', async () => {
    const service = await aService(({ socket }) => socket.write(response(302, '', 'location: /x\r\n')));
    const { tally } = await probe(service.url, { rate: 40 });
    expect(tally.failed).toBe(0);
  });

  test('and nothing else is: good answers among bad ones stay good', async () => {
    let count = 0;
    const service = await aService(({ socket }) => socket.write(response(++count % 4 === 0 ? 500 : 200)));
    const { tally } = await probe(service.url);
    expect(tally.failures).toEqual({ 'HTTP 500': Math.floor(tally.sent / 4) });
  });
});

describe('a kept-alive connection that is closed just as it is used', () => {
  test.each<[string, (arrival: Arrival) => void]>([
    ['closed', ({ socket }) => socket.end()],
    ['reset', ({ socket }) => socket.resetAndDestroy()],
  ])('%s: is counted apart and is no failure', async (_, drop) => {
    const service = await aService((arrival) => (arrival.nth === 2 ? drop(arrival) : good(arrival)));
    const { tally } = await probe(service.url);
    const dropped = service.arrivals.filter(({ nth }) => nth === 2).length;
    expect(dropped).toBeGreaterThan(0);
    expect(tally).toMatchObject({ sent: service.arrivals.length, failed: 0, idleClosed: dropped });
  });

  test('is a failure once a byte of the answer has come', async () => {
    const service = await aService((arrival) =>
      arrival.nth === 2 ? arrival.socket.end('HTTP/1.1 2') : good(arrival),
    );
    const { tally } = await probe(service.url);
    const dropped = service.arrivals.filter(({ nth }) => nth === 2).length;
    expect(tally).toMatchObject({ failed: dropped, idleClosed: 0, failures: { cut: dropped } });
  });

  test('is a failure when the service had the request for a while', async () => {
    const service = await aService((arrival) => {
      if (arrival.nth === 2) setTimeout(() => arrival.socket.end(), 1500);
      else good(arrival);
    });
    const { tally } = await probe(service.url);
    const dropped = service.arrivals.filter(({ nth }) => nth === 2).length;
    expect(tally).toMatchObject({ failed: dropped, idleClosed: 0, failures: { cut: dropped } });
  });
});

describe('over TLS', () => {
  let certificates: Certificates;
  beforeAll(async () => {
    certificates = await makeCertificates();
  });
  const secure = () => ({ key: certificates.keyPem, cert: certificates.certificatePem });

  test('probes what the given authority vouches for', async () => {
    const service = await aService(good, secure());
    const { tally } = await probe(service.url, { rate: 40, prober: { ca: certificates.caPem } });
    expect(tally).toMatchObject({ sent: service.arrivals.length, failed: 0 });
  });

  test('fails where the certificate is not trusted', async () => {
    const service = await aService(good, secure());
    const { tally } = await probe(service.url, { rate: 40 });
    expect(tally.failures).toEqual({ 'TLS refused': tally.sent });
  });

  test('tells an idle close from a cut', async () => {
    const service = await aService(
      (arrival) => (arrival.nth === 2 ? arrival.socket.end() : good(arrival)),
      secure(),
    );
    const { tally } = await probe(service.url, { rate: 40, prober: { ca: certificates.caPem } });
    const dropped = service.arrivals.filter(({ nth }) => nth === 2).length;
    expect(dropped).toBeGreaterThan(0);
    expect(tally).toMatchObject({ failed: 0, idleClosed: dropped });
  });
});

describe('one question', () => {
  const question = { path: '/version', status: 200, timeoutMs: 1000, identityHeader: 'X-Release' };

  test('is answered with status and identity, each time on a new connection', async () => {
    const service = await aService(({ socket }) =>
      socket.write(response(200, 'ok', 'x-release: green-1/r2\r\n')),
    );
    const prober = createHttpProber();
    for (let asked = 0; asked < 3; asked++) {
      expect(await prober.ask(service.url, question, endless)).toMatchObject({
        kind: 'answered',
        status: 200,
        identity: 'green-1/r2',
      });
    }
    expect(service.connections).toBe(3);
    expect(service.arrivals.map(({ path }) => path)).toEqual(['/version', '/version', '/version']);
  });

  test('is a sample too when the answer is bad, missing or late', async () => {
    const bad = await aService(({ socket }) => socket.write(response(503)));
    const mute = await aService(() => undefined);
    const gone = await aService(good);
    await gone.close();
    const prober = createHttpProber();
    expect(await prober.ask(bad.url, question, endless)).toMatchObject({ kind: 'answered', status: 503 });
    expect(await prober.ask(mute.url, { ...question, timeoutMs: 100 }, endless)).toEqual({
      kind: 'silent',
      because: 'timed out',
    });
    expect(await prober.ask(gone.url, question, endless)).toEqual({ kind: 'silent', because: 'refused' });
  });

  test('ends at once when the caller gives up', async () => {
    const arrived = new AbortController();
    const mute = await aService(() => arrived.abort(new Error('cancelled')));
    const asked = createHttpProber().ask(
      mute.url,
      { ...question, timeoutMs: 60_000 },
      { signal: arrived.signal, progress: () => undefined },
    );
    await expect(asked).rejects.toThrow('cancelled');
  });
});
