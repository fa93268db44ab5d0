import { expect, test } from 'vitest';
import { readService } from '../../client/configuration/configuration.js';
import { describeRight, discoverRights, publicCloudDiscoverRights, selfRights } from '../../ovh/rights.js';
import { setUpPublicCloud } from '../../sandbox/control-panel.js';
import { SilentDataPlane } from '../../sandbox/ovh-api/silent-data-plane.js';
import { anOvhFolder, type OvhFolder } from './support/ovh-folder.js';

/** A load balancer with nothing but a frontend of the world, which the configuration names. */
async function aBareLoadBalancer(named = 'frontends: [70001]'): Promise<OvhFolder> {
  const folder = await anOvhFolder(() => named);
  await folder.secret('consumer-key', folder.api.credentials.consumerKey);
  const frontends = `/ipLoadbalancing/${folder.api.serviceName}/http/frontend`;
  const made = await folder.api.admin.editAsSomebodyElse('POST', frontends, { port: '80', zone: 'all' });
  expect(made).toMatchObject({ frontendId: 70_001 });
  await folder.api.admin.refreshAsSomebodyElse();
  return folder;
}

/** What stands behind the command's other words: the section for verdigris.yaml. */
const sectionIn = (stdout: string): string => stdout.slice(stdout.indexOf('loadBalancer:'));

/** The folder's configuration with another section, and with what a proposal cannot know. */
async function configuredWith(folder: OvhFolder, section: string): Promise<ReturnType<typeof readService>> {
  const text = await folder.read('verdigris.yaml');
  const rest = text.replace(/loadBalancer:\n( .*\n)+/, '');
  await folder.write(
    'whole.yaml',
    rest.replaceAll(/ address:/g, ` hostKey: "SHA256:${'A'.repeat(43)}", address:`) + section,
  );
  return readService(folder.file('whole.yaml'));
}

test('provision shows what it would create, creates nothing, and then does', async () => {
  const folder = await aBareLoadBalancer();
  folder.api.journal.clear();
  const plan = await folder.run('provision --plan');
  expect(plan).toMatchObject({ exitCode: 0, stderr: '' });
  expect(plan.stdout).toMatch(/^7 objects to create on loadbalancer-\S+, published with one refresh:\n/);
  expect(plan.stdout).toContain(
    'create farm "verdigris:greeter@production:blue" for blue: port 8080, zone all, probed by GET /health = 200',
  );
  expect(plan.stdout).toContain('create server green-2 in it: 10.0.0.22:8081');
  expect(plan.stdout).toContain(
    'on port 8888, which references green so that it is probed, open to 127.0.0.1/32',
  );
  expect(plan.stdout).toContain('note: frontend 70001 points at neither environment');
  expect(folder.api.journal.entries.filter(({ method }) => method !== 'GET')).toEqual([]);

  const applied = await folder.run('provision --apply');
  expect(applied).toMatchObject({ exitCode: 0, stderr: '' });
  const service = await configuredWith(folder, sectionIn(applied.stdout));
  expect(service.loadBalancer).toMatchObject({
    frontends: [70_001],
    farms: { blue: 80_001, green: 80_002 },
    stagingFrontend: 70_002,
  });

  const again = await folder.run('provision --apply --json');
  expect(JSON.parse(again.stdout)).toMatchObject({ created: [], farms: { blue: 80_001, green: 80_002 } });
});

test('provision keeps what it does not create in what it prints, and says so', async () => {
  const also = 'also: [{ protocol: tcp, frontends: [7], stagingFrontend: 8, farms: { blue: 9, green: 10 } }]';
  const folder = await aBareLoadBalancer(`frontends: [70001]\n${also}`);
  expect((await folder.run('provision --plan')).stdout).toContain('nothing is created for loadBalancer.also');
  const applied = await folder.run('provision --apply');
  const section = sectionIn(applied.stdout);
  expect(section).toContain(`endpoint: ${folder.api.url}`);
  expect((await configuredWith(folder, section)).loadBalancer).toMatchObject({
    also: [{ protocol: 'tcp', frontends: [7], farms: { blue: 9, green: 10 } }],
  });
});

