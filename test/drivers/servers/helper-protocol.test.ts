import { expect, test } from 'vitest';
import { ServerName } from '../../../domain/names.js';
import type { Server } from '../../../domain/service.js';
import { HelperReply, helperLine } from '../../../drivers/servers/helper-protocol.js';
import { travellingHelper } from '../../../drivers/servers/installed-helper.js';

const reply = (...lines: string[]): HelperReply => {
  const taken = new HelperReply();
  for (const line of lines) taken.take(line);
  return taken;
};

test('reads what the helper says, one value or many', () => {
  const read = reply(
    'token=000000000000001-000001',
    'installed=a',
    'installed=b',
    'message=two\\nlines of \\\\n',
    'ok',
  );
  expect(read.one('token')).toBe('000000000000001-000001');
  expect(read.all('installed')).toEqual(['a', 'b']);
  expect(read.one('message')).toBe('two\nlines of \\n');
  expect(read.one('nothing')).toBe('');
  expect(() => read.prove('Cannot observe "a"', '')).not.toThrow();
});

test('a failure has the name and the words that the helper gave it', () => {
  expect(() => reply('error=DiskFull', 'message=no room').prove('Cannot install "x" on "a"', '')).toThrow(
    expect.objectContaining({
      failure: 'DiskFull',
      message: expect.stringMatching(/^Cannot install "x" on "a": no room\n/),
    }),
  );
});

test('a failure also tells what came before it: a kill, and notes', () => {
  const failed = reply(
    'killed=yes',
    'note=it could not be enabled',
    'error=StartFailed',
    'message=it ended at once',
  );
  expect(() => failed.prove('Cannot activate "x" on "a"', '')).toThrow(
    expect.objectContaining({
      failure: 'StartFailed',
      message: expect.stringMatching(
        /it ended at once\n {2}incident: .*SIGKILL.*\n {2}it could not be enabled$/,
      ),
    }),
  );
});

test('an answer without an end is no answer, and may have taken effect', () => {
  expect(() => reply('have=no').prove('Cannot install "x" on "a"', 'sh: killed\n')).toThrow(
    expect.objectContaining({
      failure: 'CommandFailed',
      ambiguous: true,
      message: expect.stringContaining('sh: killed'),
    }),
  );
});

test('a name that is not in the table is no failure name', () => {
  expect(() => reply('error=Sesame', 'message=open').prove('Cannot do it', '')).toThrow(
    expect.objectContaining({ failure: 'CommandFailed' }),
  );
});

test('travels in one SSH packet', () => {
  const server = { name: ServerName('a'), directory: '/srv/a', unit: 'a.service', port: 1 } as Server;
  const line = helperLine(server, 'sudo', 'remove', { because: 'x'.repeat(500) });
  expect(line.startsWith('sudo -n sh -c ')).toBe(true);
  expect(line.length).toBeLessThan(32_000);
  expect(helperLine(server, 'sudo', 'examine', {}).length).toBeLessThan(34_000);
  expect(travellingHelper('remove')).not.toContain('\n#');
});

test('says what is missing when sudo asks for a password', () => {
  expect(() => reply().prove('Cannot observe "a"', 'sudo: a password is required\n')).toThrow(
    expect.objectContaining({ failure: 'ServerLoginRefused', message: expect.stringContaining('NOPASSWD') }),
  );
});
