import { readFileSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** About as many others as are run on the other workers while two files that take turns are run. */
const othersPerTurns = 9;
const places = 2;

/** Small to read and long to run: where nothing is known of files but their sizes, they would be run last, one of them alone. */
const longest = [
  'drivers/servers/helper-kills',
  'drivers/load-balancers/ovh-iplb-every-call',
  'drivers/load-balancers/several-every-call',
  'drivers/load-balancers/switching-under-load',
  'drivers/load-balancers/ovh-public-cloud-every-call',
  'fleet/threshold',
  'whole/shared-load-balancer',
].map((name) => `/test/${name}.test.ts`);

/** Name of the project whose files share processes, as long as they follow each other. */
export const sharedProcess = 'shared process';

/**
 * Spreads the files that take turns (`takeTurns`) over the run: a worker that waits for its turn does nothing else. Those that share
 * processes come last: they are short, so that all workers end at about the same time.
 */
export class SpreadTurns extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const last = sorted.filter(({ project }) => project.name === sharedProcess);
    const own = sorted.filter((file) => !last.includes(file));
    const longFirst = [...own.filter(isLong), ...own.filter((file) => !isLong(file))];
    const turns = longFirst.filter(takesTurns);
    const others = longFirst.filter((file) => !takesTurns(file));
    const order: TestSpecification[] = [];
    while (turns.length > 0) order.push(...turns.splice(0, places), ...others.splice(0, othersPerTurns));
    return [...order, ...others, ...last];
  }
}

const isLong = ({ moduleId }: TestSpecification): boolean => longest.some((end) => moduleId.endsWith(end));

const takesTurns = ({ moduleId }: TestSpecification): boolean =>
  readFileSync(moduleId, 'utf8').includes('takeTurns();');
