import { expect } from 'vitest';
import { serversOf } from '../../domain/service.js';
import { test } from '../support/world.js';
import { aCommandLine, documentsOf } from './support/command-line.js';

test('tells what every server is in one table, and what only should be known', async ({ aWorld }) => {
  const world = await aWorld();
  const cli = await aCommandLine(world);
  const { exitCode, stdout } = await cli.run('server doctor');
  expect(exitCode).toBe(0);
  const lines = stdout.split('\n');
  expect(lines[0]).toMatch(/^server +color +machine +system +glibc +systemd +cpu +memory free +disk free/);
  const rows = lines.slice(1, 1 + serversOf(world.service).length);
  expect(rows.map((row) => row.split(' ')[0])).toEqual(serversOf(world.service).map(({ name }) => name));
  expect(stdout).toContain('blue-1: the deploying key is as good as root');
  expect(stdout).toMatch(/4 servers of shop-\w+@test are fit\.$/);
});

test('says what has to be mended, by its exit code too, and examines the others all the same', async ({
  aWorld,
}) => {
  const world = await aWorld();
  const cli = await aCommandLine(world);
  world.server('green-1').ailments = { clockAheadMs: 3_600_000, port: 'somebody else', processors: 1 };
  world.server('blue-2').link = 'refused';
  const { exitCode, stdout } = await cli.run('server doctor --json');
  expect(exitCode).toBe(2);
  const [document] = documentsOf(stdout, 'one');
  expect(document).toMatchObject({ fit: false, servers: { length: 4 } });
  const complaints = String(document?.['complaints']);
  expect(complaints).toContain("green-1: its clock is 3600 s ahead of the worker's");
  expect(complaints).toContain('green-1: another program than');
  expect(complaints).toMatch(/Cannot .*"?blue-2/);
});
