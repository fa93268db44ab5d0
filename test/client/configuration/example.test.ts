import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { jsonSchema, readService } from '../../../client/configuration/configuration.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const examplePath = `${root}docs/verdigris.example.yaml`;
const testersMarks = ['header', 'cookie', 'source'] as const;
const schemaPath = `${root}docs/verdigris.schema.json`;

test('the published schema is the one that the command line reads with', () => {
  expect(JSON.parse(readFileSync(schemaPath, 'utf8'))).toEqual(JSON.parse(JSON.stringify(jsonSchema())));
});

test('the script would write the published schema again, byte for byte', () => {
  const script = `import { schemaText } from ${JSON.stringify(`${root}scripts/schema.mjs`)}; process.stdout.write(await schemaText())`;
  const written = execFileSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', script],
    { cwd: root, encoding: 'utf8' },
  );
  expect(written).toBe(readFileSync(schemaPath, 'utf8'));
});

test('the annotated example is a good configuration', () => {
  expect(readService(examplePath, 'production').id).toBe('greeter@production');
});

test('the annotated example names every key of the schema', () => {
  const example: unknown = parse(readFileSync(examplePath, 'utf8'));
  // Servers of blue and green have the same keys: once is enough.
  const keys = keysOf(jsonSchema()).filter(([first, color]) => first !== 'environments' || color !== 'blue');
  const text = readFileSync(examplePath, 'utf8');
  const others: readonly unknown[] = [
    withServiceAccount(text),
    withRegions(text),
    withPublicCloud(text),
    ...testersMarks.map((mark) => withTestersBy(mark, text)),
  ].map((other) => parse(other));
  // What stands in a region is told where it stands at the top.
  const atTop = ([first, ...rest]: readonly string[]) =>
    first === 'regions' && rest[0] !== 'name' && rest[0] !== 'servers' ? rest : [];
  // A machine is one product: each of the three stands at another server.
  const inBlue = ([first, ...rest]: readonly string[]) => [first ?? '', ...rest.toSpliced(0, 1, 'blue')];
  const missing = keys.filter(
    (path) =>
      ![example, ...others].some(
        (one) => has(one, path) || (path[0] === 'regions' && path.length > 2 && has(one, atTop(path))),
      ) && !(path[0] === 'environments' && has(example, inBlue(path))),
  );
  expect(missing).toEqual([]);
});

test.each([
  [
    'a service account',
    () => withServiceAccount,
    { driver: 'ovh-iplb', api: { clientId: { secret: 'ovh-client-id' } } },
  ],
  [
    'a Public Cloud Load Balancer',
    () => withPublicCloud,
    { driver: 'ovh-public-cloud', mixed: { weights: 'keep' }, updateDeadlineMs: 300_000 },
  ],
])('the annotated example is good with %s too, as its comments show it', (_what, changed, expected) => {
  const folder = mkdtempSync(join(tmpdir(), 'verdigris-example-'));
  try {
    const path = join(folder, 'verdigris.yaml');
    writeFileSync(path, changed()(readFileSync(examplePath, 'utf8')));
    copyFileSync(`${root}docs/known_hosts.example`, join(folder, 'known_hosts.example'));
    expect(readService(path).loadBalancer).toMatchObject(expected);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the annotated example is good with regions too, as its comments show it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'verdigris-example-'));
  try {
    const path = join(folder, 'verdigris.yaml');
    writeFileSync(path, withRegions(readFileSync(examplePath, 'utf8')));
    copyFileSync(`${root}docs/known_hosts.example`, join(folder, 'known_hosts.example'));
    expect(
      readService(path).regions?.map(({ name, servers }) => ({ name, servers: servers.length })),
    ).toEqual([
      { name: 'gra', servers: 2 },
      { name: 'sbg', servers: 4 },
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each(testersMarks)(
  'the annotated example is good with testers by %s, as its comments show it',
  (mark) => {
    const folder = mkdtempSync(join(tmpdir(), 'verdigris-example-'));
    try {
      const path = join(folder, 'verdigris.yaml');
      writeFileSync(path, withTestersBy(mark, readFileSync(examplePath, 'utf8')));
      copyFileSync(`${root}docs/known_hosts.example`, join(folder, 'known_hosts.example'));
      expect(readService(path).loadBalancer).toMatchObject({ testers: { route: 5501, by: { kind: mark } } });
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

/** The example with several load balancers, which it can only have as comments. */
const withRegions = (example: string): string =>
  example
    .replace(/^loadBalancer:\n(?:(?: .*)?\n)+/m, '')
    .replace(/^publicAddress:\n(?:(?: .*)?\n)+/m, '')
    .replace(/^# regions:\n(?:# .*\n)+/m, (block) => block.replaceAll(/^# /gm, ''));

/** The example with testers told in another way. */
function withTestersBy(mark: (typeof testersMarks)[number], example: string): string {
  return mark === 'header'
    ? example
    : example.replace(/^ +header: \{ name: X-Preview.*\n/m, '').replace(`# ${mark}:`, `${mark}:`);
}

/** The example with the other kind of credential, which it can only have as comments. */
const withServiceAccount = (example: string): string =>
  example
    .replaceAll(/^ +(applicationKey|applicationSecret|consumerKey):.*\n/gm, '')
    .replaceAll(/# (?=(clientId|clientSecret|tokenUrl):)/g, '');

/** The example with the other kind of load balancer. */
const withPublicCloud = (example: string): string =>
  example
    .replace(/^loadBalancer:\n( .*\n)+/m, '')
    .replace(/^# loadBalancer:\n(# .*\n)+/m, (block) => block.replaceAll(/^# /gm, ''));

test('the annotated example tells the default of every key that has one', () => {
  const lines = readFileSync(examplePath, 'utf8').split('\n');
  const untold = defaultsOf(jsonSchema()).filter(
    ([path, value]) =>
      !lines.some(
        (line) =>
          line
            .replace('#', '')
            .trim()
            .startsWith(`${path.at(-1)}:`) &&
          line.includes('default') &&
          line.includes(String(value)),
      ),
  );
  expect(untold).toEqual([]);
});

type Schema = {
  readonly properties?: Readonly<Record<string, Schema>>;
  /** One kind of map or another. */
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly default?: unknown;
};

/** Every key, maps and their members alike; the members of a list's items go through the list. */
const keysOf = (schema: Schema, path: readonly string[] = []): readonly (readonly string[])[] =>
  membersOf(schema).flatMap(([key, inner]) => [
    [...path, key],
    ...keysOf(inner.items ?? inner, [...path, key]),
  ]);

const membersOf = ({ properties = {}, oneOf = [] }: Schema): readonly (readonly [string, Schema])[] => [
  ...Object.entries(properties),
  ...oneOf.flatMap(membersOf),
];

const has = (value: unknown, [key, ...rest]: readonly string[]): boolean => {
  if (key === undefined) return true;
  if (Array.isArray(value)) return value.some((item) => has(item, [key, ...rest]));
  return (
    typeof value === 'object' &&
    value !== null &&
    key in value &&
    has((value as Record<string, unknown>)[key], rest)
  );
};

const defaultsOf = (
  schema: Schema,
  path: readonly string[] = [],
): readonly (readonly [readonly string[], unknown])[] =>
  membersOf(schema).flatMap(([key, inner]) => [
    ...(inner.default === undefined || typeof inner.default === 'object'
      ? []
      : [[[...path, key], inner.default] as const]),
    ...defaultsOf(inner.items ?? inner, [...path, key]),
  ]);
