import { describe, expect, onTestFinished, test } from 'vitest';
import { SecretName, ServiceId } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { SshAddress } from '../../../domain/service.js';
import type { AgentGrant } from '../../../drivers/agents.js';
import { endless } from '../../../drivers/patience.js';
import { SshConnections, type SshPolicy } from '../../../drivers/servers/ssh-connection.js';
import { credentialFor, type CredentialSources } from '../../../drivers/servers/ssh-credential.js';
import type { SshLink } from '../../../drivers/servers/ssh-link.js';
import type { SshHop, SshTarget } from '../../../drivers/servers/ssh-target.js';
import { aCertificate, aFolder, aKey, anAgent, hasOpenSsh, startSshd, user, type Sshd } from './sshd.js';

/** Everything that a worker would be asked for, by name. */
interface Worker {
  readonly secrets?: Readonly<Record<string, string>>;
  readonly agents?: Readonly<Record<string, AgentGrant>>;
}

const sourcesOf = ({ secrets = {}, agents = {} }: Worker): CredentialSources => ({
  service: ServiceId('greeter', 'production'),
  secrets: {
    resolve: ({ secret }) => Promise.resolve(new Secret(secrets[secret]!)),
  },
  agents: { resolve: ({ agent }) => Promise.resolve(agents[agent]!) },
});

const secret = (name: string) => ({ secret: SecretName(name) });
const agent = (name: string) => ({ agent: SecretName(name) });

const addressOf = ({ port, hostKeys }: Sshd, change: Partial<SshAddress> = {}): SshAddress => ({
  host: '127.0.0.1',
  port,
  user,
  key: secret('key'),
  hostKeys,
  ...change,
});

function hopTo(address: SshAddress, worker: Worker): SshHop {
  const { host, port, user: name, hostKeys, key } = address;
  const credential = () => credentialFor(address, sourcesOf(worker));
  return { host, port, user: name, hostKeys, owner: JSON.stringify(key), credential };
}

const targetOf = (address: SshAddress, worker: Worker, ...bastions: readonly SshHop[]): SshTarget => ({
  ...hopTo(address, worker),
  bastions,
  limits: {},
});

function aPool(policy: Partial<SshPolicy> = {}): SshConnections {
  const pool = new SshConnections({ connectTimeoutMs: 5000, loginTimeoutMs: 10_000, tries: 2, ...policy });
  onTestFinished(() => pool.close());
  return pool;
}

/** What a command prints. */
async function printed(link: SshLink, line: string): Promise<string> {
  const lines: string[] = [];
  const onLine = (text: string) => void lines.push(text);
  await link.execute(line, { signal: endless.signal, deadlineMs: 20_000, onLine });
  return lines.join('\n');
}

const greets = (target: SshTarget, pool = aPool()) =>
  pool.use(target, endless, (link) => printed(link, 'echo hello'));

describe.runIf(hasOpenSsh)('OpenSSH lets in', () => {
  test.each([
    ['ed25519', ['-t', 'ed25519']],
    ['RSA', ['-t', 'rsa', '-b', '2048']],
    ['ECDSA 256', ['-t', 'ecdsa', '-b', '256']],
    ['ECDSA 521', ['-t', 'ecdsa', '-b', '521']],
  ])('%s: plainly, with a passphrase, with a certificate and from an agent', async (_, options) => {
    const folder = await aFolder();
    const plain = await aKey(folder, 'plain', ...options);
    const locked = await aKey(folder, 'locked', ...options, '-N', 'open sesame');
    const vouchedFor = await aKey(folder, 'vouched-for', ...options);
    const authority = await aKey(folder, 'authority');
    const certificate = await aCertificate(authority, vouchedFor, '-n', user);
    const sshd = await startSshd({
      authorizedKeys: [plain.public, locked.public, `cert-authority ${authority.public}`],
    });
    const secrets = {
      plain: plain.private,
      locked: locked.private,
      passphrase: 'open sesame',
      vouched: vouchedFor.private,
      certificate,
    };
    const pool = aPool();
    const logIn = (change: Partial<SshAddress>, agents: Worker['agents'] = {}) =>
      greets(targetOf(addressOf(sshd, change), { secrets, agents }), pool);

    expect(await logIn({ key: secret('plain') })).toBe('hello');
    expect(await logIn({ key: secret('locked'), passphrase: secret('passphrase') })).toBe('hello');
    expect(await logIn({ key: secret('vouched'), certificate: secret('certificate') })).toBe('hello');
    // ssh-add takes the certificate beside the key along.
    expect(await logIn({ key: agent('plain') }, { plain: { socket: await anAgent(plain) } })).toBe('hello');
    expect(await logIn({ key: agent('vouched') }, { vouched: { socket: await anAgent(vouchedFor) } })).toBe(
      'hello',
    );
    const log = await sshd.log();
    expect(log.match(/Accepted publickey for .* ssh2: \S+-CERT /g)).toHaveLength(2);
    expect(await sshd.logins()).toBe(5);
  });

  test.each([
    ['PEM', 'rsa', '2048'],
    ['PKCS8', 'rsa', '2048'],
    ['PEM', 'ecdsa', '384'],
    ['PKCS8', 'ecdsa', '384'],
  ])('whoever has a key in the form %s (%s %s)', async (form, type, bits) => {
    const folder = await aFolder();
    const options = ['-m', form, '-t', type, '-b', bits];
    const plain = await aKey(folder, 'plain', ...options);
    const locked = await aKey(folder, 'locked', ...options, '-N', 'open sesame');
    const sshd = await startSshd({ authorizedKeys: [plain.public, locked.public] });
    const secrets = { key: plain.private, locked: locked.private, passphrase: 'open sesame' };
    expect(await greets(targetOf(addressOf(sshd), { secrets }))).toBe('hello');
    const change = { key: secret('locked'), passphrase: secret('passphrase') };
    expect(await greets(targetOf(addressOf(sshd, change), { secrets }))).toBe('hello');
  });
});
