import { readFileSync, statSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const ends = (names: readonly string[]): readonly string[] => names.map((name) => `/test/${name}.test.ts`);

/** They keep a processor busy all the time. */
const computing = ends([
  'drivers/servers/helper-kills',
  'drivers/load-balancers/ovh-iplb-every-call',
  'drivers/load-balancers/several-every-call',
  'drivers/load-balancers/switching-under-load',
  'drivers/load-balancers/ovh-public-cloud-every-call',
]);

/** Small to read and long to run: where nothing is known of files but their sizes, they would be run last, one of them alone. */
const longest = [
  ...computing,
  ...ends(['fleet/threshold', 'whole/switch-and-temporal', 'whole/shared-load-balancer']),
];

/** Name of the project whose files share processes, as long as they follow each other. */
export const sharedProcess = 'shared process';

/**
 * Spreads over the run, each by themselves, the files that take turns (`takeTurns`), since a worker that waits for its turn does
 * nothing else, and those that compute, since most others wait most of the time. Those that share processes come last: they are
 * short, so that all workers end at about the same time.
 */
export class SpreadOut extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const own = sorted.filter(({ project }) => project.name !== sharedProcess);
    const isLong = isOf(longest);
    const longFirst = own.toSorted((one, other) => Number(isLong(other)) - Number(isLong(one)));
    const kinds = (['computing', 'taking turns', 'others'] as const).map((kind) =>
      longFirst.filter((file) => kindOf(file) === kind),
    );
    return [...spread(kinds), ...sorted.filter((file) => !own.includes(file))];
  }
}

const isOf =
  (files: readonly string[]) =>
  ({ moduleId }: TestSpecification): boolean =>
    files.some((end) => moduleId.endsWith(end));

function kindOf(file: TestSpecification): 'computing' | 'taking turns' | 'others' {
  if (isOf(computing)(file)) return 'computing';
  return readFileSync(file.moduleId, 'utf8').includes('takeTurns();') ? 'taking turns' : 'others';
}

/** All in one row, each kind in its order and evenly over all of it. */
function spread(kinds: readonly (readonly TestSpecification[])[]): readonly TestSpecification[] {
  return kinds
    .flatMap(placed)
    .toSorted((one, other) => one.at - other.at)
    .map(({ file }) => file);
}

/** From 0, the beginning of the run, to 1. Nothing tells how long those run that take turns or compute; of others their sizes do. */
function placed(files: readonly TestSpecification[]) {
  const lengths = files.map((file) => (kindOf(file) === 'others' ? statSync(file.moduleId).size : 1));
  const whole = lengths.reduce((sum, length) => sum + length, 0);
  let before = 0;
  return files.map((file, index) => {
    const at = before / whole;
    before += lengths[index] ?? 0;
    return { file, at };
  });
}
