import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Failure } from '../../../domain/failures.js';
import { SecretName, ServiceId } from '../../../domain/names.js';
import { Secret } from '../../../domain/secret.js';
import type { SshAddress } from '../../../domain/service.js';
import type { AgentGrant } from '../../../drivers/agents.js';
import { endless } from '../../../drivers/patience.js';
import { SshConnections, type SshPolicy } from '../../../drivers/servers/ssh-connection.js';
import { credentialFor, type CredentialSources } from '../../../drivers/servers/ssh-credential.js';
import type { SshLink } from '../../../drivers/servers/ssh-link.js';
import type { SshHop, SshTarget } from '../../../drivers/servers/ssh-target.js';
import {
  aCertificate,
  aFolder,
  aKey,
  anAgent,
  freePort,
  hasOpenSsh,
  startSshd,
  user,
  type KeyFile,
  type Sshd,
  type SshdOptions,
} from './sshd.js';

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

async function failureOf(attempt: Promise<unknown>): Promise<Failure> {
  const failure: unknown = await attempt.then(
    (value) => new Error(`it went well: ${String(value)}`),
    (error: unknown) => error,
  );
  if (!(failure instanceof Failure)) throw failure as Error;
  return failure;
}

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

describe.runIf(hasOpenSsh)('OpenSSH keeps out', () => {
  /** Why one login fails. */
  async function refusal(
    options: SshdOptions,
    change: (folder: string, key: KeyFile) => Promise<{ readonly change: Partial<SshAddress> } & Worker>,
  ): Promise<Failure> {
    const folder = await aFolder();
    const key = await aKey(folder, 'key');
    const sshd = await startSshd({ authorizedKeys: [key.public], ...options });
    const { change: changed, secrets, agents } = await change(folder, key);
    const worker = { secrets: { key: key.private, ...secrets }, ...(agents ? { agents } : {}) };
    return failureOf(greets(targetOf(addressOf(sshd, changed), worker)));
  }

  test('a key with another passphrase, or with none given', async () => {
    const locked = async (folder: string) => ({
      secrets: { locked: (await aKey(folder, 'locked', '-N', 'right')).private, passphrase: 'wrong' },
    });
    const wrong = await refusal({}, async (folder) => ({
      ...(await locked(folder)),
      change: { key: secret('locked'), passphrase: secret('passphrase') },
    }));
    expect(wrong).toMatchObject({
      failure: 'ServerLoginRefused',
      message: expect.stringContaining(
        '127.0.0.1 cannot be asked: the key "locked" is not opened by "passphrase", needs the passphrase that it was made with: ssh-keygen -y -f FILE tells',
      ),
    });
    expect(JSON.stringify([wrong.message, wrong.stack])).not.toContain('wrong');
    const none = await refusal({}, async (folder) => ({
      ...(await locked(folder)),
      change: { key: secret('locked') },
    }));
    expect(none.message).toContain('the key "locked" has a passphrase, needs ssh.passphrase: secret:<name>');
  });

  test('a key that it does not know, by its fingerprint', async () => {
    let fingerprint = '';
    const failure = await refusal({}, async (folder) => {
      const other = await aKey(folder, 'other');
      fingerprint = other.fingerprint;
      return { secrets: { key: other.private }, change: {} };
    });
    expect(failure.failure).toBe('ServerLoginRefused');
    expect(failure.message).toContain(
      `does not accept the key "key" (ssh-ed25519 ${fingerprint}) for user "${user}", needs its public key in authorized_keys`,
    );
  });

  test.each([
    [
      'no keys at all',
      ['PubkeyAuthentication no', 'PasswordAuthentication yes'],
      'accepts no keys at all, only password',
    ],
    [
      'a key alone',
      ['AuthenticationMethods publickey,password', 'PasswordAuthentication yes'],
      'accepts the key "key", but wants password as well for user',
    ],
    ['an algorithm', ['PubkeyAcceptedAlgorithms rsa-sha2-512'], 'does not accept the key "key"'],
  ])('whoever comes with %s', async (_, lines, words) => {
    const failure = await refusal({ lines }, () => Promise.resolve({ change: {} }));
    expect(failure.failure).toBe('ServerLoginRefused');
    expect(failure.message).toContain(words);
  });

  test.each([
    ['has ended', ['-V', '20200101:20200102'], 'was valid until 2020-01-02'],
    ['has not begun', ['-V', '20990101:20990102'], 'is not valid before 20'],
    [
      'is for somebody else',
      ['-n', 'somebody-else'],
      'does not accept the certificate "the deployer" (for somebody-else, signed by SHA256:',
    ],
  ])('a certificate that %s', async (_, options, words) => {
    const failure = await refusal({}, async (folder, key) => {
      const authority = await aKey(folder, 'authority');
      const certificate = await aCertificate(authority, key, ...options);
      return { secrets: { certificate }, change: { certificate: secret('certificate') } };
    });
    expect(failure.failure).toBe('ServerLoginRefused');
    expect(failure.message).toContain(words);
  });

  test('a certificate of another key, and what is none', async () => {
    const foreign = await refusal({}, async (folder) => {
      const other = await aKey(folder, 'other');
      const certificate = await aCertificate(await aKey(folder, 'authority'), other);
      return { secrets: { certificate }, change: { certificate: secret('certificate') } };
    });
    expect(foreign.message).toMatch(
      /the certificate "certificate" is for the key SHA256:\S+, and "key" is SHA256:/,
    );
    const none = await refusal({}, (_, key) =>
      Promise.resolve({
        secrets: { certificate: key.public },
        change: { certificate: secret('certificate') },
      }),
    );
    expect(none.message).toContain('the certificate "certificate" is not an OpenSSH user certificate');
  });

  test('an agent that is not there, that is empty, or that has other keys', async () => {
    const by = (grant: AgentGrant) =>
      refusal({}, () => Promise.resolve({ agents: { deploy: grant }, change: { key: agent('deploy') } }));
    const absent = await by({ socket: '/run/nobody/agent' });
    expect(absent).toMatchObject({
      failure: 'SecretRefused',
      message: expect.stringContaining(
        `Cannot use agent "deploy" at /run/nobody/agent for greeter@production at 127.0.0.1: it is not there (ENOENT), needs an ssh-agent that runs as the worker's user`,
      ),
    });
    expect((await by({ socket: await anAgent() })).message).toContain('it holds no key, needs one: ssh-add');
    const folder = await aFolder();
    const socket = await anAgent(await aKey(folder, 'held'));
    const wanted = `SHA256:${'x'.repeat(43)}`;
    expect((await by({ socket, keys: [wanted] })).message).toMatch(
      new RegExp(`it holds only ssh-ed25519 SHA256:\\S+, needs ${wanted}: ssh-add`),
    );
  });

  test('whoever offers too many keys, unless the right one is named', async () => {
    const folder = await aFolder();
    const right = await aKey(folder, 'right');
    const sshd = await startSshd({ authorizedKeys: [right.public], lines: ['MaxAuthTries 2'] });
    const wrong = await Promise.all(['a', 'b', 'c'].map((name) => aKey(folder, name)));
    const socket = await anAgent(...wrong, right);
    const as = (grant: AgentGrant) =>
      greets(targetOf(addressOf(sshd, { key: agent('many') }), { agents: { many: grant } }));
    const failure = await failureOf(as({ socket }));
    expect(failure.failure).toBe('ServerLoginRefused');
    expect(failure.message).toContain('gave up after some of the 4 keys of agent "many"');
    expect(await as({ socket, keys: [right.fingerprint] })).toBe('hello');
  });
});

