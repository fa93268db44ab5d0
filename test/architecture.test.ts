import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What each folder may import besides itself: whole modules, or `import type` only. A longer path is the narrower rule. */
const mayImport: Readonly<
  Record<string, { readonly modules?: readonly string[]; readonly types?: readonly string[] }>
> = {
  domain: {},
  ovh: { modules: ['domain'] },
  drivers: { modules: ['domain', 'ovh'] },
  workflows: { modules: ['domain'], types: ['activities'] },
  activities: { modules: ['domain'], types: ['drivers'] },
  configuration: { modules: ['domain'] },
  worker: { modules: ['domain', 'ovh', 'drivers', 'activities', 'workflows', 'configuration'] },
  client: { modules: ['domain', 'configuration', 'workflows/messages'], types: ['workflows'] },
  // The commands that run the other programs of the package.
  'client/commands/worker': { modules: ['worker/main'] },
  'client/commands/sandbox': { modules: ['sandbox'] },
  // What an administrator runs on a server is the helper and how it is installed.
  'client/commands/server': { modules: ['drivers/servers'] },
  // What a person does at OVHcloud without Temporal, with the keys that a worker has.
  'client/commands/ovh': {
    modules: [
      'ovh',
      'drivers/load-balancers',
      'drivers/secrets',
      'worker/configuration',
      'worker/secrets',
      'worker/ovh-keys',
    ],
  },
  // What a person does while Temporal is down: the steps of a rollback with a worker's own drivers.
  'client/commands/switch': {
    modules: [
      'ovh/api',
      'drivers/hand-switches',
      'drivers/load-balancers',
      'drivers/patience',
      'activities/public-proof',
      'activities/comparison',
      'activities/identity',
      'worker/agents',
      'worker/configuration',
      'worker/drivers',
      'worker/secrets',
    ],
  },
  'client/commands/demo': { modules: ['sandbox'] },
  // The sandbox uses the product from outside; to judge its load it uses the product's own prober and words.
  sandbox: { modules: ['domain', 'drivers/traffic', 'workflows/messages', 'configuration'] },
};

/** npm packages that a folder may not see at all. */
const banned: Readonly<Record<string, RegExp>> = {
  domain: /^(node:|@temporalio\/)/,
  workflows: /^(node:|@temporalio\/(client|worker|activity|testing))/,
  drivers: /^@temporalio\//,
  ovh: /^@temporalio\//,
  activities: /^@temporalio\/(client|worker|workflow|testing)/,
};

interface Import {
  readonly file: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

const files = Object.keys(mayImport)
  .filter((folder) => !folder.includes('/'))
  .filter((folder) => existsSync(join(root, folder)))
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => join(folder, path)),
  );

const imports: readonly Import[] = files.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [...text.matchAll(/^\s*(import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)';/gms)];
  const dynamic = [...text.matchAll(/import\(\s*'([^']+)'\s*\)/g)];
  return [
    ...found.map(([, , type, target]) => ({
      file,
      target: resolved(file, target!),
      typeOnly: type !== undefined,
    })),
    ...dynamic.map(([, target]) => ({ file, target: resolved(file, target!), typeOnly: false })),
  ];
});

function resolved(file: string, target: string): string {
  return target.startsWith('.')
    ? relative('.', normalize(join(dirname(file), target))).replace(/\.js$/, '')
    : target;
}

const folderOf = (path: string): string => path.split('/')[0] ?? '';
const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
const isOurs = (target: string): boolean => files.some((file) => isWithin(target, folderOf(file)));

function isAllowed({ file, target, typeOnly }: Import): boolean {
  if (folderOf(target) === folderOf(file)) return true;
  return Object.entries(mayImport)
    .filter(([folder]) => isWithin(file.replace(/\.ts$/, ''), folder))
    .some(([, { modules = [], types = [] }]) =>
      [...modules, ...(typeOnly ? types : [])].some((allowed) => isWithin(target, allowed)),
    );
}

describe('the folders', () => {
  test('are read at all', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(imports.length).toBeGreaterThan(200);
  });

  test('import each other along the arrows only', () => {
    const wrong = imports.filter((each) => isOurs(each.target) && !isAllowed(each));
    expect(wrong.map(({ file, target }) => `${file} may not import ${target}`)).toEqual([]);
  });

  test('keep what decides away from the world', () => {
    const wrong = imports.filter(
      ({ file, target }) => !isOurs(target) && banned[folderOf(file)]?.test(target),
    );
    expect(wrong.map(({ file, target }) => `${file} may not import ${target}`)).toEqual([]);
  });

  test('have no drawer for what has no name', () => {
    const drawers = files.filter((file) =>
      /(^|[/-])(utils?|helpers?|common|shared|manager|impl|misc)([/.-]|$)/.test(file.replace(/\.ts$/, '')),
    );
    // The helper on a server is a program with that name, not a drawer; work that is shared is what its file is about.
    expect(drawers.filter((file) => !/helper-protocol|installed-helper|shared-work/.test(file))).toEqual([]);
  });
});

describe('the load balancer', () => {
  test('is changed by workflows in one place only, where turns are taken', () => {
    const changing = files.filter(
      (file) =>
        folderOf(file) === 'workflows' && /\.routeTraffic\b/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(changing).toEqual(['workflows/moving-traffic.ts']);
  });
});

describe('what decides', () => {
  test('knows no clock and no chance in the domain', () => {
    const guilty = files
      .filter((file) => folderOf(file) === 'domain')
      .filter((file) =>
        /\b(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|process\.(env|hrtime|nextTick|pid|cwd))/.test(
          readFileSync(join(root, file), 'utf8'),
        ),
      );
    expect(guilty).toEqual([]);
  });
});
