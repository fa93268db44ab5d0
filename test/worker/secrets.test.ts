import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Failure } from '../../domain/failures.js';
import { SecretName, ServiceId } from '../../domain/names.js';
import { createSecrets, SecretsSchema } from '../../worker/secrets.js';

const marker = 'hunter2-marker';
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verdigris-secrets-'));
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

const use = { service: ServiceId('greeter', 'production'), host: 'git.example.com' };
const everywhere = { services: ['*'], hosts: ['git.example.com'] };

const resolveFrom = (settings: object, asked = use, name = 'artifacts') =>
  createSecrets(SecretsSchema.parse({ artifacts: settings }), join(directory, 'worker.yaml')).resolve(
    { secret: SecretName(name) },
    asked,
  );

const refusal = async (...parameters: Parameters<typeof resolveFrom>): Promise<string> => {
  const failure = (await resolveFrom(...parameters).catch((error: unknown) => error)) as Failure;
  expect(failure.failure).toBe('SecretRefused');
  expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain(marker);
  return failure.message;
};

async function aFile(content: string, mode = 0o600): Promise<string> {
  const path = join(directory, `secret-${Math.random()}`);
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

describe('a secret comes', () => {
  test('from an environment variable of the worker', async () => {
    vi.stubEnv('VERDIGRIS_TEST_SECRET', marker);
    expect((await resolveFrom({ env: 'VERDIGRIS_TEST_SECRET', ...everywhere })).reveal()).toBe(marker);
  });

  test('from a file, without its last line end', async () => {
    const file = await aFile(`${marker}\nsecond\n`);
    expect((await resolveFrom({ file, ...everywhere })).reveal()).toBe(`${marker}\nsecond`);
  });

  test('from a file beside worker.yaml', async () => {
    const file = (await aFile(marker)).split('/').at(-1)!;
    expect((await resolveFrom({ file, ...everywhere })).reveal()).toBe(marker);
  });

  test('from a program, of which no shell reads the arguments', async () => {
    const exec = [process.execPath, '-e', 'console.log(process.argv[1])', '$HOME; `id` | cat'];
    expect((await resolveFrom({ exec, ...everywhere })).reveal()).toBe('$HOME; `id` | cat');
  });

  test('with its prefix', async () => {
    vi.stubEnv('VERDIGRIS_TEST_SECRET', marker);
    const secret = await resolveFrom({ env: 'VERDIGRIS_TEST_SECRET', prefix: 'Bearer ', ...everywhere });
    expect(secret.reveal()).toBe(`Bearer ${marker}`);
    expect(`${secret as unknown as string} ${JSON.stringify(secret)} ${inspect(secret)}`).not.toContain(
      marker,
    );
  });

  test('fresh after it was rotated', async () => {
    const file = await aFile('old');
    const secrets = createSecrets(SecretsSchema.parse({ artifacts: { file, ...everywhere } }), 'worker.yaml');
    const reference = { secret: SecretName('artifacts') };
    expect((await secrets.resolve(reference, use)).reveal()).toBe('old');
    await writeFile(file, 'new');
    expect((await secrets.resolve(reference, use)).reveal()).toBe('new');
  });

  test('from one run of its program, however many ask at once', async () => {
    const runs = join(directory, 'runs');
    const exec = ['/bin/sh', '-c', `echo run >> ${runs}; cat ${runs} | wc -l`];
    const secrets = createSecrets(SecretsSchema.parse({ artifacts: { exec, ...everywhere } }), runs);
    const asked = Array.from({ length: 20 }, () => secrets.resolve({ secret: SecretName('artifacts') }, use));
    expect(new Set((await Promise.all(asked)).map((secret) => secret.reveal().trim()))).toEqual(
      new Set(['1']),
    );
  });
});

describe('who may have a secret', () => {
  const env = 'VERDIGRIS_TEST_SECRET';

  test.each([
    ['greeter@production', true],
    ['greeter@*', true],
    ['*@production', true],
    ['gre*@prod*', true],
    ['*', true],
    ['greeter@staging', false],
    ['greet@production', false],
    ['*@staging', false],
    ['reeter@production', false],
  ])('"%s" covers greeter@production: %s', async (pattern, covered) => {
    vi.stubEnv(env, marker);
    const settings = { env, services: [pattern], hosts: everywhere.hosts };
    if (covered) expect((await resolveFrom(settings)).reveal()).toBe(marker);
    else expect(await refusal(settings)).toContain('needs secrets.artifacts.services to list it');
  });

  test.each([
    ['git.example.com', 'git.example.com', true],
    ['GIT.Example.com', 'git.example.com.', true],
    ['*.example.com', 'git.example.com', true],
    ['*.example.com', 'a.b.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*.example.com', 'evilexample.com', false],
    ['example.com', 'git.example.com', false],
    ['git.example.com', 'git.example.com.evil.net', false],
    ['203.0.113.7', '203.0.113.7', true],
    ['203.0.113.7', '203.0.113.70', false],
    ['*.113.7', '203.0.113.7', false],
    ['2001:db8::1', '[2001:db8::1]', true],
    ['gitxexample.com', 'git.example.com', false],
  ])('"%s" covers the host %s: %s', async (pattern, host, covered) => {
    vi.stubEnv(env, marker);
    const asked = { ...use, host };
    const settings = { env, services: ['*'], hosts: [pattern] };
    if (covered) expect((await resolveFrom(settings, asked)).reveal()).toBe(marker);
    else expect(await refusal(settings, asked)).toContain('needs secrets.artifacts.hosts to list it');
  });

  test('nobody, unless it is said', async () => {
    vi.stubEnv(env, marker);
    await refusal({ env, services: [], hosts: everywhere.hosts });
    await refusal({ env, services: ['*'], hosts: [] });
  });

  test('is told with the secret, the service, the host and the file', async () => {
    expect(await refusal({ env, ...everywhere }, use, 'other')).toBe(
      `Cannot use secret "other" for greeter@production at git.example.com: ${directory}/worker.yaml has no such secret, needs secrets.other\n  look at the worker's worker.yaml, and check again: verdigris check`,
    );
  });

  test('never takes the name of a property for a secret', async () => {
    await refusal({ env, ...everywhere }, use, 'constructor');
  });
});

describe('a secret that cannot be had says why, without its value', () => {
  test('a variable that is not set, or empty', async () => {
    expect(await refusal({ env: 'VERDIGRIS_TEST_UNSET', ...everywhere })).toContain('is not set');
    vi.stubEnv('VERDIGRIS_TEST_SECRET', '');
    expect(await refusal({ env: 'VERDIGRIS_TEST_SECRET', ...everywhere })).toContain('is empty');
  });

  test.each([0o644, 0o604, 0o602])('a file with mode %o', async (mode) => {
    const file = await aFile(marker, mode);
    expect(await refusal({ file, ...everywhere })).toContain(`needs: chmod 600 ${file}`);
  });

  test('a file that is missing, empty or none', async () => {
    expect(await refusal({ file: 'missing', ...everywhere })).toContain('(ENOENT)');
    expect(await refusal({ file: await aFile('\n'), ...everywhere })).toContain('is empty');
    expect(await refusal({ file: directory, ...everywhere })).toContain('no regular file');
  });

  test.each([
    ['fails', `echo ${marker}; echo ${marker} >&2; exit 3`, 'ended with exit code 3'],
    ['is killed', `echo ${marker}; kill -9 $$`, 'was ended by SIGKILL'],
    ['prints nothing', 'echo', 'printed nothing'],
    ['hangs', `echo ${marker}; exec sleep 60`, 'did not end within 300 ms'],
    ['floods', `while :; do echo ${marker}; done`, 'printed more than'],
  ])('a program that %s', async (_, script, words) => {
    const exec = ['/bin/sh', '-c', script];
    expect(await refusal({ exec, timeoutMs: words.includes('300') ? 300 : 10_000, ...everywhere })).toContain(
      words,
    );
  });

  test('a program that is not there', async () => {
    expect(await refusal({ exec: ['/nowhere/vault', marker], ...everywhere })).toContain(
      'could not be started (ENOENT)',
    );
  });

  test('and is tried again the next time', async () => {
    const switchFile = join(directory, 'ready');
    const exec = ['/bin/sh', '-c', `test -e ${switchFile} && echo ${marker}`];
    const secrets = createSecrets(SecretsSchema.parse({ artifacts: { exec, ...everywhere } }), switchFile);
    const reference = { secret: SecretName('artifacts') };
    await expect(secrets.resolve(reference, use)).rejects.toThrow('exit code 1');
    await writeFile(switchFile, '');
    expect((await secrets.resolve(reference, use)).reveal()).toBe(marker);
  });
});

test.each([
  [{ ...everywhere }, 'needs exactly one of env, file and exec'],
  [{ env: 'A', file: 'b', ...everywhere }, 'needs exactly one of env, file and exec'],
  [{ env: 'A', services: ['*'] }, 'needs the list of hosts'],
  [{ env: 'A', hosts: ['a'] }, 'needs the list of services'],
  [{ env: 'A', services: ['greeter'], hosts: [] }, 'needs a service such as'],
  [{ env: 'A', services: ['*'], hosts: ['https://git.example.com'] }, 'without scheme and port'],
  [{ env: 'A', services: ['*'], hosts: ['git.example.com:443'] }, 'without scheme and port'],
  [{ env: 'A', services: ['*'], hosts: ['*'] }, 'without scheme and port'],
  [{ env: 'A', services: ['*'], hosts: ['10.0.0.0/8'] }, 'without scheme and port'],
  [{ exec: [], ...everywhere }, 'needs a program'],
  [{ exec: 'vault read', ...everywhere }, 'needs a list'],
  [{ env: 'A', hostss: [], ...everywhere }, 'hostss'],
])('worker.yaml refuses %j', (settings, complaint) => {
  const result = SecretsSchema.safeParse({ artifacts: settings });
  expect(result.error?.issues.map(({ message }) => message).join('\n')).toContain(complaint);
});
