import { describe, expect } from 'vitest';
import { Failure } from '../../domain/failures.js';
import { readHistory, storedNames } from '../histories/stored-history.js';
import { fleetOf, historySizeOf, stepsOf, type StoredStep } from '../support/history-size.js';
import { test, type World } from '../support/world.js';

/** A history ends here, whatever its run is at. */
const ends = { history: 50 * 1024 * 1024, events: 51_200 } as const;

describe('what a deployment leaves in Temporal', () => {
  test('grows with its servers and no faster: 200 and 200 stay far from where a history ends', async ({
    aWorld,
  }) => {
    const [few, many] = [10, 40];
    const small = await promoted(await aWorld(fleetOf(few)));
    const large = await promoted(await aWorld(fleetOf(many)));

    for (const measure of ['history', 'events'] as const) {
      expect(large[measure] / many, measure).toBeLessThan(1.5 * (small[measure] / few));
      const perServer = (large[measure] - small[measure]) / (many - few);
      expect(large[measure] + (200 - many) * perServer, measure).toBeLessThan(ends[measure] / 4);
    }
    expect(large.writtenMemos, 'moves are written, not servers').toBe(small.writtenMemos);
    // Where it would be servers times servers, a few servers do not show it yet.
    const longer = stepsTakenMoreOften(small.steps, large.steps).filter(
      (of) => longest(large.steps, of) > 1.1 * longest(small.steps, of),
    );
    expect(longer).toEqual([]);
  });

  test('does not grow with servers times servers when all of them are away for a moment', async ({
    aWorld,
  }) => {
    const world = await aWorld(fleetOf(40));
    for (const { name } of world.service.environments.green) {
      world
        .server(name)
        .failNext(
          'install',
          new Failure('ServerUnreachable', `Cannot reach "${name}": it refuses connections`),
        );
    }
    const handle = await world.start('v2');
    const { servers } = await world.untilStage('activate', 'verify', 'approve');

    expect(servers.filter(({ state }) => state === 'unreachable')).toEqual([]);
    const { writtenMemos } = await historySizeOf(handle);
    expect(writtenMemos).toBeGreaterThan(20);
    expect(writtenMemos).toBeLessThan(35);
  });
});

/** Runs of every type there is. */
test.for(storedNames())('every step names the service and does not hold it: %s', (name) => {
  const inputs = readHistory(name).events.flatMap(({ activityTaskScheduledEventAttributes: scheduled }) => {
    const { payloads = [] } = (scheduled as Scheduled | undefined)?.input ?? {};
    return payloads.map(({ data }) => JSON.parse(Buffer.from(data, 'base64').toString('utf8')) as object);
  });
  const services = inputs.flatMap((input) => ('service' in input ? [input.service] : []));
  expect(services.filter((service) => !/^shop-\w+@test$/.test(String(service)))).toEqual([]);
  expect(inputs.length, 'steps were read at all').toBeGreaterThan(0);
});

interface Scheduled {
  readonly input?: { readonly payloads?: readonly { readonly data: string }[] };
}

async function promoted(world: World) {
  expect(await world.deploy('v2')).toMatchObject({ kind: 'promoted' });
  const handle = world.handle();
  return { ...(await historySizeOf(handle)), steps: await stepsOf(handle) };
}

const timesTaken = (steps: readonly StoredStep[], name: string): number =>
  steps.filter(({ of }) => of === name).length;

const stepsTakenMoreOften = (few: readonly StoredStep[], many: readonly StoredStep[]): readonly string[] =>
  [...new Set(many.map(({ of }) => of))].filter((of) => timesTaken(many, of) > timesTaken(few, of));

const longest = (steps: readonly StoredStep[], name: string): number =>
  Math.max(
    0,
    ...steps.filter(({ of }) => of === name).map(({ input, result }) => input.length + result.length),
  );
