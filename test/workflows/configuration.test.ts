import { describe, expect } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { SecretName } from '../../domain/names.js';
import type { Service } from '../../domain/service.js';
import { test, type World } from '../support/world.js';

const nothing = { all: {}, blue: {}, green: {}, servers: {} };
const conf = {
  path: 'etc/shop.conf',
  text: 'greeting = {{greeting}} from {{server}}\npassword = {{password}}\nstate = {{shared}}/data\n',
};
const configuration: Service['configuration'] = {
  files: [conf.path],
  shared: ['data'],
  values: {
    ...nothing,
    all: { greeting: 'Hello', password: { secret: SecretName('database') } },
    servers: { 'green-2': { greeting: 'Hi' } },
  },
  limits: nothing,
};

/** A world with two releases that have a file of configuration. */
async function configured(
  aWorld: (changes?: Partial<Service>) => Promise<World>,
  changes: Partial<Service> = {},
): Promise<World> {
  const world = await aWorld({ configuration, ...changes });
  world.secrets.set('database', 'open sesame');
  for (const name of ['v2', 'v3']) world.release(name, { kind: 'answers' }, undefined, [conf]);
  return world;
}

const textOn = (world: World, server: string): string | undefined =>
  world.server(server).file(conf.path)?.content.reveal();

describe.concurrent('the configuration of a release', () => {
  test('is filled in for each server, with values and secrets, and told in the plan without them', async ({
    aWorld,
  }) => {
    const world = await configured(aWorld);
    const handle = await world.start('v2');
    const { plan } = await world.untilStage('approve');

    expect(plan?.settings).toEqual([
      'fills in etc/shop.conf',
      'password = secret:database',
      'keeps shared/data',
    ]);
    expect(plan?.servers?.map(({ settings }) => settings)).toEqual([
      ['greeting = "Hello"'],
      ['greeting = "Hi"'],
    ]);
    expect(textOn(world, 'green-1')).toBe(
      'greeting = Hello from green-1\npassword = open sesame\nstate = /srv/shop/shared/data\n',
    );
    expect(textOn(world, 'green-2')).toContain('greeting = Hi from green-2');
    expect(world.server('green-1').file(conf.path)?.private).toBe(true);
    expect([...world.server('green-1').shared]).toEqual(['data']);

    await world.send('approve');
    expect(await handle.result()).toMatchObject({ kind: 'promoted' });
    expect(JSON.stringify(await handle.fetchHistory())).not.toMatch(/open sesame|b3BlbiBzZXNhbWU/);
  });

  test('makes another release of the same artifact when a secret has changed, and does not tell it', async ({
    aWorld,
  }) => {
    const world = await configured(aWorld);
    const idWith = async (secret: string) => {
      world.secrets.set('database', secret);
      const handle = await world.start('v2');
      const { release } = await world.untilStage('approve');
      await world.send('reject');
      await handle.result();
      return release!.id;
    };
    const [first, same, other] = [await idWith('one'), await idWith('one'), await idWith('two')];
    expect(same).toBe(first);
    expect(other).not.toBe(first);
    expect(other.split('-')[0]).toBe(first.split('-')[0]);
  });

  test('is gone back to with the release that it belongs to', async ({ aWorld }) => {
    const world = await configured(aWorld, { verify: { ...quickVerify, minimumMs: 100 } });
    for (const name of ['green-1', 'green-2'])
      world.server(name).serveRelease('0123456789ab-01234567' as never, old);
    const before = textOn(world, 'green-1');
    const handle = await world.start('v2');
    await world.untilStage('approve');
    expect(textOn(world, 'green-1')).toContain('open sesame');
    await world.send('reject');
    await handle.result();
    expect(textOn(world, 'green-1')).toBe(before);
    expect(world.server('green-1').facts().installedReleases).toEqual(['0123456789ab-01234567']);
  });

  test('that changed between plan and installation is not installed', async ({ aWorld }) => {
    const world = await configured(aWorld);
    world.server('green-1').delay('observe', 100);
    world.artifacts.onEnsure = (times) => {
      if (times === 2) world.secrets.set('database', 'changed meanwhile');
    };
    const outcome = (await (await world.start('v2')).result()) as Outcome;
    expect(outcome).toMatchObject({
      kind: 'rolled back',
      during: 'install',
      because: {
        failure: 'PlanDrifted',
        message: expect.stringContaining('a secret of the configuration was changed'),
      },
    });
    expect(world.server('green-1').facts().installedReleases).toEqual([]);
  });
});

describe.concurrent('a configuration that makes no sense is refused before anything is changed', () => {
  test('an unknown name, with file, line and what is available', async ({ aWorld }) => {
    const world = await configured(aWorld);
    world.release('v2', { kind: 'answers' }, undefined, [
      { ...conf, text: 'a = 1\ngreeting = {{greting}}\n' },
    ]);
    const outcome = await (await world.start('v2')).result();
    expect(outcome).toMatchObject({
      kind: 'refused',
      complaints: [
        {
          failure: 'TemplateRefused',
          message: expect.stringMatching(
            /\n {2}etc\/shop.conf:2: "\{\{greting\}\}" is unknown, .*\{\{greeting\}\} \{\{password\}\}$/,
          ),
        },
      ],
    });
    expect(world.server('green-1').journal).toEqual([]);
  });

  test('a secret that this service may not have', async ({ aWorld }) => {
    const world = await configured(aWorld);
    world.secrets.delete('database');
    expect(await (await world.start('v2')).result()).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'SecretRefused' }],
    });
  });

  test('a file that the artifact does not have', async ({ aWorld }) => {
    const world = await configured(aWorld);
    expect(await (await world.start('v1')).result()).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'ArchiveIncomplete', message: expect.stringContaining('etc/shop.conf') }],
    });
  });

  test('an idle server without room', async ({ aWorld }) => {
    const world = await configured(aWorld);
    world.server('green-2').freeInodes = 3;
    expect(await (await world.start('v2')).result()).toMatchObject({
      kind: 'refused',
      complaints: [{ failure: 'DiskFull', message: expect.stringMatching(/"green-2".*3 inodes are free/) }],
    });
  });
});

const old = { executable: 'f'.repeat(64) as never, behaviour: { kind: 'answers' }, identity: 'old' } as const;
const quickVerify = { passes: 2, everyMs: 50, deadlineMs: 3_000, loadBalancerDeadlineMs: 3_000 } as const;