describe.runIf(hasOpenSsh)('a machine is known by', () => {
  test('any of its host keys, with or without the type in front', async () => {
    const folder = await aFolder();
    const key = await aKey(folder, 'key');
    const sshd = await startSshd({ authorizedKeys: [key.public], hostKeys: ['ed25519', 'ecdsa', 'rsa'] });
    const worker = { secrets: { key: key.private } };
    for (const pin of sshd.hostKeys) {
      const bare = pin.split(' ')[1]!;
      expect(await greets(targetOf(addressOf(sshd, { hostKeys: [pin] }), worker))).toBe('hello');
      expect(await greets(targetOf(addressOf(sshd, { hostKeys: [bare] }), worker))).toBe('hello');
      const several = ['ssh-ed25519 SHA256:of-before', pin];
      expect(await greets(targetOf(addressOf(sshd, { hostKeys: several }), worker))).toBe('hello');
    }
    const [ed25519 = '', , rsa = ''] = sshd.hostKeys;
    const typed = await failureOf(
      greets(targetOf(addressOf(sshd, { hostKeys: ['ssh-rsa SHA256:of-another'] }), worker)),
    );
    expect(typed.failure).toBe('HostKeyMismatch');
    expect(typed.message).toContain(
      `shows the host key ${rsa.split(' ')[1]}, needs ssh-rsa SHA256:of-another`,
    );
    const bare = await failureOf(
      greets(targetOf(addressOf(sshd, { hostKeys: ['SHA256:of-another'] }), worker)),
    );
    expect(bare.message).toContain(ed25519.split(' ')[1]);
    expect(bare.message).toContain(rsa.split(' ')[1]);
  });
});