test('provision does not take the first of several load balancers for all of them', async () => {
  const folder = await aBareLoadBalancer();
  const text = await folder.read('verdigris.yaml');
  const region = (name: string, serviceName: string): string =>
    `  - name: ${name}
    loadBalancer: { driver: ovh-iplb, serviceName: ${serviceName}, frontends: [1], stagingFrontend: 2, farms: { blue: 3, green: 4 } }
    publicAddress: { url: http://203.0.113.1, identify: { header: X-Greeter-Version } }
`;
  const rest = text.replace(/(loadBalancer|publicAddress):.*\n( .*\n)*/g, '');
  await folder.write(
    'verdigris.yaml',
    `${rest}regions:\n${region('gra', 'loadbalancer-1')}${region('sbg', 'loadbalancer-2')}`,
  );
  const refused = await folder.run('provision --apply');
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain('the service has 2 regions, needs one load balancer');
});

test('discover shows what there is and proposes a section that can be used', async () => {
  const folder = await aBareLoadBalancer();
  const before = await folder.run('discover');
  expect(before.exitCode).toBe(0);
  expect(before.stdout).toMatch(/http\/frontend\/70001 +port 80 -> no farm/);
  expect(before.stdout).toContain('# farms.blue: none found');
  expect(before.stdout).toContain('# what is missing can be created: verdigris ovh provision --plan');

  await folder.run('provision --apply');
  const { api } = folder;
  await api.admin.editAsSomebodyElse('PUT', `/ipLoadbalancing/${api.serviceName}/http/frontend/70001`, {
    defaultFarmId: 80_001,
  });
  const { stdout } = await folder.run('discover');
  expect(stdout).toMatch(/http\/farm\/80001 +port 8080 "verdigris:greeter@production:blue"/);
  expect(stdout).toMatch(/server\/90001 +10\.0\.0\.11:8080 active/);
  const service = await configuredWith(folder, sectionIn(stdout));
  expect(service.loadBalancer).toMatchObject({
    serviceName: api.serviceName,
    frontends: [70_001],
    stagingFrontend: 70_002,
    farms: { blue: 80_001, green: 80_002 },
    api: { endpoint: api.url },
  });
});

