import { homedir } from 'node:os';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Failure } from '../../domain/failures.js';
import { SecretName, ServiceId } from '../../domain/names.js';
import { AgentsSchema, createAgents } from '../../worker/agents.js';

afterEach(() => vi.unstubAllEnvs());

const use = { service: ServiceId('greeter', 'production'), host: '10.0.0.1' };
const granted = { services: ['greeter@*'], hosts: ['10.0.0.1'] };

const resolveFrom = (settings: object, asked = use, name = 'deploy') =>
  createAgents(AgentsSchema.parse({ deploy: settings }), '/etc/verdigris/worker.yaml').resolve(
    { agent: SecretName(name) },
    asked,
  );

const refusal = async (...parameters: Parameters<typeof resolveFrom>): Promise<string> => {
  const failure = (await resolveFrom(...parameters).catch((error: unknown) => error)) as Failure;
  expect(failure.failure).toBe('SecretRefused');
  return failure.message;
};

describe('an agent of the worker', () => {
  test('is found beside worker.yaml, at home, or where a variable of the worker says', async () => {
    vi.stubEnv('VERDIGRIS_TEST_AGENT', '/run/agent');
    expect(await resolveFrom({ socket: 'agent.socket', ...granted })).toEqual({
      socket: '/etc/verdigris/agent.socket',
    });
    expect(await resolveFrom({ socket: '~/agent', ...granted })).toEqual({ socket: `${homedir()}/agent` });
    expect(await resolveFrom({ env: 'VERDIGRIS_TEST_AGENT', ...granted })).toEqual({ socket: '/run/agent' });
    const keys = [`SHA256:${'A'.repeat(43)}`];
    expect(await resolveFrom({ socket: '/a', keys, ...granted })).toEqual({ socket: '/a', keys });
  });

  test.each([
    [
      { ...use, service: ServiceId('other', 'production') },
      'deploy',
      'does not give it to this service, needs agents.deploy.services to list it',
    ],
    [
      { ...use, host: '10.0.0.2' },
      'deploy',
      'does not give it to this host, needs agents.deploy.hosts to list it',
    ],
    [use, 'unknown', 'has no such agent, needs agents.unknown'],
  ])('is not for whoever names it: %j %s', async (asked, name, words) => {
    expect(await refusal({ socket: '/a', ...granted }, asked, name)).toBe(
      `Cannot use agent "${name}" for ${asked.service} at ${asked.host}: /etc/verdigris/worker.yaml ${words}\n  look at the worker's worker.yaml, and check again: verdigris check`,
    );
  });

  test('is missing where its variable is not set', async () => {
    expect(await refusal({ env: 'VERDIGRIS_TEST_NO_AGENT', ...granted })).toContain(
      "the worker's environment variable VERDIGRIS_TEST_NO_AGENT is not set",
    );
  });

  test.each([
    ['nowhere', {}],
    ['in two places', { socket: '/a', env: 'A' }],
    ['with keys that are none', { socket: '/a', keys: ['MD5:00'] }],
  ])('cannot be granted %s', (_, settings) => {
    expect(AgentsSchema.safeParse({ deploy: { ...granted, ...settings } }).success).toBe(false);
  });
});
