#!/usr/bin/env node
import { runCommandLine } from './command-line.js';

// Whoever reads may stop early (`| head`), a terminal may vanish, a disk may be full: no reason to end what is being carried out in
// the middle. That an answer is not whole is told by the exit code.
const lost: Error[] = [];
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') lost.push(error);
  });

let code = await runCommandLine(process.argv.slice(2));
for (const stream of [process.stdout, process.stderr])
  await new Promise((resolve) => stream.write('', resolve));
const [firstLost] = lost;
if (firstLost) {
  await new Promise((resolve) =>
    process.stderr.write(`Cannot write what it says: ${firstLost.message}\n`, resolve),
  );
  code ||= 1;
}
// Not left to Node: its clean-up spins for ever when a TLS connection was cut in the middle of a write, as a killed worker's is
// (nodejs/node, Environment::CleanupHandles, seen with 20.20).
process.exit(code);
