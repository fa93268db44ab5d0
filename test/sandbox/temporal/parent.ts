// Started by tests, which kill it: holds a guarded program, or a Temporal server, and tells its pid.
import { startGuarded } from '../../../sandbox/guarded-process.js';
import { startTemporal } from '../../../sandbox/temporal/server.js';

const [, , kind, program] = process.argv;
if (kind === 'temporal') {
  console.log((await startTemporal()).pid);
} else if (program !== undefined) {
  const child = startGuarded('sh', ['-c', program]);
  // Its first line says that it is ready.
  child.stdout.once('data', () => console.log(child.pid));
}