test('discover with a key that may not look names every rule that is missing', async () => {
  const folder = await aBareLoadBalancer();
  const { account } = folder.api.admin;
  const application = account.application(folder.api.credentials.applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const isMissing = ({ path }: { readonly path: string }) => /\/(definedFarms|pendingChanges)$/.test(path);
  const rules = [...selfRights, ...discoverRights().filter((right) => !isMissing(right))];
  await folder.secret(
    'consumer-key',
    account.addCredential(application, { rules, state: 'validated' }).consumerKey,
  );
  const { exitCode, stderr } = await folder.run('discover');
  expect(exitCode).toBe(2);
  expect(stderr).toBe(
    [
      'Cannot look for load balancers: the consumer key may not do all of it, needs these 2 access rules',
      ...discoverRights().filter(isMissing).map(describeRight),
      'make a consumer key that has them: verdigris ovh login --for discover',
    ].join('\n  '),
  );
});

test('discover needs no more than the rules that login asks for', async () => {
  const folder = await aBareLoadBalancer();
  const { account } = folder.api.admin;
  const application = account.application(folder.api.credentials.applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const rules = [...selfRights, ...discoverRights()];
  await folder.secret(
    'consumer-key',
    account.addCredential(application, { rules, state: 'validated' }).consumerKey,
  );
  const { exitCode, stdout } = await folder.run('discover');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^loadbalancer-\S+: zones gra\n/);
});

test.each([
  ['provision --staging-port nonsense', /needs a whole number, 1 to 49151/],
  ['provision --plan --apply', /cannot be used with option/],
])('%s is refused', async (words, why) => {
  const folder = await aBareLoadBalancer();
  const { exitCode, stderr } = await folder.run(words);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(why);
});

/** A Public Cloud Load Balancer with a pool for each environment of the folder's configuration. */
async function aPublicCloudFolder(): Promise<OvhFolder> {
  const folder = await anOvhFolder(() => 'frontends: [70001]', { behaviour: { updatingMs: 0 } });
  await folder.secret('consumer-key', folder.api.credentials.consumerKey);
  const environments = {
    blue: [
      ['10.0.0.11', 8080],
      ['10.0.0.12', 8080],
    ],
    green: [
      ['10.0.0.21', 8080],
      ['10.0.0.22', 8081],
    ],
  } as const;
  const places = (['blue', 'green'] as const).flatMap((color) =>
    environments[color].map(([address, port], index) => ({
      name: `${color}-${index + 1}`,
      color,
      address,
      port,
      directory: '/srv/greeter',
      hostKey: '',
      ssh: { host: address, port: 22 },
    })),
  );
  await setUpPublicCloud(folder.api, new SilentDataPlane(), places);
  return folder;
}

test('discover finds Public Cloud Load Balancers in every region, and proposes a section that can be used', async () => {
  const folder = await aPublicCloudFolder();
  const { stdout, stderr, exitCode } = await folder.run('discover --driver ovh-public-cloud');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  const { project, region } = folder.api.publicCloud;
  expect(stdout).toMatch(
    /^[0-9a-f-]{36} "load balancer 1": active, 10\.0\.0\.5, project [0-9a-f]{32}, GRA11\n/,
  );
  expect(stdout).toMatch(/listener\/\S+ +port 80 -> pool \S+ "production"/);
  expect(stdout).toMatch(/member\/\S+ +10\.0\.0\.22:8081 weight 1/);
  const service = await configuredWith(folder, sectionIn(stdout));
  expect(service.loadBalancer).toMatchObject({ driver: 'ovh-public-cloud', project, region });

  const document = JSON.parse(
    (await folder.run('discover --driver ovh-public-cloud --json')).stdout,
  ) as readonly {
    readonly proposal: { readonly open: readonly string[] };
  }[];
  expect(document).toMatchObject([{ proposal: { open: [], ...publicCloudPartsOf(service) } }]);
});

test('discover of Public Cloud Load Balancers needs no more than the rules that login asks for', async () => {
  const folder = await aPublicCloudFolder();
  const { account } = folder.api.admin;
  const application = account.application(folder.api.credentials.applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const rules = [...selfRights, ...publicCloudDiscoverRights()];
  await folder.secret(
    'consumer-key',
    account.addCredential(application, { rules, state: 'validated' }).consumerKey,
  );
  expect(await folder.run('discover --driver ovh-public-cloud')).toMatchObject({ exitCode: 0 });
});

test('rules, policy and provision know a Public Cloud Load Balancer', async () => {
  const folder = await aPublicCloudFolder();
  const { stdout } = await folder.run('discover --driver ovh-public-cloud');
  const service = await configuredWith(folder, sectionIn(stdout));
  await folder.write('verdigris.yaml', await folder.read('whole.yaml'));
  const { listeners } = publicCloudPartsOf(service);
  const rules = await folder.runWith('rules');
  expect(rules.stdout).toContain(
    `PUT /cloud/project/${folder.api.publicCloud.project}/region/GRA11/loadbalancing/listener/${listeners[0]}\n`,
  );
  expect(rules.stdout).not.toContain('ipLoadbalancing');
  const policy = JSON.parse((await folder.runWith('rules --policy')).stdout) as object;
  expect(policy).toMatchObject({
    resources: [{ urn: `urn:v1:eu:resource:publicCloudProject:${folder.api.publicCloud.project}` }],
  });
  expect(JSON.stringify(policy)).toContain('publicCloudProject:apiovh:region/loadbalancing/listener/edit');
  expect(await folder.run('whoami')).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('It can do all that greeter@production needs.'),
  });
  const refused = await folder.run('provision --plan');
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain('the load balancer is ovh-public-cloud, needs ovh-iplb');
});

function publicCloudPartsOf({ loadBalancer }: ReturnType<typeof readService>) {
  if (loadBalancer.driver !== 'ovh-public-cloud') throw new TypeError('it is another one');
  const { listeners, stagingListener, pools } = loadBalancer;
  return { listeners, stagingListener, pools };
}
