import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { temporalExecutable } from '../sandbox/temporal/executable.js';
import { searchAttributes, startTemporal } from '../sandbox/temporal/server.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFile(join(root, path), 'utf8');

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly restart: string;
  readonly networks: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly volumes?: readonly (string | { readonly target: string; readonly read_only: boolean })[];
  readonly ports?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly cap_drop?: readonly string[];
  readonly read_only?: boolean;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, object>>;
  readonly volumes: Readonly<Record<string, object>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
}

const text = await read('docker-compose.yml');
const compose = parse(text) as Compose;
const services = Object.entries(compose.services);
const service = (name: string): Service => {
  const found = compose.services[name];
  if (!found) throw new Error(`There is no service "${name}"`);
  return found;
};

describe('docker-compose.yml', () => {
  test.each(services)('%s waits only for what can come true', (_, { depends_on = {} }) => {
    for (const [name, { condition }] of Object.entries(depends_on)) {
      const awaited = service(name);
      if (condition === 'service_healthy') expect(awaited.healthcheck).toBeDefined();
      else expect([condition, awaited.restart]).toEqual(['service_completed_successfully', 'on-failure:5']);
    }
  });

  test.each(services)('%s uses only networks, volumes and configs that are declared', (_, used) => {
    expect(Object.keys(compose.networks)).toEqual(expect.arrayContaining([...used.networks]));
    expect(Object.keys(compose.configs)).toEqual(
      expect.arrayContaining((used.configs ?? []).map(({ source }) => source)),
    );
    const named = (used.volumes ?? []).filter((volume) => typeof volume === 'string');
    expect(Object.keys(compose.volumes)).toEqual(
      expect.arrayContaining(named.map((volume) => volume.split(':')[0])),
    );
  });

  test.each(services)('%s is reachable from this machine only', (_, { ports = [] }) => {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });

  test('has a default for every variable, or says that it is needed', () => {
    const used = [...text.replaceAll('$$', '').matchAll(/\$(\{[^}]*\}?|\w*)/g)].map(
      ([, variable]) => variable,
    );
    // The comment at the top shows a command with `$(...)`, which is no variable.
    expect(used.filter((variable) => variable && !/^\{\w+:[-?].+\}$/.test(variable))).toEqual([]);
    expect(new Set(text.match(/\$\{DB_PASSWORD[^}]*\}/g))).toEqual(
      new Set(['${DB_PASSWORD:?set it in .env}']),
    );
  });

  test('runs the server version that the settings are written for, everywhere', () => {
    const images = services
      .map(([, { image }]) => image)
      .filter((image) => /temporalio\/(server|admin)/.test(image));
    expect(new Set(images.map((image) => image.split(':').slice(1).join(':')))).toEqual(
      new Set(['${TEMPORAL_VERSION:-1.32.0}']),
    );
    expect(service('database').image).toBe('postgres:16');
  });

  test('gives the server the settings file that it does not start without', () => {
    const { configs, environment } = service('temporal');
    expect(configs?.map(({ target }) => target)).toEqual([environment?.['DYNAMIC_CONFIG_FILE_PATH']]);
    for (const [key, values] of Object.entries(
      parse(compose.configs['temporal-settings']?.content ?? '') as object,
    )) {
      expect(key).toMatch(/^[a-z]+\.\w+$/);
      expect(values).toEqual([{ value: false }]);
    }
  });

  test.each(['WORKFLOW_TERMINATE', 'WORKFLOW_RESET', 'WORKFLOW_PAUSE', 'BATCH_ACTIONS', 'START_WORKFLOW'])(
    'offers no button in the web UI that would strand a deployment: %s',
    (action) => expect(service('ui').environment?.[`TEMPORAL_${action}_DISABLED`]).toBe('true'),
  );

  test('leaves people the buttons that deployments answer to', () => {
    expect(Object.keys(service('ui').environment ?? {}).join()).not.toMatch(
      /(SIGNAL|UPDATE|CANCEL)_DISABLED|WRITE_ACTIONS/,
    );
  });

  test('lets the worker write nothing but its cache, and keeps it from the database', () => {
    const { volumes = [], read_only, cap_drop, networks } = service('worker');
    expect(volumes.filter((volume) => typeof volume === 'string' || !volume.read_only)).toEqual([
      'cache:/var/cache/verdigris',
    ]);
    expect({ read_only, cap_drop, networks }).toEqual({
      read_only: true,
      cap_drop: ['ALL'],
      networks: ['temporal'],
    });
  });
});

