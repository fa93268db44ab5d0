import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readService } from '../../client/configuration/configuration.js';
import { ReleaseId } from '../../domain/names.js';
import { neighboursOf } from '../../domain/service.js';
import { fill } from '../../domain/template.js';

const greeter = fileURLToPath(new URL('../../examples/greeter/', import.meta.url));
const service = readService(`${greeter}verdigris.yaml`, 'one-machine');
const [blue, green] = [service.environments.blue[0]!, service.environments.green[0]!];

test('both environments live on one machine, by configuration only', () => {
  expect(service.environments.blue).toHaveLength(1);
  expect(service.environments.green).toHaveLength(1);
  expect(blue.address).toBe(green.address);
  for (const own of ['unit', 'directory', 'port'] as const) expect(blue[own], own).not.toBe(green[own]);
  expect(service.install.keepFreeBytes).toBe(1e9);
});

test('each knows the unit that is live beside it, and no other', () => {
  expect(neighboursOf(service, blue)).toEqual(['greeter-green.service']);
  expect(neighboursOf(service, green)).toEqual(['greeter-blue.service']);
  const apart = readService(`${greeter}verdigris.yaml`, 'production');
  for (const server of apart.environments.green) expect(neighboursOf(apart, server)).toEqual([]);
});

test('one unit file serves both: ports and directories are filled in', () => {
  const template = {
    path: 'greeter.service',
    text: readFileSync(`${greeter}systemd/greeter.service`, 'utf8'),
  };
  const release = ReleaseId('0123456789ab-01234567');
  const [one, other] = [blue, green].map((server) => fill(template, { service, server, release }, () => ''));
  expect(one).toContain('/opt/greeter-blue/current/bin/greeter');
  expect(one).toContain('--port 8080');
  expect(other).toContain('/opt/greeter-green/current/bin/greeter');
  expect(other).toContain('--port 8081');
});
