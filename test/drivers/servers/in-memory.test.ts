import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { Failure } from '../../../domain/failures.js';
import { hashOf } from '../../../domain/hash.js';
import { Digest, ReleaseId, ServerName } from '../../../domain/names.js';
import type { Server } from '../../../domain/service.js';
import { endless } from '../../../drivers/patience.js';
import { InMemoryServers } from '../../../drivers/servers/in-memory.js';
import { describeServer, failureOf, health, steps, type ServerWorld } from './server.contract.js';

const server: Server = {
  name: ServerName('green-1'),
  color: 'green',
  address: '127.0.0.1',
  port: 8080,
  unit: 'greeter.service',
  directory: '/srv/greeter',
  probe: { address: '127.0.0.1', port: 8080 },
  connection: { driver: 'in-memory', world: 'test' },
};

describeServer('in memory', async (): Promise<ServerWorld> => {
  const world = new InMemoryServers();
  const there = world.server(server.name);
  return {
    driver: world.driver(server),
    other: world.driver(server),
    async release(version, behaviour) {
      const bytes = randomBytes(2000);
      const artifact = Digest(createHash('sha256').update(bytes).digest('hex'));
      const executable = hashOf(version);
      world.program(artifact, { executable, identity: version, ...(behaviour && { behaviour }) });
      const id = ReleaseId(`${artifact.slice(0, 12)}-00000000`);
      return {
        id,
        executable,
        installation: {
          release: id,
          artifact,
          sizeBytes: bytes.length,
          open: () => Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]),
          unitFile: '[Service]\n',
          needs: { bytes: 10_000_000, inodes: 100 },
          files: [],
          shared: [],
          executable: 'bin/greeter',
          keep: 5,
        },
      };
    },
    async runForeign() {
      const executable = hashOf('foreign');
      there.runForeign({ executable, behaviour: { kind: 'answers' }, identity: 'foreign' });
      return executable;
    },
    async linger() {
      there.connections += 1;
      return { end: () => void (there.connections = 0) };
    },
    async file(path) {
      const file = there.file(path);
      return file && { text: file.content.reveal(), private: file.private };
    },
    shared: async () => [...there.shared].sort(),
    limitInodes: () => void (there.freeInodes = 1e6),
    async reachable(yes) {
      there.link = yes ? 'up' : 'refused';
    },
    close: () => Promise.resolve(),
  };
});

const serverIn = (world: InMemoryServers) => ({
  there: world.server(server.name),
  driver: world.driver(server),
});
const program = { executable: hashOf('program'), behaviour: { kind: 'answers' } } as const;
const release = ReleaseId('0123456789ab-01234567');

test.each([
  [{ kind: 'answers' }, 'answered', 200],
  [{ kind: 'never healthy' }, 'answered', 503],
  [{ kind: 'healthy after', afterMs: 3_600_000 }, 'answered', 503],
  [{ kind: 'ill after', afterMs: 0 }, 'answered', 503],
  [{ kind: 'exits', afterMs: 0 }, 'silent', undefined],
  [{ kind: 'crashes at start' }, 'silent', undefined],
] as const)('a program that %j is %s (%s)', async (behaviour, kind, status) => {
  const { there, driver } = serverIn(new InMemoryServers());
  there.serveRelease(release, { ...program, behaviour });
  const sample = await driver.probe(health, endless);
  expect(sample.kind).toBe(kind);
  if (sample.kind === 'answered') expect(sample.status).toBe(status);
});

test('a slow program is silent to whoever does not wait for it', async () => {
  const { there, driver } = serverIn(new InMemoryServers());
  there.serveRelease(release, { ...program, behaviour: { kind: 'slow', byMs: 3_600_000 } });
  expect(await driver.probe({ ...health, timeoutMs: 10 }, endless)).toEqual({
    kind: 'silent',
    because: 'no answer within 10 ms',
  });
});

test('a planned failure happens once, before or after the deed', async () => {
  const { there, driver } = serverIn(new InMemoryServers());
  const next = steps();
  there.serveRelease(release, program);
  there.failNext('stop', new Failure('ServerUnreachable', 'lost before'));
  expect((await failureOf(driver.stop(next(), endless))).message).toContain('lost before');
  expect((await driver.observe(endless)).unit.state).toBe('active');

  there.failNext('stop', new Failure('ServerUnreachable', 'lost after'), 'done');
  expect((await failureOf(driver.stop(next(), endless))).message).toContain('lost after');
  expect((await driver.observe(endless)).unit.state).toBe('inactive');
  expect(there.journal.filter((entry) => entry === 'stopped')).toHaveLength(1);
});

test('a frozen machine says nothing until the caller gives up', async () => {
  const { there, driver } = serverIn(new InMemoryServers());
  there.link = 'frozen';
  const gaveUp = new AbortController();
  const observing = driver.observe({ ...endless, signal: gaveUp.signal });
  gaveUp.abort(new Error('enough'));
  await expect(observing).rejects.toThrow('enough');
});

test('a crash and a reboot are seen', async () => {
  const { there, driver } = serverIn(new InMemoryServers());
  there.serveRelease(release, program);
  const first = (await driver.observe(endless)).unit;
  there.crash();
  expect((await driver.observe(endless)).unit).toMatchObject({ state: 'failed', pid: 0, result: 'signal' });
  there.reboot();
  const second = (await driver.observe(endless)).unit;
  expect(second.state).toBe('active');
  expect(second.pid).not.toBe(first.pid);
});

test('every call is recorded with its token', async () => {
  const world = new InMemoryServers();
  await world.driver(server).stop({ startedAtMs: 7, step: 2 }, endless);
  expect(world.calls).toEqual([{ server: 'green-1', method: 'stop', token: '000000000000007-000002' }]);
});
