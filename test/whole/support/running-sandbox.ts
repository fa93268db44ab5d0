import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdtemp, readFile, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Connection } from '@temporalio/client';
import { inject, test as base, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import type { Color } from '../../../domain/color.js';
import { runByHand } from '../../../sandbox/foreign-release.js';
import type { JsonObject } from '../../../sandbox/ovh-api/json.js';
import {
  removeSandbox,
  startSandbox,
  type Sandbox,
  type SandboxOptions,
  type SandboxServer,
} from '../../../sandbox/sandbox.js';
import { hastyApi, quickSettings, RunningService } from './running-service.js';

export { lost, underLoad } from './running-service.js';

export interface RunningSandboxOptions extends Pick<
  SandboxOptions,
  'product' | 'serversPerEnvironment' | 'behaviour' | 'beside' | 'fallback'
> {
  /** Laid over the quick settings, section by section. */
  readonly settings?: Readonly<Record<string, JsonObject>>;
  /** Certificates that workers trust beside the sandbox's own, as PEM. */
  readonly trust?: string;
  /** More secrets for `worker.yaml`: what their names resolve to. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** What people had before: greeter 1.0.0 on blue, put there by hand, unless told. */
  readonly before?: 'by hand' | 'nothing';
  /** The address of a Temporal of the test's own; the test run's, unless told. */
  readonly temporal?: string;
}

/** A sandbox with real workers, and everything that tests ask of it. */
export class RunningSandbox extends RunningService {
  readonly sandbox: Sandbox;

  private constructor(sandbox: Sandbox, connection: Connection, temporal: string) {
    const { directory } = sandbox;
    const close = async () => {
      await sandbox.close();
      await removeSandbox(directory);
    };
    super({ ...sandbox, address: '127.0.0.1', close }, connection, temporal);
    this.sandbox = sandbox;
  }

  static async start(options: RunningSandboxOptions = {}): Promise<RunningSandbox> {
    const {
      settings = {},
      before = 'by hand',
      behaviour = {},
      trust = '',
      secrets = {},
      ...others
    } = options;
    const { temporal = inject('temporalAddress'), ...rest } = others;
    const sandbox = await startSandbox({
      ...rest,
      directory: await mkdtemp(join(tmpdir(), 'verdigris-whole-')),
      service: `greeter-${randomUUID().slice(0, 8)}`,
      behaviour: { ...hastyApi, ...behaviour },
      settings: quickSettings(settings),
    });
    await appendFile(sandbox.api.caFile, trust);
    await addSecrets(sandbox, secrets);
    const connection = await Connection.connect({ address: temporal });
    const running = new RunningSandbox(sandbox, connection, temporal);
    if (before === 'by hand') await running.runByHand('blue', '1.0.0');
    return running;
  }

  async runByHand(color: Color, version: string): Promise<void> {
    const built = await this.build(version);
    await Promise.all(this.servers(color).map((server) => runByHand(server, built, { unit: this.unit })));
  }

  /** Waits until systemd has started the unit on a server; the helper goes on watching it for a while. */
  async untilStarted(server: string): Promise<void> {
    await vi.waitUntil(() => this.starts(server) > 0, { timeout: 60_000, interval: 10 });
  }

  // What is

  servers(color: Color): readonly SandboxServer[] {
    return this.sandbox.servers.filter((server) => server.color === color);
  }

  server(name: string): SandboxServer {
    const found = this.sandbox.servers.find((server) => server.name === name);
    if (!found) throw new Error(`no server ${name}`);
    return found;
  }

  /** Everything that may not change on an environment while the other one is deployed to. */
  fingerprint(color: Color): Promise<unknown> {
    return Promise.all(
      this.servers(color).map(async ({ name, machine, directory }) => {
        const { status } = machine.init.unit(this.unit);
        return {
          name,
          status,
          program: status.mainPid === 0 ? 'none' : await hashOf(`/proc/${status.mainPid}/exe`),
          files: { ...(await hashesIn(directory)), ...(await hashesIn(machine.unitDirectory)) },
        };
      }),
    );
  }

  pids(color: Color): readonly number[] {
    return this.servers(color).map(({ machine }) => machine.init.unit(this.unit).status.mainPid);
  }

  /** How often systemd has started the unit on a server since the machine is there. */
  starts(server: string): number {
    return this.journalOf(server).filter((line) => line.startsWith('Started ')).length;
  }

  /** What systemd and the program wrote on a server. */
  journalOf(server: string): readonly string[] {
    return this.server(server)
      .machine.init.journal.entries()
      .map(({ message }) => message);
  }

  /** What the helper says that it did on a server, without times. */
  async stepsOn(server: string): Promise<readonly string[]> {
    const text = await readFile(join(this.server(server).directory, '.verdigris/journal'), 'utf8');
    return text
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').slice(2).join(' '));
  }

  /** Names of the releases that are installed on a server. */
  async releasesOn(server: string): Promise<readonly string[]> {
    return readdir(join(this.server(server).directory, 'releases')).catch(() => []);
  }
}

/** As an operator would: a file that only the worker can read, and its name in `worker.yaml`. */
async function addSecrets(sandbox: Sandbox, secrets: Readonly<Record<string, string>>): Promise<void> {
  const worker = parse(await readFile(sandbox.workerFile, 'utf8')) as {
    readonly secrets: Record<string, JsonObject>;
  };
  for (const [name, value] of Object.entries(secrets)) {
    await writeFile(join(sandbox.directory, 'secrets', name), value, { mode: 0o600 });
    worker.secrets[name] = { file: `secrets/${name}`, services: ['*'], hosts: ['127.0.0.1'] };
  }
  await writeFile(sandbox.workerFile, stringify(worker));
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function hashesIn(folder: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file, await hashOf(file)] as const)),
  );
}

/** `test` with sandboxes of its own: each is closed when the test ends. */
export const test = base.extend<{
  readonly aSandbox: (options?: RunningSandboxOptions) => Promise<RunningSandbox>;
}>({
  // oxlint-disable-next-line no-empty-pattern -- the runner reads the pattern to learn what a fixture needs
  aSandbox: async ({}, use) => {
    const opened: RunningSandbox[] = [];
    await use(async (options) => {
      const running = await RunningSandbox.start(options);
      opened.push(running);
      await running.startWorker();
      return running;
    });
    for (const running of opened) await running.close();
  },
});
