import { expect, test } from 'vitest';
import { readService } from '../../client/configuration/configuration.js';
import { actionsOf, deployRights, describeRight, machineRights, selfRights } from '../../ovh/rights.js';
import { documentsOf } from './support/command-line.js';
import { anOvhFolder, answerAt, withIds, type OvhFolder } from './support/ovh-folder.js';

/** What the folder's configuration needs of a credential. */
const needed = (folder: OvhFolder) =>
  deployRights({
    serviceName: folder.api.serviceName,
    protocol: 'http',
    frontends: [1],
    stagingFrontend: 2,
    farms: { blue: 3, green: 4 },
  });

/** Runs a login, and answers its link as soon as it is printed. */
async function loggedIn(folder: OvhFolder, words = 'login', form = 'answer=validate&validity=3600') {
  let answer: Promise<number> | undefined;
  const finished = await folder.run(words, (text) => {
    const [url] = /https:\S+\/sandbox\/validate\?token=[0-9a-f]+/.exec(text) ?? [];
    if (url !== undefined) answer ??= answerAt(folder.api, url, form);
  });
  expect(await answer).toBe(200);
  return finished;
}

test('login brings a key with exactly the rules that are needed, for its owner only, and never shows it', async () => {
  const folder = await anOvhFolder(withIds);
  const journal = folder.file('calls');
  const { exitCode, stdout, stderr } = await loggedIn(folder, `login --journal ${journal}`);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  const key = (await folder.read('consumer-key')).trim();
  expect(await folder.mode('consumer-key')).toBe(0o600);
  const credential = folder.api.admin.account.credential(key);
  expect(credential?.state).toBe('validated');
  expect(credential?.rules.map(describeRight)).toEqual([...selfRights, ...needed(folder)].map(describeRight));
  for (const right of needed(folder)) expect(stdout).toContain(`  ${describeRight(right)}\n`);
  expect(stdout).toMatch(/Validated: the key is good until 20\S+, and stands in \S+consumer-key\.$/);
  expect(await folder.mode('calls')).toBe(0o600);
  for (const secret of [key, folder.api.credentials.applicationSecret]) {
    expect(stdout + (await folder.read('calls'))).not.toContain(secret);
  }
});

test('whoami tells whose key it is and that nothing lacks', async () => {
  const folder = await anOvhFolder(withIds);
  await loggedIn(folder);
  const { exitCode, stdout } = await folder.run('whoami');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/account +xx00000-ovh/);
  expect(stdout).toMatch(/endpoint +127\.0\.0\.1/);
  expect(stdout).toMatch(/expires +20\d\d-/);
  expect(stdout).toContain('It can do all that greeter@production needs.');
});