describe.runIf(hasOpenSsh)('behind bastions', () => {
  /** A chain of machines, each with a user key and a host key of its own. */
  async function aWay(options: { readonly bastionLines?: readonly string[] } = {}) {
    const folder = await aFolder();
    const names = ['outer', 'inner', 'target'] as const;
    const keys = await Promise.all(names.map((name) => aKey(folder, name)));
    const secrets = Object.fromEntries(names.map((name, index) => [name, keys[index]!.private]));
    const machines = await Promise.all(
      names.map((name, index) =>
        startSshd({
          authorizedKeys: [keys[index]!.public],
          lines: name === 'target' ? ['AllowTcpForwarding no'] : (options.bastionLines ?? []),
        }),
      ),
    );
    const [outer, inner, target] = machines as [Sshd, Sshd, Sshd];
    const hop = (sshd: Sshd, name: string) => hopTo(addressOf(sshd, { key: secret(name) }), { secrets });
    const outerHop = hop(outer, 'outer');
    const innerHop = hop(inner, 'inner');
    return { outer, inner, target, outerHop, innerHop, targetHop: hop(target, 'target') };
  }

  test('machines are reached through a chain, each with its own key', async () => {
    const { outer, inner, target, outerHop, innerHop, targetHop } = await aWay();
    const reached = { ...targetHop, bastions: [outerHop, innerHop], limits: {} };
    expect(await greets(reached)).toBe('hello');
    expect(await Promise.all([outer, inner, target].map((sshd) => sshd.logins()))).toEqual([1, 1, 1]);
  });

  test('many machines share one connection to the bastion, which is closed after them', async () => {
    const { outer, target, outerHop, targetHop } = await aWay();
    const pool = aPool({ idleMs: 50 });
    const machines = ['a', 'b', 'c', 'd'].map((owner) => ({
      ...targetHop,
      owner,
      bastions: [outerHop],
      limits: {},
    }));
    expect(await Promise.all(machines.map((machine) => greets(machine, pool)))).toEqual(
      machines.map(() => 'hello'),
    );
    expect([await outer.logins(), await target.logins()]).toEqual([1, 4]);
    await expect.poll(async () => /Disconnected from user/.test(await outer.log())).toBe(true);
    expect((await target.log()).match(/Disconnected from user/g)).toHaveLength(4);
  });

  test('it is told which of the machines cannot be reached, and from where', async () => {
    const { outerHop, targetHop } = await aWay();
    const nobody = await freePort();
    const noBastion = { ...targetHop, bastions: [{ ...outerHop, port: nobody }], limits: {} };
    expect((await failureOf(greets(noBastion))).message).toMatch(
      new RegExp(`^bastion 127\\.0\\.0\\.1:${nobody} refuses connections \\(tried 2 times`),
    );
    const noTarget = { ...targetHop, port: nobody, bastions: [outerHop], limits: {} };
    expect((await failureOf(greets(noTarget))).message).toMatch(
      new RegExp(
        `^127\\.0\\.0\\.1:${nobody} cannot be reached from bastion 127\\.0\\.0\\.1:${outerHop.port}: Connection refused \\(tried 2 times`,
      ),
    );
    const strange = { ...targetHop, bastions: [{ ...outerHop, hostKeys: ['SHA256:another'] }], limits: {} };
    expect((await failureOf(greets(strange))).message).toMatch(
      /^bastion 127\.0\.0\.1:\d+ shows the host key SHA256:/,
    );
    const unknown = {
      ...targetHop,
      bastions: [{ ...outerHop, credential: targetHop.credential }],
      limits: {},
    };
    expect((await failureOf(greets(unknown))).message).toMatch(
      /^bastion 127\.0\.0\.1:\d+ does not accept the key "target"/,
    );
  });

  test('a bastion that forbids the way on says so', async () => {
    const { outerHop, targetHop } = await aWay({ bastionLines: ['AllowTcpForwarding no'] });
    const failure = await failureOf(greets({ ...targetHop, bastions: [outerHop], limits: {} }));
    expect(failure.failure).toBe('ServerUnreachable');
    expect(failure.message).toMatch(
      /cannot be reached: bastion \S+ forbids the way on, needs "AllowTcpForwarding yes"/,
    );
  });
});

