import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readWorkerConfiguration } from '../../worker/configuration.js';

/** Reads it, and gives what it complains of, without the folder. */
function complaintsAbout(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'verdigris-worker-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'worker.yaml');
  writeFileSync(path, text);
  try {
    readWorkerConfiguration(path);
    return '';
  } catch (error) {
    return (error as Error).message.replaceAll(`${directory}/`, '');
  }
}

const wrong = `
secrets:
  ssh-key:
    fil: secrets/ssh-key
    services: [greeter]
    hosts: [10.0.0.11]
  Database: { file: x, services: ['*'], hosts: ['*'] }
  token: s3cr3t
cache: { maxBytes: 10 GB }
ovh: { requestPerSecond: 5 }
ssh: 20
slots: { activities: 0 }
trust: nowhere.pem
secret: {}
`;

test('everything that is wrong is told at once, with its line and what is needed', () => {
  const [heading, ...complaints] = complaintsAbout(wrong).split('\n');
  expect(heading).toBe('Cannot use worker.yaml:');
  expect(complaints.map((line) => line.trim()).sort()).toEqual([
    'worker.yaml:10:8: ovh.requestPerSecond: is not a known key, did you mean "requestsPerSecond"?',
    'worker.yaml:11:6: ssh: needs a map',
    'worker.yaml:12:22: slots.activities: needs a whole number above 0',
    'worker.yaml:13:8: trust: "nowhere.pem" cannot be read (ENOENT), needs a file of PEM certificates',
    'worker.yaml:14:1: secret: is not a known key, did you mean "secrets"?',
    'worker.yaml:4:5: secrets.ssh-key.fil: is not a known key, did you mean "file"?',
    'worker.yaml:4:5: secrets.ssh-key: needs exactly one of env, file and exec',
    'worker.yaml:5:16: secrets.ssh-key.services[0]: needs a service such as "greeter@production", "greeter@*" or "*"',
    'worker.yaml:7:3: secrets.Database: needs lower-case letters, digits and dashes, starting with a letter',
    'worker.yaml:8:10: secrets.token: needs a map: where it comes from (file, env or exec), services and hosts',
    'worker.yaml:9:20: cache.maxBytes: needs a number of bytes above 0',
  ]);
});

test('where the YAML itself is not understood nothing else is said', () => {
  expect(complaintsAbout('secrets: [')).toMatch(
    /^Cannot use worker\.yaml:\n {2}worker\.yaml:1:11: is not YAML/,
  );
  expect(complaintsAbout('secrets: [')).not.toContain('needs a map');
});

test('what is left out has its default, key by key', () => {
  expect(complaintsAbout('cache: { maxBytes: 5 }')).toBe('');
  expect(complaintsAbout('')).toBe('');
});

test('a file that is missing is named, with what it is for', () => {
  expect(() => readWorkerConfiguration('/nowhere/worker.yaml')).toThrow(
    /^Cannot read "\/nowhere\/worker\.yaml": there is no such file, needs a file that says what names of secrets/,
  );
});