test('whoami names every rule that lacks, and ends with 2', async () => {
  const folder = await anOvhFolder(withIds);
  const { account } = folder.api.admin;
  const application = account.application(folder.api.credentials.applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const rules = [...selfRights, ...needed(folder).filter(({ method }) => method === 'GET')];
  await folder.secret(
    'consumer-key',
    account.addCredential(application, { rules, state: 'validated' }).consumerKey,
  );
  const { exitCode, stdout } = await folder.run('whoami --json');
  expect(exitCode).toBe(2);
  const [told] = documentsOf(stdout, 'one');
  expect(told?.['lacking']).toEqual(
    needed(folder)
      .filter(({ method }) => method !== 'GET')
      .map(describeRight),
  );
});

test('whoami asks with every credential that regions name, and tells what each lacks', async () => {
  const folder = await anOvhFolder(withIds);
  await loggedIn(folder);
  const { account } = folder.api.admin;
  const application = account.application(folder.api.credentials.applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const { consumerKey } = account.addCredential(application, { rules: selfRights, state: 'validated' });
  await folder.secret('other-key', consumerKey);
  const text = await folder.read('verdigris.yaml');
  const [section = '', address = ''] = [/loadBalancer:\n( .*\n)+/, /publicAddress: .*\n/].map(
    (part) => part.exec(text)?.[0],
  );
  const [sbg, oneKey] = ['loadbalancer-fedcba9876543210', `api: { endpoint: "${folder.api.url}"`];
  const region = (name: string, own: string): string =>
    `  - name: ${name}\n${`${own}${address}`.replaceAll(/^(?=.)/gm, '    ')}`;
  const regions = [
    region('gra', section),
    region('rbx', section.replace(/loadbalancer-\w+/, 'loadbalancer-00112233445566')),
    region(
      'sbg',
      section.replace(/loadbalancer-\w+/, sbg).replace(oneKey, `${oneKey}, consumerKey: secret:other`),
    ),
  ];
  await folder.write(
    'verdigris.yaml',
    text.replace(section, '').replace(address, `regions:\n${regions.join('')}`),
  );
  await folder.write(
    'worker.yaml',
    (await folder.read('worker.yaml')).replace(
      'secrets:\n',
      "secrets:\n  other: { file: other-key, services: ['*'], hosts: ['127.0.0.1'] }\n",
    ),
  );

  const { exitCode, stdout } = await folder.run('whoami');
  expect(exitCode).toBe(2);
  expect(stdout).toMatch(/^gra, rbx:\n/);
  expect(stdout.split('\n')).toContain('sbg:');
  expect(stdout).toContain(`PUT /ipLoadbalancing/${sbg}/http/frontend/1`);
  const [told] = documentsOf((await folder.run('whoami --json')).stdout, 'one');
  expect(told).toMatchObject({
    credentials: [
      {
        regions: ['gra', 'rbx'],
        lacking: expect.arrayContaining([expect.stringContaining('00112233445566')]),
      },
      { regions: ['sbg'], lacking: expect.arrayContaining([expect.stringContaining(sbg)]) },
    ],
  });
});

test.each(['pendingValidation', 'expired', 'refused'] as const)(
  'whoami says of a key that is %s what it may be and what to do',
  async (state) => {
    const folder = await anOvhFolder(withIds);
    const { consumerKey } = folder.api.credentials;
    await folder.secret('consumer-key', consumerKey);
    folder.api.admin.setCredentialState(consumerKey, state);
    const { exitCode, stderr } = await folder.run('whoami');
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/pending, was refused, has expired or was revoked/);
    expect(stderr).toMatch(/\n {2}refused, expired or revoked: make another with verdigris ovh login$/);
  },
);

test("whoami tells how far this clock is from the API's, above ten seconds", async () => {
  const folder = await anOvhFolder(withIds);
  await loggedIn(folder);
  expect(await folder.run('whoami')).toMatchObject({ exitCode: 0, stderr: '' });
  folder.api.faults.add({ path: '*', action: 'clock-skew', skewMs: -61_000 });
  const { exitCode, stderr } = await folder.run('whoami');
  expect(exitCode).toBe(0);
  expect(stderr).toMatch(/^This machine's clock is 6[0-2] s ahead of the API's/);
});

test('a key that lost a sign when it was copied is told by its length', async () => {
  const folder = await anOvhFolder(withIds);
  await loggedIn(folder);
  const { applicationSecret } = folder.api.credentials;
  await folder.secret('application-secret', applicationSecret.slice(1));
  const { exitCode, stderr } = await folder.run('whoami');
  expect(exitCode).toBe(2);
  expect(stderr).toContain('look: applicationSecret has 31 signs, usually 32');
  expect(stderr).not.toContain(applicationSecret.slice(1));
});

test('a URN with a slip in it is refused before any policy is made of it', async () => {
  const folder = await anOvhFolder(withIds);
  for (const urn of [
    'urn:v1:eu',
    'urn:v1:mars:identity:credential:x',
    'urn:v1:eu:identity: x',
    'oauth2-0123',
  ])
    expect(await folder.runWith(`rules --policy --identity ${urn}`)).toMatchObject({
      exitCode: 2,
      stdout: '',
    });
  const urn = 'urn:v1:eu:identity:credential:ab1234-ovh/oauth2-EU.0123';
  expect(JSON.parse((await folder.runWith(`rules --policy --identity ${urn}`)).stdout)).toMatchObject({
    identities: [urn],
  });
});

test('a key of another endpoint is told so', async () => {
  const folder = await anOvhFolder(withIds);
  await folder.secret('application-key', '0123456789abcdef');
  await folder.secret('consumer-key', folder.api.credentials.consumerKey);
  for (const words of ['whoami', 'login --replace']) {
    const { exitCode, stderr } = await folder.run(words);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/application key is unknown at this endpoint, .* do not know each other's keys/);
  }
});

test('a service account is told apart, with the actions that it lacks', async () => {
  const folder = await anOvhFolder(withIds);
  const text = await folder.read('verdigris.yaml');
  await folder.write(
    'verdigris.yaml',
    text.replace(
      /api: \{/,
      'api: { clientId: "secret:ovh-client-id", clientSecret: "secret:ovh-client-secret",',
    ),
  );
  const all = actionsOf(needed(folder));
  const { clientId, clientSecret } = folder.api.admin.account.addServiceAccount(all.slice(2));
  await folder.secret('client-id', clientId);
  await folder.secret('client-secret', clientSecret);
  const { exitCode, stdout } = await folder.run('whoami');
  expect(exitCode).toBe(2);
  expect(stdout).toContain(`identity    urn:v1:eu:identity:credential:xx00000-ovh/oauth2-${clientId}`);
  expect(stdout).toContain(
    [
      'needs these 2 IAM actions',
      ...all.slice(0, 2),
      'allow them in an IAM policy: verdigris ovh rules --policy',
    ].join('\n  '),
  );
  const login = await folder.run('login --to key');
  expect(login).toMatchObject({ exitCode: 2 });
  expect(login.stderr).toMatch(/the credential is a service account, which has none/);
});

test('login refuses before it asks anybody when there is no place for the key', async () => {
  const folder = await anOvhFolder(withIds);
  await folder.secret('consumer-key', 'old');
  folder.api.journal.clear();
  const { exitCode, stderr } = await folder.run('login');
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/consumer-key": it is there already, needs --replace/);
  expect(folder.api.journal.entries).toEqual([]);
  expect(await folder.read('consumer-key')).toBe('old\n');
  await loggedIn(folder, 'login --replace');
  expect(await folder.read('consumer-key')).not.toBe('old\n');
});

test('login that nobody answers, or somebody refuses, ends with 21 and leaves nothing', async () => {
  const folder = await anOvhFolder(withIds);
  const { exitCode, stderr } = await loggedIn(folder, 'login --timeout 2s', 'answer=refuse');
  expect(exitCode).toBe(21);
  expect(stderr).toMatch(/nobody has agreed within 2 s, or somebody has refused/);
  await expect(folder.read('consumer-key')).rejects.toMatchObject({ code: 'ENOENT' });
});

test('login takes keys from a file of variables, and prints the key only where that is asked for', async () => {
  const folder = await anOvhFolder(withIds);
  const { applicationKey, applicationSecret } = folder.api.credentials;
  await folder.write(
    'keys.env',
    `OVH_ENDPOINT=${folder.api.url}\nOVH_APPLICATION_KEY=${applicationKey}\nOVH_APPLICATION_SECRET=${applicationSecret}\n`,
  );
  let answer: Promise<number> | undefined;
  const { exitCode, stdout } = await folder.runWith(
    `login --for discover --show --json --keys-file ${folder.file('keys.env')} --trust ${folder.api.caFile}`,
    (text) => {
      const [url] = /https:[^"]+validate\?token=[0-9a-f]+/.exec(text) ?? [];
      if (url !== undefined) answer ??= answerAt(folder.api, url, 'answer=validate');
    },
  );
  expect([exitCode, await answer]).toEqual([0, 200]);
  const [, told] = documentsOf(stdout);
  expect(folder.api.admin.account.credential(String(told?.['consumerKey']))?.rules).toContainEqual({
    method: 'GET',
    path: '/ipLoadbalancing',
  });
});

test('without any keys every way to give some is named', async () => {
  const folder = await anOvhFolder(withIds);
  const { exitCode, stderr } = await folder.runWith('whoami');
  expect(exitCode).toBe(2);
  for (const way of ['--worker-config FILE', '--keys-file FILE', 'OVH_CLIENT_ID'])
    expect(stderr).toContain(way);
});

test('rules prints the list of a key, and a policy for a service account', async () => {
  const folder = await anOvhFolder(withIds);
  const listed = await folder.runWith('rules');
  expect(listed.stdout.split('\n')).toEqual([...selfRights, ...needed(folder)].map(describeRight));
  const policy = JSON.parse(
    (await folder.runWith('rules --policy --identity urn:v1:eu:identity:account:ab1234-ovh')).stdout,
  ) as object;
  expect(policy).toMatchObject({
    name: 'verdigris-greeter-production',
    identities: ['urn:v1:eu:identity:account:ab1234-ovh'],
    resources: [{ urn: `urn:v1:eu:resource:loadbalancer:${folder.api.serviceName}` }],
    permissions: { allow: actionsOf(needed(folder)).map((action) => ({ action })) },
  });
  expect(() => readService(folder.file('verdigris.yaml'))).toThrow(/hostKey/);
});

const vps = { kind: 'vps', name: 'vps-1.vps.ovh.net' } as const;

async function aFolderWithMachines(): Promise<OvhFolder> {
  const folder = await anOvhFolder(withIds);
  const whole = await folder.read('verdigris.yaml');
  await folder.write(
    'verdigris.yaml',
    whole.replace('{ name: green-1,', `{ name: green-1, ovh: { vps: ${vps.name} },`),
  );
  return folder;
}

test('whoami names what keeps it from seeing the machines, which keeps no deployment from starting', async () => {
  const folder = await aFolderWithMachines();
  const { account } = folder.api.admin;
  const application = account.application(folder.api.credentials.applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const { consumerKey } = account.addCredential(application, {
    rules: [...selfRights, ...needed(folder)],
    state: 'validated',
  });
  await folder.secret('consumer-key', consumerKey);
  const { exitCode, stdout, stderr } = await folder.run('whoami');
  expect(exitCode).toBe(0);
  expect(stdout).toContain('It can do all that greeter@production needs.');
  expect(stderr).toContain('Of the machines it cannot see everything');
  for (const right of machineRights(vps)) expect(stderr).toContain(`\n  ${describeRight(right)}`);
});

test('rules has what looking at the machines needs, where their products are named', async () => {
  const folder = await aFolderWithMachines();
  const listed = (await folder.runWith('rules')).stdout.split('\n');
  expect(listed).toEqual(expect.arrayContaining(machineRights(vps).map(describeRight)));
  const policy = JSON.parse((await folder.runWith('rules --policy')).stdout) as object;
  expect(policy).toMatchObject({
    resources: [{}, { urn: `urn:v1:eu:resource:vps:${vps.name}` }],
    permissions: { allow: expect.arrayContaining([{ action: 'vps:apiovh:get' }]) },
  });
});
