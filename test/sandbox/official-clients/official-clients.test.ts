import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startOvhApi, type OvhApi } from '../../../sandbox/ovh-api/ovh-api.js';
import { goOvh, pythonOvh } from './installed.js';

vi.setConfig({ testTimeout: 300_000 }); // the clients are fetched, and one is compiled

const here = fileURLToPath(new URL('.', import.meta.url));
let api: OvhApi;

beforeEach(async () => {
  api = await startOvhApi({ behaviour: { todoMs: 10, doingMs: 20 } });
});
afterEach(() => api.close());

/** What each client is told of the API it is to call, in the words that it reads. */
function environment(): Record<string, string> {
  const { account } = api.admin;
  const { applicationKey, applicationSecret, consumerKey, clientId, clientSecret } = api.credentials;
  const application = account.application(applicationKey);
  if (!application) throw new Error('the emulator has lost its application');
  const few = account.addCredential(application, {
    rules: [{ method: 'GET', path: '/ipLoadbalancing' }],
    state: 'validated',
  });
  return {
    SANDBOX_URL: api.url,
    SANDBOX_PORT: String(api.port),
    SANDBOX_APPLICATION_KEY: applicationKey,
    SANDBOX_APPLICATION_SECRET: applicationSecret,
    SANDBOX_CONSUMER_KEY: consumerKey,
    SANDBOX_TOKEN: account.issueToken(clientId, clientSecret)?.token ?? '',
    FEW_RIGHTS: few.consumerKey,
    REQUESTS_CA_BUNDLE: api.caFile,
    SSL_CERT_FILE: api.caFile,
    NODE_EXTRA_CA_CERTS: api.caFile,
  };
}

async function seenBy(program: string, words: readonly string[], more: Record<string, string> = {}) {
  const { stdout } = await execa(program, words, {
    env: { ...environment(), ...more },
    cwd: here,
    timeout: 60_000,
  });
  expect(api.journal.entries.filter(({ signatureOk }) => signatureOk === false)).toEqual([]);
  return JSON.parse(stdout) as unknown;
}

/** Whether a command is there. Where nothing may be skipped its absence is a failure. */
function has(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`]);
    return true;
  } catch {
    if (process.env['VERDIGRIS_DEMAND_ALL']) throw new Error(`Cannot run a client: needs ${command}`);
    return false;
  }
}

test.skipIf(!has('pip3'))('the official Python client switches a frontend', async () => {
  const folder = await pythonOvh();
  expect(await seenBy('python3', ['-B', 'python-ovh.py'], { PYTHONPATH: folder })).toEqual({
    time_delta: expect.any(Number),
    me: 'xx00000-ovh',
    credential: 'validated',
    details: 'account',
    v1: [api.serviceName],
    name: 'bleu é ☂ <&>',
    weight: 0,
    listed: true,
    put: null,
    pending: [{ zone: 'gra', number: expect.any(Number) }],
    task: 'done',
    done: true,
    left: [],
    frontend: true,
    delete: null,
    gone: true,
    request: 'pendingValidation',
    refusals: ['InvalidKey', 'NotCredential', 'InvalidCredential', 'NotGrantedCall'],
  });
});

test('the official Node client of these days switches a frontend', async () => {
  expect(await seenBy(process.execPath, ['node-ovh.mjs'])).toEqual({
    time: 'number',
    me: 'xx00000-ovh',
    name: 'bleu é',
    put: null,
    task: 'done',
    switched: true,
    left: [],
    delete: null,
    refusals: [
      [404, expect.stringContaining('does not exist')],
      [403, 'This call has not been granted'],
      403,
    ],
  });
});

test.skipIf(!has('go'))('the official Go client switches a frontend', async () => {
  expect(await seenBy(await goOvh(), [])).toEqual({
    details: 'account',
    name: 'bleu é <&>',
    invented: false,
    switched: true,
    left: 0,
    bearer: 'oauth2_client_credentials',
    refusals: [
      [404, 'Client::NotFound', expect.stringContaining('does not exist'), true],
      [403, 'Client::Forbidden', 'This call has not been granted', true],
    ],
  });
});
