#!/usr/bin/env node
import { runCommandLine } from './command-line.js';

// Whoever reads may stop early (`| head`); that is no fault, and nothing to wait less for.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

const code = await runCommandLine(process.argv.slice(2));
for (const stream of [process.stdout, process.stderr])
  await new Promise((resolve) => stream.write('', resolve));
// Not left to Node: its clean-up spins for ever when a TLS connection was cut in the middle of a write, as a killed worker's is
// (nodejs/node, Environment::CleanupHandles, seen with 20.20).
process.exit(code);
