import { existsSync, readFileSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** About as many others as are run on the other workers while two files that take turns are run. */
const othersPerTurns = 9;
const places = 2;

/**
 * Spreads the files that take turns (`takeTurns`) over the run: a worker that waits for its turn does nothing else. Begins with what
 * is small to read and long to run, where nothing is known but sizes: at the end, one worker would run it alone.
 */
export class SpreadTurns extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const turns = sorted.filter(takesTurns);
    const rest = sorted.filter((file) => !takesTurns(file));
    const others = [...rest.filter(runsAnotherFile), ...rest.filter((file) => !runsAnotherFile(file))];
    const order: TestSpecification[] = [];
    while (turns.length > 0) order.push(...turns.splice(0, places), ...others.splice(0, othersPerTurns));
    return [...order, ...others];
  }
}

const takesTurns = ({ moduleId }: TestSpecification): boolean =>
  readFileSync(moduleId, 'utf8').includes('takeTurns();');

/** Whether what takes time stands in a file beside it: a contract, or what it is named after. */
const runsAnotherFile = ({ moduleId }: TestSpecification): boolean =>
  /from '\.\/[\w-]+\.contract\.js'/.test(readFileSync(moduleId, 'utf8')) ||
  existsSync(moduleId.replace(/\.test\.ts$/, '.ts'));
