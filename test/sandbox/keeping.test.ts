import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startSandbox, type Sandbox } from '../../sandbox/sandbox.js';

let directory: string;
const started: Sandbox[] = [];
const programs: Server[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verdigris-kept-'));
});
afterEach(async () => {
  for (const sandbox of started.splice(0)) await sandbox.close();
  for (const program of programs.splice(0)) program.close();
  await rm(directory, { recursive: true });
});

async function up(): Promise<Sandbox> {
  const sandbox = await startSandbox({ directory, keep: true, serversPerEnvironment: 1, instances: 2 });
  started.push(sandbox);
  return sandbox;
}

test('comes back as it was left: same files, keys and ports, and the traffic where it went', async () => {
  const first = await up();
  expect(first.isResumed).toBe(false);
  for (const { color, port } of first.servers) {
    const program = createServer((_request, response) => response.end(color)).listen(port, '127.0.0.1');
    programs.push(program);
    await once(program, 'listening');
  }
  const { api, loadBalancer } = first;
  const frontend = `/ipLoadbalancing/${api.serviceName}/http/frontend/${loadBalancer.frontend}`;
  await api.admin.editAsSomebodyElse('PUT', frontend, { defaultFarmId: loadBalancer.farms.green });
  await api.admin.refreshAsSomebodyElse();
  await expect.poll(async () => (await fetch(first.publicUrl)).text()).toBe('green');
  const files = () =>
    Promise.all([first.serviceFile, first.workerFile].map((file) => readFile(file, 'utf8')));
  const written = await files();
  await started.pop()?.close();

  const second = await up();
  expect(second.isResumed).toBe(true);
  expect(second.publicUrl).toBe(first.publicUrl);
  expect(await files()).toEqual(written);
  const met = await Promise.all(
    [1, 2].map(async () => {
      const answer = await fetch(second.publicUrl, { headers: { connection: 'close' } });
      return [answer.headers.get('x-iplb-instance'), await answer.text()] as const;
    }),
  );
  expect(Object.fromEntries(met)).toEqual({ 16300: 'green', 16301: 'green' });
});
