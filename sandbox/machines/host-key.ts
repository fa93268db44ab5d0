import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2 from 'ssh2';

export interface HostKey {
  /** In OpenSSH's format. */
  readonly privateKey: string;
  /** `SHA256:...`, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
}

export interface KeyPair {
  readonly private: string;
  readonly public: string;
}

/** The machine's own Ed25519 key, made when it is first asked for and the same ever after. */
export async function hostKey(directory: string): Promise<HostKey> {
  const folder = join(directory, 'etc/ssh');
  const file = join(folder, 'ssh_host_ed25519_key');
  if (!existsSync(file)) {
    const made = newKeyPair();
    await mkdir(folder, { recursive: true });
    await writeFile(`${file}.pub`, `${made.public}\n`);
    await writeFile(file, made.private, { mode: 0o600 });
  }
  const privateKey = await readFile(file, 'utf8');
  return { privateKey, fingerprint: fingerprintOf(privateKey) };
}

/** A new Ed25519 key pair in OpenSSH's format. */
export function newKeyPair(): KeyPair {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519');
    // ssh2 1.17 spoils one pair in 256: it takes a first byte of zero for padding and drops it.
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) return pair;
  }
}

function fingerprintOf(privateKey: string): string {
  const key = ssh2.utils.parseKey(privateKey);
  if (key instanceof Error) throw key;
  const digest = createHash('sha256').update(key.getPublicSSH()).digest('base64');
  return `SHA256:${digest.replace(/=+$/, '')}`;
}
