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

test('provision prints what the configuration has to say, and leaves everything else in it as people wrote it', async () => {
  const folder = await aBareLoadBalancer(
    `# the world comes in here
frontends: [70001]
refreshDeadline: 7m # the zones are slow
farms: {}
mixed: {}
also:
  - protocol: tcp
    frontends: [70002]
    port: 9090
    mixed: {}`,
  );
  const text = await folder.read('verdigris.yaml');
  await folder.write(
    'verdigris.yaml',
    text.replace(/api: \{/, 'api: { consumerKey: secret:ovh-consumer-key, '),
  );
  const { api } = folder;
  const frontends = `/ipLoadbalancing/${api.serviceName}/tcp/frontend`;
  await api.admin.editAsSomebodyElse('POST', frontends, { port: '90', zone: 'all' });
  await api.admin.refreshAsSomebodyElse();

  const applied = await folder.run('provision --apply');
  expect(applied).toMatchObject({ exitCode: 0, stderr: '' });
  expect(applied.stdout).toContain(`In ${folder.file('verdigris.yaml')} (--write puts it there):`);
  const section = sectionIn(applied.stdout);
  expect(section).toContain('refreshDeadline: 7m # the zones are slow');
  expect(section).toContain('  # the world comes in here\n');
  expect(section).toContain('consumerKey: secret:ovh-consumer-key');
  expect(section).not.toContain('publicAddress');
  expect((await configuredWith(folder, section)).loadBalancer).toMatchObject({
    farms: { blue: 80_001, green: 80_002 },
    mixed: { farm: 80_003 },
    also: [{ protocol: 'tcp', frontends: [70_002], farms: { blue: 80_004, green: 80_005 } }],
    refreshDeadlineMs: 420_000,
  });

  const written = await folder.run('provision --apply --write');
  expect(written.stdout).toMatch(/Nothing was created\.\nWritten into \S+verdigris\.yaml\.$/m);
  expect(await folder.read('verdigris.yaml')).toContain(section.trimEnd());
  expect((await folder.run('provision --apply')).stdout).toContain(
    'The configuration names all of it already.',
  );
});

/** The folder's service with an OVHcloud Load Balancer in two regions, and with a server for each in both. */
async function aFolderWithRegions(): Promise<{
  readonly folder: OvhFolder;
  readonly names: readonly string[];
}> {
  const folder = await aBareLoadBalancer();
  const { api } = folder;
  const second = api.admin.addLoadBalancer(new SilentDataPlane());
  const path = `/ipLoadbalancing/${second}/http/frontend`;
  await api.admin.editAsSomebodyElse('POST', path, { port: '80', zone: 'all' });
  await api.admin.refreshAsSomebodyElse(second);
  const names = [api.serviceName, second];
  const regions = ['gra', 'sbg'].map(
    (name, index) => `  - name: ${name}
    loadBalancer: { driver: ovh-iplb, serviceName: ${names[index]}, frontends: [70001], api: { endpoint: "${api.url}" } }
    publicAddress: { url: http://203.0.113.1, identify: { header: X-Greeter-Version } }
    servers: [blue-${index + 1}, green-${index + 1}]
`,
  );
  const rest = (await folder.read('verdigris.yaml')).replace(
    /(loadBalancer|publicAddress):.*\n( .*\n)*/g,
    '',
  );
  await folder.write('verdigris.yaml', `${rest}regions:\n${regions.join('')}`);
  return { folder, names };
}

const frontendsOf = async ({ api }: OvhFolder, name = '') =>
  (await api.admin.editAsSomebodyElse('GET', `/ipLoadbalancing/${name}/http/frontend`)) as readonly number[];

test('provision does every load balancer of several, in order, each with the servers that it sends traffic to', async () => {
  const { folder, names } = await aFolderWithRegions();
  const plan = await folder.run('provision --plan');
  expect(plan.exitCode).toBe(0);
  expect(plan.stdout).toMatch(
    /^gra:\n5 objects to create on \S+, published with one refresh:\n[^]*\nsbg:\n5 objects/,
  );
  expect(plan.stdout).toContain('create server green-2 in it: 10.0.0.22:8081');
  const applied = await folder.run('provision --apply --write --json');
  expect(JSON.parse(applied.stdout)).toMatchObject({
    regions: [
      { name: 'gra', farms: { blue: 80_001, green: 80_002 }, stagingFrontend: 70_002 },
      { name: 'sbg', farms: { blue: expect.any(Number) as number } },
    ],
  });
  expect(await frontendsOf(folder, names[1])).toHaveLength(2);
  const service = await configuredWith(folder, '');
  expect(service.regions?.map(({ loadBalancer }) => loadBalancer)).toMatchObject([
    { serviceName: names[0], farms: { blue: 80_001 }, stagingFrontend: 70_002 },
    { serviceName: names[1], farms: { blue: expect.any(Number) as number } },
  ]);
  expect((await folder.run('provision --apply')).stdout).toContain(
    'The configuration names all of it already.',
  );
});

test('provision tells where it stopped when one of several load balancers fails, and goes on when it is called again', async () => {
  const { folder, names } = await aFolderWithRegions();
  const farms = `/ipLoadbalancing/${names[1]}/http/farm`;
  folder.api.faults.add({ method: 'POST', path: farms, times: 1, action: '460' });
  const failed = await folder.run('provision --apply');
  expect(failed.exitCode).toBe(2);
  expect(failed.stderr).toMatch(/^sbg: Cannot provision "\S+": /);
  expect(failed.stderr).toContain('\n  provisioned before: gra; not begun: none\n');
  expect(failed.stderr.trimEnd()).toMatch(/verdigris ovh provision --apply$/);
  expect([await frontendsOf(folder, names[0]), await frontendsOf(folder, names[1])]).toMatchObject([
    { length: 2 },
    { length: 1 },
  ]);
  const again = await folder.run('provision --apply');
  expect(again).toMatchObject({ exitCode: 0, stderr: '' });
  expect(again.stdout).toContain('gra: Nothing was created.');
  expect(await frontendsOf(folder, names[1])).toHaveLength(2);
});

test('provision names every right that is missing before it creates anything, and rules has them for every region', async () => {
  const { folder, names } = await aFolderWithRegions();
  const all = JSON.parse((await folder.runWith('rules --for provision --json')).stdout) as {
    readonly method: string;
    readonly path: string;
  }[];
  const { account } = folder.api.admin;
  const application = account.application(folder.api.credentials.applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const rules = all.filter(({ method, path }) => method === 'GET' || path.endsWith('/http/farm'));
  const { consumerKey } = account.addCredential(application, { rules, state: 'validated' });
  await folder.secret('consumer-key', consumerKey);
  const refused = await folder.run('provision --apply');
  expect(refused.exitCode).toBe(2);
  for (const name of names)
    for (const list of ['http/farm/*/server', 'http/frontend', 'refresh'])
      expect(refused.stderr).toContain(`\n  POST /ipLoadbalancing/${name}/${list}\n`);
  expect(refused.stderr).toContain('verdigris ovh login --for provision');
  expect(folder.api.journal.calls('POST', '/http/farm')).toEqual([]);

  const whole = account.addCredential(application, { rules: all, state: 'validated' });
  await folder.secret('consumer-key', whole.consumerKey);
  expect(await folder.run('provision --apply')).toMatchObject({ exitCode: 0, stderr: '' });
});

test('provision creates nothing anywhere while any of several load balancers is not as it must be, and says all of it', async () => {
  const { folder, names } = await aFolderWithRegions();
  await folder.api.admin.editAsSomebodyElse('PUT', `/ipLoadbalancing/${names[1]}/http/frontend/70001`, {
    displayName: 'x',
  });
  const held = await folder.run('provision --apply');
  expect(held.exitCode).toBe(2);
  expect(held.stderr).toContain(`Cannot provision "${names[1]}": edits are stored and not published`);
  const text = await folder.read('verdigris.yaml');
  await folder.write('verdigris.yaml', text.replaceAll('frontends: [70001]', 'frontends: [1]'));
  const refused = await folder.run('provision --apply');
  expect(refused.exitCode).toBe(2);
  expect(refused.stdout.match(/there is no http frontend 1, needs to be there/g)).toHaveLength(2);
  await folder.write('verdigris.yaml', text.replace(names[1] ?? '', 'loadbalancer-0'));
  const unseen = await folder.run('provision --apply');
  expect(unseen.stderr).toMatch(/^sbg: Cannot provision "loadbalancer-0": [^]*Nothing was created anywhere/);
  expect(await frontendsOf(folder, names[0])).toHaveLength(1);
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

test('discover fills in what the configuration does not name yet, and leaves everything else as people wrote it', async () => {
  const folder = await aBareLoadBalancer(
    'frontends: [70001]\nrefreshDeadline: 7m # slow\nmixed: {}\nfallback: old-environment',
  );
  const { api } = folder;
  await folder.run('provision --apply');
  const { stdout } = await folder.run('discover');
  expect(stdout).toContain(`# in ${folder.file('verdigris.yaml')}:`);
  const section = sectionIn(stdout);
  expect(section).toContain('refreshDeadline: 7m # slow');
  // Nobody is live: which frontend is for what cannot be told, but farms and their servers can, backups or not.
  const edited = `/ipLoadbalancing/${api.serviceName}/http/frontend/70001`;
  await api.admin.editAsSomebodyElse('PUT', edited, { defaultFarmId: 80_001 });
  const service = await configuredWith(folder, sectionIn((await folder.run('discover')).stdout));
  expect(service.loadBalancer).toMatchObject({
    farms: { blue: 80_001, green: 80_002 },
    stagingFrontend: 70_002,
    mixed: { farm: 80_003, stagingFrontend: 70_003 },
    fallback: 'old-environment',
  });
  await folder.run('provision --apply --write --publish-staged');
  expect((await folder.run('discover')).stdout).toContain('# the configuration names all of it already');
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
  ['provision --staging-port nonsense', /Needs a whole number, 1 to 49151/],
  ['provision --share 100', /Needs a whole number, 1 to 99/],
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
  expect((await folder.run('provision --plan')).stdout).toMatch(
    /^Everything is there on \S+: nothing to create\.$/,
  );
});

test('provision creates on a Public Cloud Load Balancer what a deployment wants, with the rules that login asks for', async () => {
  const folder = await anOvhFolder(() => 'frontends: [70001]', { behaviour: { updatingMs: 0 } });
  const { publicCloud, admin, credentials, url } = folder.api;
  const balancer = publicCloud.add(new SilentDataPlane());
  const { project, region } = publicCloud;
  const made = (await admin.editAsSomebodyElse(
    'POST',
    `/cloud/project/${project}/region/${region}/loadbalancing/listener`,
    { loadbalancerId: balancer.id, name: 'web', port: 80, protocol: 'http' },
  )) as { readonly id: string };
  await balancer.settled();
  const section = `loadBalancer:
  driver: ovh-public-cloud
  project: ${project}
  region: ${region}
  id: ${balancer.id}
  listeners: [${made.id}]
  mixed: { weights: set }
  updateDeadline: 4m # it is slow
  api: { endpoint: "${url}" }
`;
  const text = await folder.read('verdigris.yaml');
  await folder.write('verdigris.yaml', text.replace(/loadBalancer:\n( .*\n)+/, section));
  const rules = JSON.parse((await folder.runWith('rules --for provision --json')).stdout) as {
    readonly method: string;
    readonly path: string;
  }[];
  const application = admin.account.application(credentials.applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const { consumerKey } = admin.account.addCredential(application, { rules, state: 'validated' });
  await folder.secret('consumer-key', consumerKey);

  const plan = await folder.run('provision --plan');
  expect(plan).toMatchObject({ exitCode: 0, stderr: '' });
  expect(plan.stdout).toMatch(/^10 changes of \S+, applied one after the other:\n/);
  expect(plan.stdout).toContain('create pool "verdigris:greeter@production:blue" for blue: http, roundRobin');
  expect(plan.stdout).toContain(`note: listener ${made.id} points at neither environment`);
  const applied = await folder.run('provision --apply --write');
  expect(applied).toMatchObject({ exitCode: 0, stderr: '' });
  expect(await folder.read('verdigris.yaml')).toContain('updateDeadline: 4m # it is slow');
  const [written = ''] = /loadBalancer:\n( .*\n)+/.exec(await folder.read('verdigris.yaml')) ?? [];
  const service = await configuredWith(folder, written);
  expect(publicCloudPartsOf(service)).toMatchObject({ listeners: [made.id] });
  expect(service.loadBalancer).toMatchObject({
    mixed: { pools: [expect.any(String) as string], weights: 'set' },
  });
  expect((await folder.run('provision --apply')).stdout).toContain(
    'The configuration names all of it already.',
  );
});

test('provision does not make up what it cannot create', async () => {
  const folder = await anOvhFolder(() => 'frontends: [70001]');
  const text = await folder.read('verdigris.yaml');
  const section = `loadBalancer:
  driver: ovh-public-cloud
  project: ${'0'.repeat(32)}
  region: GRA11
`;
  await folder.write('verdigris.yaml', text.replace(/loadBalancer:\n( .*\n)+/, section));
  const { exitCode, stderr } = await folder.runWith('provision --plan');
  expect(exitCode).toBe(2);
  expect(stderr).toContain('loadBalancer.id: is missing, needs the id of a load balancer');
  expect(stderr).toContain('loadBalancer.listeners: is missing, needs a list of listener ids');
});

function publicCloudPartsOf({ loadBalancer }: ReturnType<typeof readService>) {
  if (loadBalancer.driver !== 'ovh-public-cloud') throw new TypeError('it is another one');
  const { listeners, stagingListener, pools } = loadBalancer;
  return { listeners, stagingListener, pools };
}
