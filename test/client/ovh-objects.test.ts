import { expect, test } from 'vitest';
import { readService } from '../../client/configuration/configuration.js';
import { describeRight, discoverRights, selfRights } from '../../ovh/rights.js';
import { anOvhFolder, type OvhFolder } from './support/ovh-folder.js';

/** A load balancer with nothing but a frontend of the world, which the configuration names. */
async function aBareLoadBalancer(): Promise<OvhFolder> {
  const folder = await anOvhFolder(() => 'frontends: [70001]');
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
