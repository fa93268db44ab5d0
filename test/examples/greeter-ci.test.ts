import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { greeterSources } from '../../sandbox/programs.js';

interface Job {
  readonly stage: string;
  readonly script: readonly string[];
  readonly extends?: string | readonly string[];
  readonly needs?: readonly string[];
  readonly artifacts?: { readonly reports?: { readonly dotenv?: string } };
}

const token = 'marker-of-a-secret-job-token';

const atGitLab = {
  CI_API_V4_URL: 'https://gitlab.example/api/v4',
  CI_PROJECT_ID: '42',
  CI_PIPELINE_ID: '1001',
  CI_COMMIT_SHORT_SHA: 'abc12345',
  CI_JOB_TOKEN: token,
  GITLAB_USER_LOGIN: 'maria',
};

/** Writes its words, one call per line, and its input if it has any. */
const recorder = (name: string, log: string) => `#!/bin/sh
for word in "$@"; do printf '[%s]' "$word"; done >>${log}/${name}.words
echo >>${log}/${name}.words
[ ${name} = verdigris ] || cat >>${log}/${name}.input
`;

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 }); // compilers at work, perhaps on a busy machine

let checkout: string;
let log: string;
let dotenv: Record<string, string>;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'greeter-ci-'));
  [checkout, log] = [join(directory, 'checkout'), join(directory, 'log')];
  await cp(greeterSources(), checkout, { recursive: true });
});

beforeEach(async () => {
  dotenv = {};
  await rm(log, { recursive: true, force: true });
  await mkdir(join(log, 'bin'), { recursive: true });
  for (const name of ['curl', 'verdigris']) {
    await writeFile(join(log, 'bin', name), recorder(name, log), { mode: 0o755 });
  }
});

afterAll(() => rm(join(checkout, '..'), { recursive: true, force: true }));

const pipeline = async () => {
  const text = await readFile(join(greeterSources(), '.gitlab-ci.yml'), 'utf8');
  return parse(text) as Readonly<Record<string, Job>> & { readonly stages: readonly string[] };
};

const words = (name: string) => readFile(join(log, `${name}.words`), 'utf8');

/** Runs a job's lines as they are written, as a runner does: one shell that ends with the first failure. */
async function runJob(name: string, variables: Readonly<Record<string, string>>): Promise<void> {
  const job = (await pipeline())[name];
  if (!job) throw new Error(`no job "${name}"`);
  await execa('sh', ['-e', '-c', job.script.join('\n')], {
    cwd: checkout,
    extendEnv: false,
    env: { ...atGitLab, ...dotenv, ...variables, PATH: `${join(log, 'bin')}:${process.env['PATH']}` },
  });
  const file = job.artifacts?.reports?.dotenv;
  if (file === undefined) return;
  const lines = (await readFile(join(checkout, file), 'utf8')).trim().split('\n');
  for (const line of lines) dotenv[line.slice(0, line.indexOf('='))] = line.slice(line.indexOf('=') + 1);
}

const runJobs = async (
  names: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<void> => {
  for (const name of names) await runJob(name, variables);
};

describe('the pipeline', () => {
  test('builds, tests, packages, uploads and deploys a commit of main', async () => {
    await runJobs(['build', 'test', 'test:sanitized', 'package', 'upload', 'deploy'], {
      CI_COMMIT_BRANCH: 'main',
    });

    const name = 'greeter-0.0.0-abc12345';
    const archive = await readFile(join(checkout, 'build', `${name}.tar.gz`));
    const sha256 = createHash('sha256').update(archive).digest('hex');
    const url = `https://gitlab.example/api/v4/projects/42/packages/generic/greeter/0.0.0-abc12345/${name}.tar.gz`;
    expect(await words('curl')).toBe(
      `[--config][-][--fail-with-body][--silent][--show-error][--retry][5][--upload-file][build/${name}.tar.gz][${url}]\n`,
    );
    expect(await words('verdigris')).toBe(
      `[deploy][--config][verdigris.yaml][--artifact][${url}][--sha256][${sha256}][--version][0.0.0-abc12345][--wait]\n`,
    );
  });

  test('deploys a tag until it waits for approval', async () => {
    await runJobs(['build', 'package', 'upload', 'deploy:tag'], { CI_COMMIT_TAG: 'v2.1.0' });
    expect(await words('verdigris')).toMatch(
      /greeter-2\.1\.0\.tar\.gz\]\[--sha256\]\[[0-9a-f]{64}\]\[--version\]\[2\.1\.0\]\[--until\]\[approve\]\n$/,
    );
    const { stdout } = await execa(join(checkout, 'build/greeter'), ['--version']);
    expect(stdout).toMatch(/^greeter 2\.1\.0, build /);
  });

  test('gives the token to curl where no other process can read it', async () => {
    await runJobs(['build', 'package', 'upload'], { CI_COMMIT_TAG: 'v2.1.0' });
    expect(await words('curl')).not.toContain(token);
    expect(await readFile(join(log, 'curl.input'), 'utf8')).toBe(`header = "JOB-TOKEN: ${token}"\n`);
    expect(JSON.stringify(dotenv)).not.toContain(token);
  });

  test('lets people approve and roll back, and says who they are', async () => {
    await runJobs(['approve', 'rollback'], { CI_COMMIT_TAG: 'v2.1.0' });
    expect(await words('verdigris')).toBe(
      [
        '[approve][--config][verdigris.yaml][--version][2.1.0][--by][maria]\n',
        '[rollback][--config][verdigris.yaml][--reason][asked by maria in pipeline 1001]\n',
      ].join(''),
    );
  });

  test('uploads nothing but what was packaged', async () => {
    await runJobs(['build', 'package'], { CI_COMMIT_TAG: 'v2.1.1' });
    await writeFile(join(checkout, 'build/greeter-2.1.1.tar.gz'), 'something else');
    await expect(runJob('upload', { CI_COMMIT_TAG: 'v2.1.1' })).rejects.toMatchObject({ exitCode: 1 });
    await expect(words('curl')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('refuses a tag that names no version', async () => {
    await expect(runJob('upload', { CI_COMMIT_TAG: 'nightly' })).rejects.toMatchObject({
      stderr: expect.stringContaining('Cannot name a version after tag "nightly"'),
    });
  });
});

describe('the file', () => {
  test('names only stages and jobs that it has', async () => {
    const { stages, workflow: _, ...jobs } = await pipeline();
    for (const [name, job] of Object.entries(jobs)) {
      for (const other of [job.extends ?? [], job.needs ?? []].flat())
        expect(Object.keys(jobs)).toContain(other);
      if (name.startsWith('.')) continue;
      expect(stages).toContain(job.stage);
      expect(job.script.length, name).toBeGreaterThan(0);
    }
  });

  test('has scripts that shellcheck finds nothing in', async ({ skip }) => {
    const { exitCode } = await execa('sh', ['-c', 'command -v shellcheck'], { reject: false });
    if (exitCode !== 0) skip('shellcheck is not installed');
    const { stdout } = await execa('sh', ['-c', 'shellcheck ci/*.sh'], { cwd: checkout, reject: false });
    expect(stdout).toBe('');
  });
});
