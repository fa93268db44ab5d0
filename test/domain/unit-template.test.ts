import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Failure } from '../../domain/failures.js';
import { ReleaseId, ServerName } from '../../domain/names.js';
import type { Server, Service } from '../../domain/service.js';
import {
  complaintsAboutTemplate,
  placeholderNames,
  renderUnit,
  type UnitContext,
} from '../../domain/unit-template.js';

const server: Server = {
  name: ServerName('green-1'),
  color: 'green',
  address: '10.0.0.7',
  port: 8080,
  unit: 'greeter.service',
  directory: '/srv/greeter',
  probe: { address: '127.0.0.1', port: 8080 },
  connection: { driver: 'in-memory', world: 'test' },
};
const context: UnitContext = {
  service: { name: 'greeter' } as Service,
  server,
  release: ReleaseId('3f9c2a1b0d4e-9a4e07c1'),
};

test('fills in every placeholder', () => {
  const template = placeholderNames.map((name) => `${name}={{${name}}}`).join('\n');
  expect(renderUnit(template, context).split('\n')).toEqual([
    'directory=/srv/greeter',
    'port=8080',
    'address=10.0.0.7',
    'server=green-1',
    'color=green',
    'unit=greeter.service',
    'service=greeter',
    'release=3f9c2a1b0d4e-9a4e07c1',
  ]);
});

test('fills in several on one line, with spaces inside the braces', () => {
  expect(renderUnit('ExecStart={{directory}}/current/bin/greeter --port {{ port }}', context)).toBe(
    'ExecStart=/srv/greeter/current/bin/greeter --port 8080',
  );
});

test('leaves what belongs to systemd and the shell alone', () => {
  const unit = 'ExecStart=/bin/sh -c "exec ${BIN:-${DEFAULT}} %i $$HOME {}"';
  expect(renderUnit(unit, context)).toBe(unit);
});

test('never reads a value as a template again', () => {
  const tricky = { ...context, server: { ...server, directory: '/srv/{{port}}$&' } };
  expect(renderUnit('{{directory}}', tricky)).toBe('/srv/{{port}}$&');
});

test('complains about everything at once, with its line and what is known', () => {
  const template = '[Service]\nUser={{user}}\nExecStart={{directory\nRestart={{}}';
  expect(complaintsAboutTemplate(template)).toEqual([
    expect.stringMatching(/^line 2: "\{\{user\}\}" is unknown, needs one of \{\{directory\}\} \{\{port\}\}/),
    'line 3: "{{" is not closed, needs "}}" on the same line',
    expect.stringMatching(/^line 4: "\{\{\}\}" is unknown/),
  ]);
  expect(() => renderUnit(template, context)).toThrow(Failure);
  expect(() => renderUnit(template, context)).toThrow(
    /^Cannot render "greeter.service" for green-1:\n {2}line 2/,
  );
});

test.each(['toString', '__proto__', 'constructor'])('does not know {{%s}}', (name) => {
  expect(complaintsAboutTemplate(`{{${name}}}`)).toHaveLength(1);
});

test('refuses a value that would add lines of its own', () => {
  const evil = { ...context, server: { ...server, directory: '/srv\nUser=root' } };
  expect(() => renderUnit('WorkingDirectory={{directory}}', evil)).toThrow(/more than one line/);
});

describe('any text', () => {
  test('without double braces stays as it is', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !text.includes('{{')),
        (text) => {
          expect(renderUnit(text, context)).toBe(text);
        },
      ),
    );
  });
});