describe.runIf(hasOpenSsh)('an sshd with limits', () => {
  async function aMachine(lines: readonly string[]) {
    const folder = await aFolder();
    const key = await aKey(folder, 'key');
    const sshd = await startSshd({ authorizedKeys: [key.public], lines });
    return { sshd, target: targetOf(addressOf(sshd), { secrets: { key: key.private } }) };
  }

  test('runs one command after the other where it allows one session', async () => {
    const { sshd, target } = await aMachine(['MaxSessions 1']);
    const pool = aPool();
    const greetings = Array.from({ length: 6 }, () => greets(target, pool));
    expect(await Promise.all(greetings)).toEqual(greetings.map(() => 'hello'));
    expect(await sshd.logins()).toBe(1);
  });

  test('is given a connection more while a command that lasts holds its only session', async () => {
    const { sshd, target } = await aMachine(['MaxSessions 1']);
    const pool = aPool();
    const stop = new AbortController();
    let watched: () => void = () => undefined;
    const watches = new Promise<void>((resolve) => (watched = resolve));
    const watching = pool.use(target, endless, (link) =>
      link.execute('echo watching; exec sleep 60', {
        signal: stop.signal,
        deadlineMs: undefined,
        lasting: true,
        onLine: () => watched(),
      }),
    );
    watching.catch(() => undefined);
    await watches;
    expect(await Promise.all([greets(target, pool), greets(target, pool)])).toEqual(['hello', 'hello']);
    expect(await sshd.logins()).toBe(2);
    stop.abort(new Error('seen enough'));
    await expect(watching).rejects.toThrow('seen enough');
  });

  test('says so when it opens no session at all', async () => {
    const { target } = await aMachine(['MaxSessions 0']);
    const failure = await failureOf(greets(target));
    expect(failure.failure).toBe('ServerBusy');
    expect(failure.message).toContain('opens no session for a command, needs "MaxSessions" above 0');
  });

  test('lets everybody in who was dropped for the crowd', async () => {
    const { sshd, target } = await aMachine(['MaxStartups 2:100:2', 'LogLevel VERBOSE']);
    const pool = aPool({ tries: 12 });
    const crowd = Array.from({ length: 10 }, (_, owner) => ({ ...target, owner: String(owner) }));
    expect(await Promise.all(crowd.map((one) => greets(one, pool)))).toEqual(crowd.map(() => 'hello'));
    expect(await sshd.log()).toMatch(/MaxStartups/);
  });

  test('drops nobody where the worker makes few connections at a time', async () => {
    const { sshd, target } = await aMachine(['MaxStartups 2:100:2', 'LogLevel VERBOSE']);
    const pool = aPool({ tries: 1, handshakes: 1 });
    const crowd = Array.from({ length: 10 }, (_, owner) => ({ ...target, owner: String(owner) }));
    expect(await Promise.all(crowd.map((one) => greets(one, pool)))).toEqual(crowd.map(() => 'hello'));
    expect(await sshd.log()).not.toMatch(/MaxStartups/);
  });

  test('tells a drop from a refused login', async () => {
    const { sshd, target } = await aMachine(['MaxStartups 1:100:1', 'LoginGraceTime 60']);
    // Whoever says nothing keeps the only place.
    const idler = connect(sshd.port, '127.0.0.1');
    onTestFinished(() => void idler.destroy());
    await once(idler, 'data');
    const failure = await failureOf(greets(target));
    expect(failure.failure).toBe('ServerUnreachable');
    expect(failure.message).toMatch(
      /closes the connection before the handshake.* \(tried 2 times in \d+ s\)\n {2}sshd does so while it is asked by many/,
    );
    idler.destroy();
    expect(await greets(target, aPool({ tries: 10 }))).toBe('hello');
  });

  test('is connected to anew after it has ended an idle connection', async () => {
    const { sshd, target } = await aMachine(['UnusedConnectionTimeout 1s']);
    const pool = aPool();
    expect(await greets(target, pool)).toBe('hello');
    await expect.poll(() => sshd.log(), { timeout: 20_000 }).toMatch(/terminating inactive connection/);
    expect(await greets(target, pool)).toBe('hello');
    expect(await sshd.logins()).toBe(2);
  });

  test('is connected to anew where the end of the connection shows only when it is used', async () => {
    const { sshd, target } = await aMachine([]);
    const bridges: { readonly near: Socket; readonly far: Socket }[] = [];
    const proxy = createServer((near) => {
      const far = connect(sshd.port, '127.0.0.1');
      bridges.push({ near, far });
      for (const socket of [near, far]) socket.on('error', () => undefined);
      near.pipe(far, { end: false }).pipe(near, { end: false });
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void proxy.close());
    await once(proxy, 'listening');
    const pool = aPool();
    const through = { ...target, port: (proxy.address() as AddressInfo).port };
    expect(await greets(through, pool)).toBe('hello');
    // A firewall that has forgotten a connection answers the next packet with a reset.
    const [{ near, far }] = bridges as [(typeof bridges)[0]];
    near.unpipe(far);
    far.destroy();
    near.once('data', () => near.destroy()).resume();
    expect(await greets(through, pool)).toBe('hello');
    expect(bridges).toHaveLength(2);
  });

  test('may show a banner and say its first words in drops', async () => {
    const folder = await aFolder();
    const banner = join(folder, 'banner');
    await writeFile(banner, 'Authorised use only!\n'.repeat(50));
    const { sshd, target } = await aMachine([`Banner ${banner}`, 'PrintMotd yes']);
    const proxy = createServer((near) => {
      const far = connect(sshd.port, '127.0.0.1');
      for (const socket of [near, far]) socket.on('error', () => undefined);
      near.pipe(far);
      // A greeting before the version is allowed (RFC 4253, 4.2), and everything comes in drops.
      near.write('Welcome to the jungle\r\n');
      far.on('data', (chunk: Buffer) => {
        for (const byte of chunk.subarray(0, 40)) near.write(Buffer.from([byte]));
        near.write(chunk.subarray(40));
      });
      near.once('close', () => far.destroy());
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void proxy.close());
    await once(proxy, 'listening');
    expect(await greets({ ...target, port: (proxy.address() as AddressInfo).port })).toBe('hello');
  });

  test('is told from what is no SSH server', async () => {
    const { target } = await aMachine([]);
    const web = createServer((socket) =>
      socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    ).listen(0, '127.0.0.1');
    onTestFinished(() => void web.close());
    await once(web, 'listening');
    const failure = await failureOf(greets({ ...target, port: (web.address() as AddressInfo).port }));
    expect(failure.message).toContain('is no SSH server: it says "HTTP/1.1 400 Bad Request"');
  });
});
