import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { commands } from '../client/command-table.js';
import { jsonSchema, readService } from '../client/configuration/configuration.js';
import { tallyLines } from '../client/words.js';
import { exitCodes } from '../domain/deployment.js';
import { messageNames, phases } from '../domain/phase.js';
import { emptyTally } from '../domain/traffic.js';
import { placeholderNames } from '../domain/template.js';
import { AgentsSchema } from '../worker/agents.js';
import { readWorkerConfiguration } from '../worker/configuration.js';
import { SecretsSchema } from '../worker/secrets.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const markdown = [
  'README.md',
  'CHANGELOG.md',
  'examples/greeter/README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const pipeline = 'examples/greeter/.gitlab-ci.yml';

interface Fence {
  readonly language: string;
  readonly text: string;
}

const fencePattern = /^```(\w*)\n([\s\S]*?)^```$/gm;

const fencesOf = (text: string): readonly Fence[] =>
  [...text.matchAll(fencePattern)].map(([, language = '', body = '']) => ({ language, text: body }));

/** What is set as code: fences, indented blocks and spans, line by line, without comments. */
function codeOf(text: string): readonly string[] {
  const prose = text.replace(fencePattern, '');
  const indented = prose.split('\n').filter((line) => line.startsWith('    '));
  const spans = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
  const fenced = fencesOf(text).flatMap((fence) => fence.text.split('\n'));
  return [...fenced, ...indented, ...spans].map((line) => line.replace(/\s#.*/, ''));
}

/** `verdigris <command> ...` wherever it stands in a line of code; a name of a file or an id is none. */
const callsIn = (lines: readonly string[]): readonly string[] =>
  lines.flatMap((line) =>
    [...line.matchAll(/(?<![\w./-])verdigris ([a-z][^`]*)/g)].map(([, call = '']) => call),
  );

/** The names of what each command takes, subcommands by both their words. */
async function optionsByCommand(): Promise<ReadonlyMap<string, readonly string[]>> {
  const known = new Map<string, readonly string[]>();
  for (const { name, load } of commands) {
    const command = new Command(name);
    (await load()).define(command);
    for (const each of [command, ...command.commands]) {
      const path = each === command ? name : `${name} ${each.name()}`;
      known.set(path, ['--help', ...each.options.flatMap(({ short, long }) => [short, long])].filter(isText));
    }
  }
  return known;
}

const isText = (word: string | undefined): word is string => word !== undefined;

/** What is wrong with a call, as the command line would see it. */
function faultsOf(call: string, known: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const words = call.trim().split(/\s+/);
  const [first = '', second = ''] = words;
  const path = known.has(`${first} ${second}`) ? `${first} ${second}` : first;
  const options = known.get(path);
  if (!options) return [`verdigris ${call}: there is no command "${first}"`];
  return words
    .filter((word) => /^-{1,2}[a-z]/.test(word))
    .filter((word) => !options.includes(word))
    .map((word) => `verdigris ${call}: ${path} has no ${word}`);
}

describe.each(markdown)('%s', (path) => {
  const text = read(path);

  test('names only commands and options that there are', async () => {
    const known = await optionsByCommand();
    expect(callsIn(codeOf(text)).flatMap((call) => faultsOf(call, known))).toEqual([]);
  });

  test('names only npm scripts that there are', () => {
    const { scripts } = JSON.parse(read('package.json')) as {
      readonly scripts: Readonly<Record<string, string>>;
    };
    const named = codeOf(text).flatMap((line) =>
      [...line.matchAll(/npm run ([\w:-]+)/g)].map(([, name = '']) => name),
    );
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });

  test('links only to what is there', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
    const local = links.filter((link) => !/^https?:/.test(link));
    expect(local.filter((link) => !leadsSomewhere(path, link))).toEqual([]);
  });

  test('shows YAML that can be parsed, with keys that there are', () => {
    const shown = fencesOf(text).filter(({ language }) => language === 'yaml');
    for (const { text: yaml } of shown) {
      const value = parse(yaml) as Readonly<Record<string, unknown>>;
      if (value['secrets'] !== undefined) SecretsSchema.parse(value['secrets']);
      else if (value['agents'] !== undefined) AgentsSchema.parse(value['agents']);
      else if (JSON.stringify(value).includes('"script"')) continue;
      else expect(configurationKeys).toEqual(expect.arrayContaining(Object.keys(value)));
    }
  });
});

const configurationKeys = Object.keys(jsonSchema()['properties'] as object);

function leadsSomewhere(from: string, link: string): boolean {
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? from : join(dirname(from), file);
  if (!existsSync(join(root, target))) return false;
  return anchor === undefined || anchorsOf(read(target)).includes(anchor);
}

const anchorsOf = (text: string): readonly string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .trim()
      .replace(/\s/g, '-'),
  );

describe('README.md', () => {
  const text = read('README.md');
  const [deployment, ending] = fencesOf(text).map((fence) => fence.text);

  test('shows phases that there are, in their order', () => {
    const shown = [...(deployment ?? '').matchAll(/^ {4}([a-z]+) {3,}/gm)].map(([, phase]) => phase);
    expect(shown).toEqual(phases);
  });

  test('has every phase in its table, in their order', () => {
    const rows = [...text.matchAll(/^\| ([a-z]+) +\| .+\| (?:refused|undone|rolled back|reported) +\|$/gm)];
    expect(rows.map(([, phase]) => phase)).toEqual(phases);
  });

  test.each(['README.md', 'docs/how-a-switch-loses-no-request.md'])(
    '%s words the tally as reports do',
    (path) => {
      const tally = {
        ...emptyTally,
        sent: 733,
        p50Ms: 53,
        p99Ms: 768,
        longestGapMs: 312,
        observedMs: 19_000,
        unobservedMs: 7_000,
      };
      const told = fencesOf(read(path))
        .flatMap((fence) => fence.text.split('\n'))
        .map((line) => line.trim());
      expect(told).toEqual(expect.arrayContaining([...tallyLines(tally)]));
    },
  );

  test('shows the acts that the demo plays, and none of them lost a request', () => {
    const demo = read('sandbox/demo.ts');
    const acts = [...(ending ?? '').matchAll(/^(?:promoted|adopted|rolled back): (.+?) {2,}\d+ +(\d+) /gm)];
    expect(acts).toHaveLength([...demo.matchAll(/this\.#act\('/g)].length);
    expect(acts.filter(([, act = '']) => !demo.includes(`'${act}'`))).toEqual([]);
    expect(acts.map(([, , lost]) => lost)).toEqual(acts.map(() => '0'));
  });

  test('calls nothing missing that is there', () => {
    const [, missing = ''] = text.split('## Not there yet');
    const [, names = ''] = /the commands? (.+?):/s.exec(missing) ?? [];
    const named = [...names.matchAll(/`([\w-]+)`/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(0);
    expect(commands.map(({ name }) => name).filter((name) => named.includes(name))).toEqual([]);
  });
});

test('the example pipeline calls commands with options that there are', async () => {
  const known = await optionsByCommand();
  const calls = callsIn(
    read(pipeline)
      .split('\n')
      .filter((line) => line.trim().startsWith('- verdigris ')),
  );
  expect(calls.length).toBeGreaterThan(2);
  expect(calls.flatMap((call) => faultsOf(call, known))).toEqual([]);
});

test('the first deployment tells every exit code', () => {
  const text = read('docs/first-deployment.md');
  for (const code of Object.values(exitCodes)) expect(text).toMatch(new RegExp(`\\b${code} [a-z]`));
});

test('what a C program must do names every placeholder of a unit file', () => {
  const text = read('docs/what-a-c-program-must-do.md');
  expect(placeholderNames.filter((name) => !text.includes(`\`{{${name}}}\``))).toEqual([]);
});

test('operating it names every message that the Temporal UI can send', () => {
  const text = read('docs/operating.md');
  expect(messageNames.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

test('the configuration of the example is a good one', () => {
  const service = readService(join(root, 'examples/greeter/verdigris.yaml'), 'production');
  expect(service.id).toBe('greeter@production');
  expect([service.environments.blue.length, service.environments.green.length]).toEqual([2, 2]);
});

test('the annotated worker.yaml is a good one, and tells the defaults', () => {
  const directory = mkdtempSync(join(tmpdir(), 'verdigris-docs-'));
  try {
    writeFileSync(join(directory, 'worker.yaml'), 'secrets: {}\n');
    const {
      secrets: _none,
      agents: _neither,
      ...defaults
    } = readWorkerConfiguration(join(directory, 'worker.yaml'));
    const {
      secrets,
      agents: _some,
      ...told
    } = readWorkerConfiguration(join(root, 'docs/worker.example.yaml'));
    expect(told).toEqual(defaults);
    expect(Object.values(secrets).map((each) => ['file', 'env', 'exec'].find((key) => key in each))).toEqual(
      expect.arrayContaining(['file', 'env', 'exec']),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('the annotated worker.yaml has a secret for every name that the annotated verdigris.yaml uses', () => {
  const { secrets, agents } = readWorkerConfiguration(join(root, 'docs/worker.example.yaml'));
  const used = (kind: string) => {
    const names = read('docs/verdigris.example.yaml').matchAll(new RegExp(`${kind}:([a-z][a-z0-9-]*)`, 'g'));
    return [...new Set([...names].map(([, name = '']) => name))];
  };
  expect(used('secret').filter((name) => secrets[name] === undefined)).toEqual([]);
  expect(used('agent').filter((name) => agents[name] === undefined)).toEqual([]);
});
