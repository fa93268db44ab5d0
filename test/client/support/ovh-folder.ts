import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { startOvhApi, type OvhApi, type OvhApiOptions } from '../../../sandbox/ovh-api/ovh-api.js';
import { runHere, type Finished } from './command-line.js';

/** A folder with a configuration and a worker's keys, and the emulated API that both name. */
export class OvhFolder {
  readonly path: string;
  readonly api: OvhApi;

  constructor(path: string, api: OvhApi) {
    this.path = path;
    this.api = api;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  read(name: string): Promise<string> {
    return readFile(this.file(name), 'utf8');
  }

  async mode(name: string): Promise<number> {
    return (await stat(this.file(name))).mode & 0o777;
  }

  write(name: string, text: string): Promise<void> {
    return writeFile(this.file(name), text);
  }

  async secret(name: string, value: string): Promise<void> {
    await this.write(name, `${value}\n`);
    await chmod(this.file(name), 0o600);
  }

  /** Runs `verdigris ovh ...` with the worker's keys. */
  run(words: string, onPrint?: (text: string) => void): Promise<Finished> {
    return this.runWith(`${words} --worker-config ${this.file('worker.yaml')}`, onPrint);
  }

  /** Runs it with keys from where the words say. */
  runWith(words: string, onPrint?: (text: string) => void): Promise<Finished> {
    return runHere(['ovh', ...words.split(' '), '--config', this.file('verdigris.yaml')], onPrint);
  }
}

export async function anOvhFolder(
  loadBalancer: (api: OvhApi) => string,
  options: OvhApiOptions = { behaviour: { todoMs: 0, doingMs: 0 } },
): Promise<OvhFolder> {
  const api = await startOvhApi(options);
  onTestFinished(() => api.close());
  const folder = new OvhFolder(await mkdtemp(join(tmpdir(), 'verdigris-ovh-')), api);
  onTestFinished(() => rm(folder.path, { recursive: true }));
  const { credentials } = api;
  await folder.secret('application-key', credentials.applicationKey);
  await folder.secret('application-secret', credentials.applicationSecret);
  const given = `services: ['*'], hosts: ['127.0.0.1']`;
  await folder.write(
    'worker.yaml',
    `
secrets:
  ovh-application-key: { file: application-key, ${given} }
  ovh-application-secret: { file: application-secret, ${given} }
  ovh-consumer-key: { file: consumer-key, ${given} }
  ovh-client-id: { file: client-id, ${given} }
  ovh-client-secret: { file: client-secret, ${given} }
trust: ${api.caFile}
ovh: { requestsPerSecond: 10000, burst: 10000 }
`,
  );
  await folder.write(
    'verdigris.yaml',
    `
service: greeter
program: { port: 8080 }
ssh: { user: deploy, key: secret:ssh-key }
environments:
  blue: [{ name: blue-1, address: 10.0.0.11 }, { name: blue-2, address: 10.0.0.12 }]
  green: [{ name: green-1, address: 10.0.0.21 }, { name: green-2, address: 10.0.0.22, port: 8081 }]
loadBalancer:
  driver: ovh-iplb
  serviceName: ${api.serviceName}
  api: { endpoint: "${api.url}" }
${loadBalancer(api).replaceAll(/^/gm, '  ')}
publicAddress: { url: "http://203.0.113.10", identify: { header: X-Version } }
`,
  );
  return folder;
}

export const withIds = (): string => 'frontends: [1]\nstagingFrontend: 2\nfarms: { blue: 3, green: 4 }';

/** Answers at a validation link, as somebody with a browser would. */
export function answerAt(api: OvhApi, url: string, form: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', ca: api.caPem, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    sent.on('error', reject);
    sent.end(form);
  });
}