describe('the jobs', () => {
  /** The job's script as its shell gets it. */
  const scriptOf = (name: string): string => {
    const { entrypoint, command } = service(name);
    expect(entrypoint).toEqual(['sh', '-euc']);
    return (command?.[0] ?? '').replaceAll('$$', '$');
  };

  async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'verdigris-compose-'));
    try {
      await use(directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  const sh = (script: string, path: string, env: NodeJS.ProcessEnv) =>
    execa('sh', ['-euc', script], {
      env: { ...env, PATH: `${path}:/usr/bin:/bin` },
      extendEnv: false,
      all: true,
      reject: false,
    });

  test('the schema is created and brought up to date for both databases, and a failure ends the job', () =>
    inDirectory(async (directory) => {
      const tool = join(directory, 'temporal-sql-tool');
      const run = async (body: string) => {
        await writeFile(tool, `#!/bin/sh\necho "$@"\n${body}\n`);
        await chmod(tool, 0o755);
        return sh(scriptOf('schema'), directory, {});
      };
      const versioned = '/etc/temporal/schema/postgresql/v12';
      expect((await run('')).stdout.split('\n')).toEqual([
        '--db temporal create',
        '--db temporal setup-schema -v 0.0',
        `--db temporal update-schema -d ${versioned}/temporal/versioned`,
        '--db temporal_visibility create',
        '--db temporal_visibility setup-schema -v 0.0',
        `--db temporal_visibility update-schema -d ${versioned}/visibility/versioned`,
      ]);
      expect(await run('exit 3')).toMatchObject({ exitCode: 3, stdout: '--db temporal create' });
    }));

  test('the namespace gets what deployments are searched by, however often the job runs', async () => {
    const server = await startTemporal({ searchAttributes: {} });
    try {
      const temporal = await temporalExecutable();
      const env = {
        TEMPORAL_ADDRESS: server.address,
        TEMPORAL_NAMESPACE: 'verdigris',
        RETENTION: '90d',
        HOME: tmpdir(),
      };
      for (const time of ['first', 'second']) {
        const job = await sh(scriptOf('namespace'), dirname(temporal), env);
        expect([time, job.exitCode, job.all]).toEqual([time, 0, expect.any(String)]);
      }
      const words = ['operator', 'search-attribute', 'list', '--output', 'json'];
      const listed = await execa(temporal, words, { env });
      expect(JSON.parse(listed.stdout)).toMatchObject({
        customAttributes: Object.fromEntries(
          Object.entries(searchAttributes).map(([name]) => [name, expect.anything()]),
        ),
      });
      const described = await execa(temporal, ['operator', 'namespace', 'describe', '--output', 'json'], {
        env,
      });
      expect(described.stdout).toContain('"workflowExecutionRetentionTtl": "7776000s"');
    } finally {
      await server.close();
    }
  });
});

describe('Dockerfile', () => {
  test('builds on Debian, never on Alpine, and runs as nobody special', async () => {
    const dockerfile = await read('Dockerfile');
    expect(dockerfile.match(/^FROM \S+/gm)).toEqual([
      'FROM node:20-bookworm-slim',
      'FROM node:20-bookworm-slim',
    ]);
    expect(dockerfile).toMatch(/^USER 10001:10001$/m);
  });

  test('runs a worker with the configuration that the compose file mounts', async () => {
    const words = (name: string, text: string) =>
      JSON.parse(new RegExp(`^${name} (\\[.*\\])$`, 'm').exec(text)?.[1] ?? '[]') as readonly string[];
    const dockerfile = await read('Dockerfile');
    const [link, program] = words('ENTRYPOINT', dockerfile).map((word) => `/usr/local/bin/${word}`);
    expect(program).toBeUndefined();
    const target = new RegExp(`ln -s /verdigris/(\\S+) ${link}$`, 'm').exec(dockerfile)?.[1] ?? 'nothing';
    const mounted = (service('worker').volumes ?? []).map((volume) =>
      typeof volume === 'string' ? volume : volume.target,
    );
    const command = words('CMD', dockerfile);
    expect(mounted).toContain(command.at(-1));
    // Without such a file it says so: it got as far as a worker does.
    const elsewhere = [target, ...command.slice(0, -1), '/nowhere/worker.yaml'];
    const { exitCode, stderr } = await execa(process.execPath, elsewhere, { cwd: root, reject: false });
    expect(stderr).toMatch(/^Cannot read "\/nowhere\/worker\.yaml"/);
    expect(exitCode).toBe(2);
  });

  test('is sent everything that the build reads, and no keys', async () => {
    const allowed = (await read('.dockerignore')).match(/(?<=^!).+$/gm) ?? [];
    const build = JSON.parse(await read('tsconfig.build.json')) as { include: string[] };
    expect(allowed).toEqual(
      expect.arrayContaining([...build.include, 'package.json', 'package-lock.json', 'scripts/build.mjs']),
    );
    expect(allowed.join()).not.toMatch(/secrets|worker\.yaml|\.env/);
  });
});
