import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../../../domain/secret.js';
import { allTo } from '../../../domain/split.js';
import { createOvhIplb } from '../../../drivers/load-balancers/ovh-iplb.js';
import { createOvhPublicCloud } from '../../../drivers/load-balancers/ovh-public-cloud.js';
import { knowingRights } from '../../../drivers/load-balancers/knowing-rights.js';
import { endless } from '../../../drivers/patience.js';
import type { LoadBalancerDriver, RouteChange } from '../../../drivers/load-balancers/driver.js';
import type { OvhClient } from '../../../ovh/api.js';
import { actionsOf, deployRights, describeRight, selfRights } from '../../../ovh/rights.js';
import type { AccessRule } from '../../../sandbox/ovh-api/access-rules.js';
import { anIplb, type IplbWorld } from './ovh-iplb-world.js';
import { aPublicCloud, type PublicCloudWorld } from './ovh-public-cloud-world.js';

type World = Pick<
  IplbWorld | PublicCloudWorld,
  'emulator' | 'members' | 'root' | 'servers' | 'api' | 'reset' | 'close'
> & { readonly settings: IplbWorld['settings'] | PublicCloudWorld['settings'] };

describe.each<readonly [string, () => Promise<World>]>([
  ['an OVHcloud Load Balancer', () => anIplb()],
  ['a Public Cloud Load Balancer', () => aPublicCloud()],
])('%s', (_product, aWorld) => {
  let world: World;

  beforeAll(async () => {
    world = await aWorld();
  });
  afterEach(() => world.reset());
  afterAll(() => world.close());

  const toGreen: RouteChange = { to: allTo('green'), expected: undefined, purpose: 'forward', leaveOut: [] };

  function clientWith(rules: readonly AccessRule[], expiresAt?: number): OvhClient {
    const { applicationKey, applicationSecret } = world.emulator.credentials;
    const { account } = world.emulator.admin;
    const application = account.application(applicationKey);
    if (!application) throw new Error('the emulator has lost its application');
    const credential = account.addCredential(application, { rules, state: 'validated' });
    if (expiresAt !== undefined) credential.expiresAt = expiresAt;
    const { consumerKey } = credential;
    return world.api({
      keys: {
        applicationKey: new Secret(applicationKey),
        applicationSecret: new Secret(applicationSecret),
        consumerKey: new Secret(consumerKey),
      },
    });
  }

  function driverWith(api: OvhClient, settings: World['settings'] = world.settings): LoadBalancerDriver {
    const servers = world.members;
    const driver =
      settings.driver === 'ovh-iplb'
        ? createOvhIplb({ api, settings, servers })
        : createOvhPublicCloud({ api, settings, servers });
    return knowingRights(driver, api, settings);
  }

  function asAccount(actions: readonly string[]): LoadBalancerDriver {
    const { clientId, clientSecret } = world.emulator.admin.account.addServiceAccount(actions);
    const client = world.api({
      keys: { clientId: new Secret(clientId), clientSecret: new Secret(clientSecret) },
    });
    const reference = world.settings.api;
    const key = 'consumerKey' in reference ? reference.consumerKey : reference.clientId;
    const api = { endpoint: world.emulator.url, clientId: key, clientSecret: key };
    return driverWith(client, { ...world.settings, api });
  }

  const needed = () => deployRights(world.settings);

  describe('a consumer key', () => {
    test('with exactly the rules of a deployment can do all of it, and lacks nothing', async () => {
      const driver = driverWith(clientWith([...selfRights, ...needed()]));
      world.emulator.journal.clear();
      expect((await driver.observe(endless)).lacking).toBeUndefined();
      await driver.route({ ...toGreen, leaveOut: [world.servers.green[0]!] }, endless);
      await driver.route({ ...toGreen, to: allTo('blue'), purpose: 'rollback' }, endless);
      expect(world.emulator.journal.entries.filter(({ status }) => status === 403)).toEqual([]);
    });

    test('with one rule missing is told exactly that one, whichever it is', async () => {
      for (const missing of needed()) {
        const others = needed().filter((right) => describeRight(right) !== describeRight(missing));
        const driver = driverWith(clientWith([...selfRights, ...others]));
        const told = await driver.observe(endless).then(
          ({ lacking = [] }) => lacking.map((rule) => `  ${rule}`),
          ({ message }: Error) => message.split('\n').filter((line) => / (GET|PUT|POST) /.test(line)),
        );
        // Where reads need it, observing fails; its error names it as well.
        expect(told, describeRight(missing)).toEqual([`  ${describeRight(missing)}`]);
      }
    });

    test('is told all that it lacks at once, also where the first call is refused', async () => {
      const reads = needed().filter(({ method }) => method === 'GET');
      const few = driverWith(clientWith([...selfRights, ...reads]));
      expect((await few.observe(endless)).lacking).toHaveLength(needed().length - reads.length);

      const none = driverWith(clientWith(selfRights));
      await expect(none.observe(endless)).rejects.toMatchObject({
        failure: 'CredentialRefused',
        message: expect.stringMatching(
          new RegExp(`^Cannot read .* the consumer key may not .* these ${needed().length} access rules\n`),
        ),
      });
      await expect(none.observe(endless)).rejects.toThrow(/\n {2}make .*: verdigris ovh login$/);
    });

    test('that may ask nothing about itself is judged by its calls alone', async () => {
      const driver = driverWith(clientWith(needed()));
      expect((await driver.observe(endless)).lacking).toBeUndefined();
      const blind = driverWith(clientWith([]));
      await expect(blind.observe(endless)).rejects.toThrow(/may not GET .*, needs this access rule/);
    });

    test('covered by wider rules lacks nothing', async () => {
      const wide = ['GET', 'PUT', 'POST'].flatMap((method) => [
        { method, path: '/auth/*' },
        { method, path: `${world.root}*` },
      ]);
      expect((await driverWith(clientWith(wide)).observe(endless)).lacking).toBeUndefined();
    });

    test('that ends is told with its end, also while it is not asked about again', async () => {
      const client = clientWith([...selfRights, ...needed()]);
      expect((await driverWith(client).observe(endless)).credentialEnds).toBeUndefined();
      const expiresAt = Date.now() + 3_600_000;
      const ending = clientWith([...selfRights, ...needed()], expiresAt);
      for (const _look of ['asked', 'remembered']) {
        const { credentialEnds } = await driverWith(ending).observe(endless);
        expect(credentialEnds?.inMs).toBeGreaterThan(3_500_000);
        expect(Math.abs((credentialEnds?.atMs ?? 0) - expiresAt)).toBeLessThan(2_000);
      }
    });

    test('that lacked nothing is asked about again only after a while', async () => {
      const client = clientWith([...selfRights, ...needed()]);
      world.emulator.journal.clear();
      await driverWith(client).observe(endless);
      await driverWith(client).observe(endless);
      expect(world.emulator.journal.calls('GET', '/auth/currentCredential')).toHaveLength(1);
    });
  });

  describe('a service account', () => {
    test('with exactly the actions of a deployment can do all of it', async () => {
      const driver = asAccount(actionsOf(needed()));
      expect((await driver.observe(endless)).lacking).toBeUndefined();
      await driver.route({ ...toGreen, leaveOut: [world.servers.green[0]!] }, endless);
      await driver.route({ ...toGreen, to: allTo('blue'), purpose: 'rollback' }, endless);
    });

    test('with one action missing is told exactly that one, whichever it is', async () => {
      for (const missing of actionsOf(needed())) {
        const driver = asAccount(actionsOf(needed()).filter((action) => action !== missing));
        const told = await driver.observe(endless).then(
          ({ lacking = [] }) => lacking.map((action) => `  ${action}`),
          ({ message }: Error) => message.split('\n').filter((line) => /^ {2}\w+:apiovh:/.test(line)),
        );
        expect(told).toEqual([`  ${missing}`]);
      }
    });
  });
});
