import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parseDocument } from 'yaml';
import { ConfigurationError, readService } from '../../../client/configuration/configuration.js';

const id = (digit: number): string => `0b0b0b0b-0000-4000-8000-00000000000${digit}`;
const hostKey = `SHA256:${'A'.repeat(43)}`;

const least = `service: greeter
program: { port: 8080 }
ssh: { user: deploy, key: secret:ssh-key }
environments:
  blue: [{ name: blue-1, address: 10.0.0.1, hostKey: "${hostKey}" }]
  green: [{ name: green-1, address: 10.0.0.2, hostKey: "${hostKey}" }]
loadBalancer:
  driver: ovh-public-cloud
  project: ${'0123456789abcdef'.repeat(2)}
  region: GRA11
  id: ${id(1)}
  listeners: [${id(2)}]
  pools: { blue: ${id(4)}, green: ${id(5)} }
publicAddress: { url: http://203.0.113.10, identify: { header: X-Greeter-Version } }
`;

function written(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'verdigris-public-cloud-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'verdigris.yaml');
  writeFileSync(path, text);
  return path;
}

function complaintsAbout(key: readonly (string | number)[], value: unknown): readonly string[] {
  const document = parseDocument(least);
  document.setIn(['loadBalancer', ...key], value);
  try {
    readService(written(String(document)));
  } catch (error) {
    if (error instanceof ConfigurationError)
      return error.complaints.map((complaint) => complaint.replace(/^.*?: /, ''));
    throw error;
  }
  return [];
}

test('a Public Cloud Load Balancer is completed with defaults', () => {
  expect(readService(written(least)).loadBalancer).toMatchObject({
    driver: 'ovh-public-cloud',
    listeners: [id(2)],
    pools: { blue: id(4), green: id(5) },
    weights: {},
    updateDeadlineMs: 300_000,
    statusDelayMs: 10_000,
    api: { endpoint: 'ovh-eu', consumerKey: { secret: 'ovh-consumer-key' } },
  });
});

test.each([
  [['project'], 'mine', 'loadBalancer.project: is "mine", needs the id of a Public Cloud project'],
  [['listeners'], [], 'loadBalancer.listeners: is an empty list, needs at least one listener'],
  [['listeners', 0], 70089, 'loadBalancer.listeners[0]: is 70089, needs the id of a listener, a UUID'],
  [['listeners'], [id(2), id(2)], `loadBalancer.listeners[1]: is ${id(2)} again, needs each once`],
  [['stagingListener'], id(2), 'which is one of listeners, needs a listener without traffic'],
  [['pools', 'green'], id(4), "as blue's is, needs a pool of its own"],
  [['mixed'], { pools: [id(5)] }, "as one environment's is, needs a pool of its own"],
  [
    ['mixed'],
    { pools: [id(6)], weights: 'move' },
    'loadBalancer.mixed.weights: is "move", needs keep or set',
  ],
  [['weights'], { 'green-9': 2 }, 'loadBalancer.weights.green-9: is the name of no server'],
  [['weights'], { 'green-1': 0 }, 'loadBalancer.weights.green-1: is 0, needs a weight, 1 to 256'],
  [['listener'], id(2), 'loadBalancer.listener: is not a known key, did you mean "listeners"?'],
  [['farms'], { blue: 1, green: 2 }, 'loadBalancer.farms: is not a known key'],
  [['driver'], 'octavia', 'loadBalancer.driver: is "octavia", needs ovh-iplb or ovh-public-cloud'],
])('%j as %j is refused, with what is needed', (key, value, complaint) => {
  expect(complaintsAbout(key, value).join('\n')).toContain(complaint);
});
