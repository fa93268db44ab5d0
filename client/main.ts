#!/usr/bin/env node
import { runCommandLine } from './command-line.js';

// Whoever reads may stop early (`| head`); that is no fault, and nothing to wait less for.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await runCommandLine(process.argv.slice(2));
