import { readFileSync, readdirSync } from 'node:fs';

/** Of `/proc/PID/stat`, after the name of the program: parent, then times of its own and of children that have ended. */
const fields = { parent: 1, times: [11, 12, 13, 14] } as const;

/** What Linux counts processor time in. */
const ticksPerSecond = 100;

/**
 * Processor seconds that this test run has taken so far: of everything it started, the machines of a fleet, what runs on them
 * and what has ended there. On a busy machine it tells what the clock cannot.
 */
export function processorSecondsSoFar(): number {
  const processes = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? lookAt(Number(name)) : []));
  const ours = new Set([process.ppid]);
  for (let known = 0; known < ours.size;) {
    known = ours.size;
    for (const { id, parent } of processes) if (ours.has(parent)) ours.add(id);
  }
  return processes.reduce((sum, { id, ticks }) => sum + (ours.has(id) ? ticks : 0), 0) / ticksPerSecond;
}

/** Nothing for one that has ended meanwhile. */
function lookAt(
  id: number,
): readonly { readonly id: number; readonly parent: number; readonly ticks: number }[] {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${id}/stat`, 'utf8');
  } catch {
    return [];
  }
  const words = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  return [
    {
      id,
      parent: words[fields.parent] ?? 0,
      ticks: fields.times.reduce((sum, index) => sum + (words[index] ?? 0), 0),
    },
  ];
}
