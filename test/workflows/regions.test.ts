import { randomUUID } from 'node:crypto';
import { describe } from 'vitest';
import type { Outcome } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import { ServerName } from '../../domain/names.js';
import type { Region } from '../../domain/service.js';
import { turnsOf } from '../../domain/turns.js';
import { untilItWaitsForItsTurn } from '../support/turns.js';
import { test } from '../support/world.js';

/** Regions of worlds that share their load balancers, in an order of their own. */
function regionsIn(order: readonly string[], shared = randomUUID().slice(0, 8)): readonly Region[] {
  return order.map((name) => ({
    name,
    loadBalancer: { driver: 'in-memory', world: `${name}-${shared}` },
    publicAddress: {
      url: `http://${name}.example.com`,
      identify: { path: '/version', header: 'x-version' },
    },
    servers: ['blue-1', 'blue-2', 'green-1', 'green-2'].map((server) => ServerName(server)),
  }));
}

describe.concurrent('a service with a load balancer in each region', () => {
  test('is moved in all of them, proved at each address, and says how long visitors met both environments', async ({
    aWorld,
    expect,
  }) => {
    const world = await aWorld({ regions: regionsIn(['gra', 'sbg']) });
    const outcome = await world.deploy('v2');
    expect(outcome).toMatchObject({
      kind: 'promoted',
      notes: expect.arrayContaining([
        expect.stringMatching(
          /^Its load balancers were moved one after the other \(gra in .* s, sbg in .* s\)/,
        ),
      ]),
    });
    expect(['gra', 'sbg'].map((name) => world.region(name).split.green)).toEqual([100, 100]);
    expect(world.publicAddress.asked).toEqual(new Set(['http://gra.example.com', 'http://sbg.example.com']));
  });

  test('has its traffic back everywhere when one region cannot be moved', async ({ aWorld, expect }) => {
    const world = await aWorld({ regions: regionsIn(['gra', 'sbg']) });
    const handle = await world.start('v2');
    await world.untilStage('approve');
    for (let attempt = 0; attempt < 4; attempt++) {
      world.region('sbg').failNext(new Failure('CredentialRefused', 'Cannot store: not granted'), {
        operation: 'store',
      });
    }
    await world.send('approve');
    const outcome = (await handle.result()) as Outcome;
    expect(outcome).toMatchObject({
      kind: 'rolled back',
      during: 'switch',
      live: 'blue',
      because: { message: expect.stringMatching(/at the load balancer "sbg"\n {2}gra was sent back/) },
    });
    expect(['gra', 'sbg'].map((name) => world.region(name).split.blue)).toEqual([100, 100]);
  });

  test('waits for its turn at all of them in the order that everybody takes', async ({ aWorld, expect }) => {
    const shared = randomUUID().slice(0, 8);
    const first = await aWorld({ regions: regionsIn(['gra', 'sbg'], shared) });
    const second = await aWorld({ regions: regionsIn(['sbg', 'gra'], shared) });
    expect(turnsOf(second.service)).toEqual(turnsOf(first.service));
    const { held, release } = first.loadBalancer.hold();
    const handles = [await first.start('v2'), await second.start('v2')];
    for (const world of [first, second]) await world.untilStage('approve');
    await first.send('approve');
    await held;
    await second.send('approve');
    await untilItWaitsForItsTurn(second);
    release();
    for (const handle of handles) expect(await handle.result()).toMatchObject({ kind: 'promoted' });
  });
});
