import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigurationError, readService } from '../../../client/configuration/configuration.js';
import { parseKnownHosts } from '../../../client/configuration/known-hosts.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'verdigris-known-hosts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Key {
  /** `ssh-ed25519 AAAA...` */
  readonly line: string;
  /** `ssh-ed25519 SHA256:...` */
  readonly pin: string;
}

function aKey(type: string): Key {
  const path = join(folder, `key-${Math.random()}`);
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-f', path]);
  const [kind = '', blob = ''] = readFileSync(`${path}.pub`, 'utf8').split(' ');
  const [, fingerprint = ''] = execFileSync('ssh-keygen', ['-l', '-f', path], { encoding: 'utf8' }).split(
    ' ',
  );
  return { line: `${kind} ${blob}`, pin: `${kind} ${fingerprint}` };
}

const lookUp = (text: string, host: string, port = 22) =>
  parseKnownHosts('known_hosts', text).lookUp(host, port);

describe('known_hosts', () => {
  let ed25519: Key;
  let ecdsa: Key;
  beforeAll(() => {
    ed25519 = aKey('ed25519');
    ecdsa = aKey('ecdsa');
  });

  test('pins every key of a machine, by name, address, pattern and port', () => {
    const text = [
      '# ours',
      '',
      `web.example.com,10.0.0.1 ${ed25519.line} a comment`,
      `10.0.0.1 ${ecdsa.line}`,
      `*.internal,!db.internal ${ecdsa.line}`,
      `[10.0.0.1]:2222 ${ecdsa.line}`,
    ].join('\n');
    expect(lookUp(text, '10.0.0.1').pinned).toEqual([ed25519.pin, ecdsa.pin]);
    expect(lookUp(text, 'WEB.example.com').pinned).toEqual([ed25519.pin]);
    expect(lookUp(text, 'a.internal').pinned).toEqual([ecdsa.pin]);
    expect(lookUp(text, 'db.internal').pinned).toEqual([]);
    expect(lookUp(text, '10.0.0.1', 2222).pinned).toEqual([ecdsa.pin]);
    expect(lookUp(text, '10.0.0.10').lacks).toBe('known_hosts has no line for 10.0.0.10');
  });

  test('is read when its names are hashed, as ssh-keygen -H leaves them', () => {
    const path = join(folder, 'hashed');
    writeFileSync(path, `10.0.0.1 ${ed25519.line}\n[bastion.example.com]:2222 ${ecdsa.line}\n`);
    execFileSync('ssh-keygen', ['-q', '-H', '-f', path], { stdio: 'ignore' });
    const text = readFileSync(path, 'utf8');
    expect(text).not.toContain('10.0.0.1');
    expect(lookUp(text, '10.0.0.1').pinned).toEqual([ed25519.pin]);
    expect(lookUp(text, 'bastion.example.com', 2222).pinned).toEqual([ecdsa.pin]);
    expect(lookUp(text, 'bastion.example.com').pinned).toEqual([]);
  });

  test.each([
    [
      'every key is revoked',
      () => `m ${ed25519.line}\n@revoked * ${ed25519.line}`,
      22,
      'revokes every key of m',
    ],
    [
      'there is only an authority',
      () => `@cert-authority m ${ed25519.line}`,
      22,
      'has only a certificate authority for m, which cannot vouch for it here',
    ],
    [
      'the line is for another port',
      () => `m ${ed25519.line}`,
      2222,
      'has no line for [m]:2222, only one for m on port 22',
    ],
    [
      'the type is not known',
      () => `m ssh-dss ${Buffer.from('\0\0\0\u0007ssh-dssxxxx', 'latin1').toString('base64')}`,
      22,
      'has only keys of type ssh-dss for m',
    ],
  ])('pins nothing where %s, and says so', (_, text, port, words) => {
    expect(lookUp(text(), 'm', port)).toMatchObject({ pinned: [], lacks: `known_hosts ${words}` });
  });

  test('pins what is left when one of several keys is revoked', () => {
    const text = `m ${ed25519.line}\nm ${ecdsa.line}\n@revoked m ${ed25519.line}`;
    expect(lookUp(text, 'm').pinned).toEqual([ecdsa.pin]);
  });

  test('names the lines that it cannot read', () => {
    const text = `m ${ed25519.line}\nm ssh-ed25519 AAAA\n@unknown m ${ed25519.line}\nm ssh-rsa ${ed25519.line.split(' ')[1]}`;
    expect(parseKnownHosts('known_hosts', text).unreadable).toEqual([2, 3, 4]);
  });

  const configuration = (ssh: string, server = '') => `service: greeter
program: { port: 8080 }
ssh: { user: deploy, key: secret:ssh-key${ssh} }
environments:
  blue:
    - { name: blue-1, address: 10.0.0.1${server} }
  green:
    - { name: green-1, address: 10.0.0.2, ssh: { port: 2222 } }
loadBalancer:
  driver: ovh-iplb
  serviceName: loadbalancer-0123456789abcdef
  frontends: [70089]
  stagingFrontend: 70090
  farms: { blue: 77212, green: 77213 }
publicAddress:
  url: http://203.0.113.10
  identify: { header: X-Greeter-Version }
`;

  function read(text: string) {
    const path = join(folder, 'verdigris.yaml');
    writeFileSync(path, text);
    return readService(path);
  }

  function complaints(text: string): readonly string[] {
    try {
      read(text);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      return error.complaints.map((complaint) => complaint.replaceAll(`${folder}/`, ''));
    }
    return [];
  }

  test('beside a configuration it pins servers and bastions, and a hostKey goes before it', () => {
    const own = `SHA256:${'A'.repeat(43)}`;
    writeFileSync(
      join(folder, 'hosts'),
      `10.0.0.1 ${ecdsa.line}\n[10.0.0.2]:2222 ${ed25519.line}\n[jump]:22022 ${ecdsa.line}\n`,
    );
    const bastions = 'bastions: [{ host: jump, port: 22022, user: j, key: agent:jump }]';
    const { environments } = read(
      configuration(`, passphrase: secret:p, knownHosts: hosts, ${bastions}`, `, hostKey: "${own}"`),
    );
    expect(environments.blue[0]!.connection).toMatchObject({
      hostKeys: [own],
      passphrase: { secret: 'p' },
      bastions: [{ host: 'jump', port: 22_022, user: 'j', key: { agent: 'jump' }, hostKeys: [ecdsa.pin] }],
    });
    expect(environments.blue[0]!.connection).not.toHaveProperty('bastions.0.passphrase');
    expect(environments.green[0]!.connection).toMatchObject({ hostKeys: [ed25519.pin] });
  });

  test('whoever is not pinned is complained of, with what to type', () => {
    expect(complaints(configuration(''))).toEqual([
      expect.stringContaining(
        'environments.blue[0].hostKey: is missing, needs a fingerprint here (ssh-keyscan -p 22 10.0.0.1 | ssh-keygen -lf -) or ssh.knownHosts',
      ),
      expect.stringContaining(
        'environments.green[0].hostKey: is missing, needs a fingerprint here (ssh-keyscan -p 2222 10.0.0.2',
      ),
    ]);
    writeFileSync(join(folder, 'hosts'), `10.0.0.1 ${ecdsa.line}\n10.0.0.2 ${ed25519.line}\nnonsense\n`);
    expect(complaints(configuration(', knownHosts: hosts, bastions: [{ host: jump }]'))).toEqual([
      expect.stringContaining('ssh.knownHosts: has no host key in line 3 of hosts'),
      expect.stringContaining('ssh.bastions[0].hostKey: is missing, and hosts has no line for jump'),
      expect.stringContaining(
        'environments.green[0].hostKey: is missing, and hosts has no line for [10.0.0.2]:2222, only one for 10.0.0.2 on port 22',
      ),
    ]);
    expect(complaints(configuration(', knownHosts: nowhere'))).toEqual([
      expect.stringContaining(
        'ssh.knownHosts: is "nowhere", which is not there, needs a file beside verdigris.yaml',
      ),
    ]);
  });

  test('a hostKey that it revokes is refused', () => {
    writeFileSync(join(folder, 'hosts'), `@revoked * ${ecdsa.line}\n[10.0.0.2]:2222 ${ed25519.line}\n`);
    const bare = ecdsa.pin.split(' ')[1];
    expect(complaints(configuration(', knownHosts: hosts', `, hostKey: "${bare}"`))).toEqual([
      expect.stringContaining(
        'environments.blue[0].hostKey: is revoked by hosts, needs the key that the machine has now',
      ),
    ]);
  });

  test.each([
    [
      'a passphrase for an agent',
      ', key: agent:deploy, passphrase: secret:p',
      /ssh\.passphrase: stands beside a key that an agent holds/,
    ],
    ['a passphrase without its key', '', /environments\.blue\[0\]\.ssh\.passphrase: has no key beside it/],
    [
      'a key written out',
      ', key: "-----BEGIN"',
      /ssh\.key: names neither a secret nor an agent, needs "secret:<name>" or "agent:<name>"/,
    ],
  ])('%s is complained of', (_, ssh, words) => {
    writeFileSync(join(folder, 'hosts'), `10.0.0.1 ${ecdsa.line}\n[10.0.0.2]:2222 ${ed25519.line}\n`);
    const text = configuration(', knownHosts: hosts', ssh === '' ? ', ssh: { passphrase: secret:p }' : '');
    const [complaint] = complaints(ssh === '' ? text : text.replace(', key: secret:ssh-key', ssh));
    expect(complaint).toMatch(words);
    expect(complaint).not.toContain('BEGIN');
  });
});
