// Makes this checkout ready to run: packages, `dist/`, and a Temporal dev server; with `--tests` also the time-skipping
// server. Does only what is missing. Runs straight after `git clone`, so it uses nothing but Node itself.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const forTests = process.argv.includes('--tests');
/** Says what `dist/` was compiled from. */
const stamp = join(root, 'dist/.sources');
/** Set where nothing may be skipped. */
const demandAll = Boolean(process.env.VERDIGRIS_DEMAND_ALL);

const steps = [
  { title: 'Installing packages', isDone: packagesAreInstalled, run: installPackages },
  { title: 'Compiling', isDone: distIsCurrent, run: compile },
  {
    title: 'Getting Temporal',
    isDone: () => has('temporalExecutable'),
    run: (tell) => get('temporalExecutable', tell),
  },
  { title: 'Getting the time-skipping server', isDone: hasTimeSkippingServer, run: getTimeSkippingServer },
];

try {
  checkMachine();
  for (const step of steps) {
    if (!(await step.isDone())) await alone(() => finish(step));
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

/** Another run may have done it while this one waited for its turn. */
async function finish({ title, isDone, run }) {
  if (!(await isDone())) await shown(title, run);
}

// What this machine must have

function checkMachine() {
  const complaints = [
    process.platform !== 'linux' && `the system is ${process.platform}, needs Linux`,
    process.platform === 'linux' &&
      !glibcVersion() &&
      'the C library is not glibc, which the Temporal SDK needs',
    !isAtLeast(process.versions.node, [20, 19]) &&
      `Node.js is ${process.versions.node}, needs 20.19 or later`,
    !onPath('cc', 'gcc', 'clang') && 'there is no C compiler (cc) on PATH, needed for the example programs',
    !onPath('cmake') && 'there is no CMake (cmake) on PATH, needed for the example programs',
    !onPath('make', 'gmake', 'ninja') && 'there is no make on PATH, needed by CMake',
  ].filter(Boolean);
  if (complaints.length === 0) return;
  const packages = complaints.some((complaint) => complaint.includes('on PATH'));
  throw new Error(
    [
      'Cannot set up Verdigris on this machine:',
      ...complaints.map((complaint) => `  ${complaint}`),
      ...(packages ? ['On Debian and Ubuntu: sudo apt-get install gcc cmake make'] : []),
    ].join('\n'),
  );
}

function glibcVersion() {
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime;
}

function isAtLeast(version, [major, minor]) {
  const [ownMajor, ownMinor] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function onPath(...names) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.some((folder) => names.some((name) => isExecutable(join(folder, name))));
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

// Packages

/** npm writes down what it installed; that is compared with what the lock file asks for, whoever ran npm. */
function packagesAreInstalled() {
  const noted = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(noted)) return false;
  const wanted = Object.entries(readJson(join(root, 'package-lock.json')).packages);
  const installed = readJson(noted).packages;
  return wanted.every(
    ([path, { version, optional, devOptional }]) =>
      path === '' || installed[path]?.version === version || (!installed[path] && (optional || devOptional)),
  );
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

async function installPackages() {
  await command('npm', ['ci', '--no-audit', '--no-fund'], 'Cannot install the packages', 'npm ci');
}

// dist/

function distIsCurrent() {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === sourcesHash();
}

async function compile() {
  const hash = sourcesHash();
  rmSync(stamp, { force: true });
  await command(process.execPath, ['scripts/build.mjs'], 'Cannot compile', 'npm run build');
  writeFileSync(stamp, hash);
}

/** Of all that `scripts/build.mjs` reads. */
function sourcesHash() {
  const settings = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.mjs'];
  const folders = readJson(join(root, 'tsconfig.build.json')).include;
  const hash = createHash('sha256');
  for (const file of [...settings, ...folders.flatMap(filesIn)]) {
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0');
  }
  return hash.digest('hex');
}

function filesIn(folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesIn(path) : entry.isFile() ? [path] : [];
    });
}

// Temporal

function executables() {
  return import(pathToFileURL(join(root, 'dist/sandbox/temporal/executable.js')));
}

/** A server that runs already is all that is needed, except by tests, which stop and start their own. */
async function has(finder) {
  const { existingServer, [finder]: find } = await executables();
  if (!forTests && existingServer()) return true;
  return find({ downloads: [] }).then(
    () => true,
    () => false,
  );
}

async function get(finder, tell) {
  const { [finder]: find } = await executables();
  await find({ onProgress: tell });
}

async function hasTimeSkippingServer() {
  return !forTests || (await has('timeSkippingExecutable'));
}

/** Some machines cannot have it, and tests that need it say so. */
async function getTimeSkippingServer(tell) {
  try {
    await get('timeSkippingExecutable', tell);
  } catch (error) {
    if (demandAll) throw error;
    console.error(`${error.message}\nTests that need it are skipped`);
  }
}

// One at a time

/**
 * Runs `work` while no other set-up of this checkout does. The lock is a socket name of the kernel's own, so it goes
 * with whoever holds it, however that ends; who waits hears of it as the end of a connection.
 */
async function alone(work) {
  const name = `\0verdigris-set-up-${createHash('sha256').update(root).digest('hex').slice(0, 32)}`;
  for (;;) {
    const lock = await listen(name);
    if (lock === undefined) {
      await shown('Waiting for another set-up of this checkout', () => untilHungUp(name));
      continue;
    }
    try {
      return await work();
    } finally {
      lock.release();
    }
  }
}

/** `undefined` when somebody else listens. */
function listen(name) {
  return new Promise((resolve, reject) => {
    const waiting = new Set();
    const server = createServer((socket) => {
      waiting.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => waiting.delete(socket));
    });
    const release = () => {
      server.close();
      for (const socket of waiting) socket.destroy();
    };
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    server.listen(name, () => resolve({ release }));
  });
}

function untilHungUp(name) {
  return new Promise((resolve) => {
    // A refused connection is a lock that was released just now.
    connect(name).on('error', resolve).on('close', resolve).resume();
  });
}

// Commands and progress

/** Runs a command quietly; its output is shown when it fails. */
function command(program, words, failure, next) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const hear = (bytes) => {
      output = (output + bytes).slice(-8_000);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    const fail = (how) => reject(new Error(`${output}${failure}: ${how}\n  Try it alone: ${next}`));
    child.once('error', (error) => fail(error.message));
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else fail(`"${next}" ended with ${signal ?? `exit code ${code}`}, its last words are above`);
    });
  });
}

/** Shows what is going on once it takes over a second: a line that counts on a terminal, plain lines elsewhere. */
async function shown(title, work) {
  const onTerminal = Boolean(process.stderr.isTTY) && !process.env.CI;
  const startedAt = Date.now();
  let detail = '';
  let shownAt = 0;
  const say = () => {
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    if (!onTerminal && shownAt && Date.now() - shownAt < 10_000) return;
    shownAt = Date.now();
    const line = `${title} (${seconds} s)${detail && `: ${detail}`}`;
    process.stderr.write(
      onTerminal ? `\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}` : `${line}\n`,
    );
  };
  const timer = setInterval(say, 1_000);
  try {
    const result = await work((line) => {
      detail = line;
    });
    if (shownAt) {
      const seconds = Math.round((Date.now() - startedAt) / 1000);
      process.stderr.write(`${onTerminal ? '\r\x1b[K' : ''}${title}: done in ${seconds} s\n`);
    }
    return result;
  } catch (error) {
    if (shownAt && onTerminal) process.stderr.write('\n');
    throw error;
  } finally {
    clearInterval(timer);
  }
}
