import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Failure } from '../../domain/failures.js';
import { ReleaseId, SecretName, ServerName } from '../../domain/names.js';
import type { ConfigurationSettings, Server, Service } from '../../domain/service.js';
import {
  checkTemplates,
  fill,
  placeholderNames,
  secretsIn,
  type Reveal,
  type TemplateContext,
} from '../../domain/template.js';

const serverOf = (color: 'blue' | 'green'): Server => ({
  name: ServerName(`${color}-1`),
  color,
  address: '10.0.0.7',
  port: 8080,
  unit: 'greeter.service',
  directory: '/srv/greeter',
  probe: { address: '127.0.0.1', port: 8080 },
  connection: { driver: 'in-memory', world: 'test' },
});
const server = serverOf('green');

type Values = ConfigurationSettings['values'];
const serviceWith = (values: Partial<Values> = {}, its = [serverOf('blue'), server]): Service =>
  ({
    id: 'greeter@production',
    name: 'greeter',
    destination: 'production',
    environments: { blue: its.slice(0, 1), green: its.slice(1) },
    configuration: {
      files: ['etc/greeter.conf'],
      values: { all: {}, blue: {}, green: {}, servers: {}, ...values },
    },
  }) as unknown as Service;
const contextWith = (values: Partial<Values> = {}): TemplateContext => ({
  service: serviceWith(values),
  server,
  release: ReleaseId('3f9c2a1b0d4e-9a4e07c1'),
});
const context = contextWith();
const secret = (name: string) => ({ secret: SecretName(name) });
const vault: Reveal = ({ secret: name }) => `value of ${name}`;
const none: Reveal = () => {
  throw new Error('no secret is asked for');
};
const filled = (text: string, filling = context, reveal = none) =>
  fill({ path: 'etc/greeter.conf', text }, filling, reveal);

test('fills in every placeholder', () => {
  const template = placeholderNames.map((name) => `${name}={{${name}}}`).join('\n');
  expect(filled(template).split('\n')).toEqual([
    'directory=/srv/greeter',
    'shared=/srv/greeter/shared',
    'port=8080',
    'address=10.0.0.7',
    'server=green-1',
    'color=green',
    'unit=greeter.service',
    'service=greeter',
    'destination=production',
    'release=3f9c2a1b0d4e-9a4e07c1',
  ]);
});

test('fills in several on one line, with spaces inside the braces', () => {
  expect(filled('ExecStart={{directory}}/current/bin/greeter --port {{ port }}')).toBe(
    'ExecStart=/srv/greeter/current/bin/greeter --port 8080',
  );
});

test('leaves what belongs to systemd and the shell alone', () => {
  const unit = 'ExecStart=/bin/sh -c "exec ${BIN:-${DEFAULT}} %i $$HOME {}"';
  expect(filled(unit)).toBe(unit);
});

test('never reads a value as a template again', () => {
  const tricky = { ...context, server: { ...server, directory: '/srv/{{port}}$&' } };
  expect(filled('{{directory}}', tricky)).toBe('/srv/{{port}}$&');
  expect(filled('{{open}}x}}', contextWith({ all: { open: '{{' } }))).toBe('{{x}}');
});

test('a value for a server goes before one for its environment, and that before one for all', () => {
  const text = '{{a}} {{b}} {{c}}';
  const values = {
    all: { a: 'all', b: 'all', c: 'all' },
    green: { b: 'green', c: 'green' },
    blue: { a: 'blue' },
    servers: { 'green-1': { c: 'green-1' }, 'blue-1': { a: 'blue-1' } },
  };
  expect(filled(text, contextWith(values))).toBe('all green green-1');
});

test('fills in secrets, and tells which', () => {
  const filling = contextWith({ all: { password: secret('database'), user: 'app' } });
  expect(filled('{{user}}:{{password}}', filling, vault)).toBe('app:value of database');
  const secretsOf = (text: string) => secretsIn({ path: 'x', text }, filling);
  expect(secretsOf('{{user}}:{{password}} {{port}}')).toEqual([secret('database')]);
  expect(secretsOf('{{user}}')).toEqual([]);
});

describe('a complaint', () => {
  const complaintsAbout = (
    { unit = '', conf = '' }: { unit?: string; conf?: string },
    values: Partial<Values> = {},
    reveal = vault,
  ): readonly string[] => {
    try {
      const file = { path: 'etc/greeter.conf', text: conf };
      checkTemplates(serviceWith(values), { path: 'greeter.service', text: unit }, [file], reveal);
      return [];
    } catch (error) {
      expect(error).toBeInstanceOf(Failure);
      expect((error as Failure).failure).toBe('TemplateRefused');
      return (error as Failure).message.split('\n').map((line) => line.trim());
    }
  };

  test('says file and line of everything at once, and what is available', () => {
    const found = complaintsAbout(
      { unit: '[Service]\nUser={{user}}\nExecStart={{directory\nRestart={{}}', conf: '\nx = {{greting}}' },
      { all: { greeting: 'Hello', threads: '4' } },
    );
    const available = placeholderNames.map((name) => `{{${name}}}`).join(' ');
    expect(found).toEqual([
      'Cannot fill in the templates of "greeter@production":',
      `greeter.service:2: "{{user}}" is unknown, needs one of ${available} or {{greeting}} {{threads}}`,
      'greeter.service:3: "{{" is not closed, needs "}}" on the same line',
      expect.stringMatching(/^greeter.service:4: "\{\{\}\}" is unknown/),
      expect.stringMatching(/^etc\/greeter.conf:2: "\{\{greting\}\}" is unknown/),
    ]);
  });

  test('says on which servers, where it is not on all of them', () => {
    expect(complaintsAbout({ conf: '{{threads}}' }, { green: { threads: '4' } })[1]).toMatch(
      /^etc\/greeter.conf:1: "\{\{threads\}\}" is unknown, .* or a value of configuration.values, which has none here \(blue-1\)$/,
    );
  });

  test.each(['toString', '__proto__', 'constructor'])('is made of {{%s}}', (name) => {
    expect(complaintsAbout({ conf: `{{${name}}}` })).toHaveLength(2);
  });

  test('is made of a secret in a unit, which everybody can read', () => {
    expect(
      complaintsAbout({ unit: 'Environment=P={{password}}' }, { all: { password: secret('database') } })[1],
    ).toBe(
      'greeter.service:1: "{{password}}" is a secret, which everybody on the server could read in a unit; needs to stand in one of configuration.files',
    );
  });

  test('is made of a value that would add lines of its own, and never shows it', () => {
    const several: Reveal = () => 'BEGIN KEY\nabc\nEND KEY';
    const values = { all: { key: secret('tls'), text: 'a\nb' } };
    const found = complaintsAbout(
      { unit: 'A={{text}}', conf: 'key = {{key}}\n  {{key}}\n{{text}}' },
      values,
      several,
    );
    expect(found.slice(1)).toEqual([
      'greeter.service:1: "{{text}}" has a value of more than one line, needs a single one',
      'etc/greeter.conf:1: "{{key}}" has a value of more than one line, needs to stand alone on its line',
    ]);
  });

  test('is not made where nothing is wrong', () => {
    expect(
      complaintsAbout(
        { unit: 'A={{port}}', conf: '{{password}} {{shared}}' },
        { all: { password: secret('database') } },
      ),
    ).toEqual([]);
  });
});

test('any text without double braces stays as it is', () => {
  fc.assert(
    fc.property(
      fc.string().filter((text) => !text.includes('{{')),
      (text) => {
        expect(filled(text)).toBe(text);
      },
    ),
  );
});
