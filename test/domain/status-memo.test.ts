import { describe, expect, test } from 'vitest';
import type { Status } from '../../domain/deployment.js';
import { DeploymentId, ServerName } from '../../domain/names.js';
import { memoOf, statusFrom } from '../../domain/status-memo.js';
import { emptyTally } from '../../domain/traffic.js';

const id = DeploymentId('01234567-89ab-cdef-0123-456789abcdef');

const listed = (size: number): Status['servers'] =>
  (['blue', 'green'] as const).flatMap((color) =>
    Array.from({ length: size }, (_, index) => ({
      server: ServerName(`${color}-${index + 1}`),
      color,
      state: color === 'blue' ? 'active' : 'verified',
      detail: color === 'blue' ? 'a foreign release' : 'e3b0c44298fc-1c149afb',
    })),
  );

const planFor = (size: number) => {
  const names = listed(size).map(({ server }) => server);
  return {
    hash: 'a'.repeat(64),
    warnings: ['it is Friday'],
    servers: names.slice(size).map((server) => ({ server, restores: 'nothing', settings: [] })),
    objects: Object.fromEntries(names.map((name) => [`http/farm/77212/server/${name}`, 'b'.repeat(64)])),
    liveRuns: Object.fromEntries(names.slice(0, size).map((name) => [name, 'c'.repeat(64)])),
  } as unknown as NonNullable<Status['plan']>;
};

const statusOf = (size: number): Status =>
  ({
    deployment: id,
    service: 'shop@test',
    stage: 'approve',
    servers: listed(size),
    notes: ['Approved by ann'],
    plan: planFor(size),
    evidence: {
      hash: 'd'.repeat(64),
      lines: listed(size).map(({ server }) => `${server} runs ${'e'.repeat(90)}`),
    },
    tally: emptyTally,
  }) as unknown as Status;

const readBack = (memo: Record<string, unknown>): unknown =>
  statusFrom(JSON.parse(JSON.stringify(memo)) as object, id);

describe('the memo of a run', () => {
  test.for([1, 2, 20])('tells all of a status with %i servers in each environment', (size) => {
    expect(readBack(memoOf(statusOf(size)))).toEqual(statusOf(size));
  });

  test('tells servers one by one whatever each is at', () => {
    const status = statusOf(3);
    const servers = status.servers.map((one, index) => ({
      ...one,
      state: index % 2 ? 'active' : 'installing',
    }));
    expect(readBack(memoOf({ ...status, servers }))).toMatchObject({ servers });
  });

  test('of a large fleet tells all that people read of it, within what every visibility store takes', () => {
    const status = statusOf(200);
    const { servers: _servers, objects: _objects, liveRuns: _liveRuns, ...plan } = status.plan!;
    expect(readBack(memoOf(status))).toEqual({ ...status, plan });
    expect(JSON.stringify(memoOf(status)).length).toBeLessThan(64 * 1024);
  });

  test('is written in part: what has not changed since stays as it is', () => {
    const before = statusOf(2);
    const after = { ...before, stage: 'switch', notes: [...before.notes, 'more'] } as const;
    const memo = memoOf(after, before);
    expect(Object.keys(memo).toSorted()).toEqual(['notes', 'status']);
    expect(readBack({ ...memoOf(before), ...memo })).toEqual(after);
  });

  test('of somebody else tells nothing', () => {
    expect(statusFrom({}, id)).toBeUndefined();
  });
});
