import { expect, test } from 'vitest';
import { splitWords } from '../../../sandbox/machines/command-line.js';
import { formatTimeSpan, parseTimeSpan } from '../../../sandbox/machines/time-span.js';
import { parseUnitFile } from '../../../sandbox/machines/unit-file.js';
import { unitName } from '../../../sandbox/machines/unit-name.js';
import { readSettings, type UnitSettings } from '../../../sandbox/machines/unit-settings.js';

const read = (...lines: readonly string[]) =>
  readSettings(parseUnitFile(['[Service]', ...lines].join('\n'), '/x.service'), unitName('x'));

const settingsOf = (...lines: readonly string[]): UnitSettings =>
  read('ExecStart=/bin/true', ...lines).settings;

const complaintsOf = (...lines: readonly string[]): readonly string[] => {
  const { complaints, refusals } = read(...lines);
  return [...complaints, ...refusals];
};

test('the last scalar wins', () => {
  expect(settingsOf('Restart=always', 'Restart=on-failure').restart).toBe('on-failure');
});

test('lists grow, and an empty assignment empties them', () => {
  const { execStart, environment } = settingsOf(
    'Environment=A=1',
    'Environment=B=2 A=3',
    'ExecStart=',
    'ExecStart=/bin/false',
  );
  expect(execStart.map(({ program }) => program)).toEqual(['/bin/false']);
  expect(environment).toEqual({ A: '3', B: '2' });
  expect(settingsOf('Environment=A=1', 'Environment=', 'Environment=B=2').environment).toEqual({ B: '2' });
});

test('lines are continued, over comments too', () => {
  const { execStart } = settingsOf(
    'ExecStart=',
    'ExecStart=/bin/echo one \\',
    '# comment',
    '  two \\',
    'three',
  );
  expect(execStart[0]?.words).toEqual(['/bin/echo', 'one', 'two', 'three']);
});

test.each([
  ['ExecStart=/bin/a "b', '/x.service:2: Unbalanced quoting, ignoring: "/bin/a "b"'],
  ['ExecStart=./a', '/x.service:2: Neither a valid executable name nor an absolute path: ./a'],
  ['Type=forking', "/x.service:2: Type=forking is not supported by the sandbox's stand-in for systemd"],
  ['KillSignal=FOO', '/x.service:2: Failed to parse signal name, ignoring: FOO'],
  ['SuccessExitStatus=3 foo', '/x.service:2: Failed to parse value, ignoring: foo'],
  ['EnvironmentFile=rel', '/x.service:2: EnvironmentFile= path is not absolute, ignoring: rel'],
  ['WorkingDirectory=rel', '/x.service:2: WorkingDirectory= path is not absolute: rel'],
  ['Environment=A=1 B', '/x.service:2: Invalid environment assignment, ignoring: B'],
  ['StartLimitBurst=x', '/x.service:2: Failed to parse unsigned value, ignoring: x'],
  ['SendSIGKILL=maybe', '/x.service:2: Failed to parse boolean value, ignoring: maybe'],
  ['Bogus Key=1', "/x.service:2: Unknown key 'Bogus Key' in section [Service], ignoring."],
  ['[Service', "/x.service:2: Invalid section header '[Service'"],
])('%s is complained about as systemd does', (line, complaint) => {
  expect(complaintsOf(line)).toContain(complaint);
});

test.each(['NoNewPrivileges=yes', 'ProtectSystem=strict', 'LimitNOFILE=65536', 'User=greeter', 'X-Ours=1'])(
  '%s is accepted silently',
  (line) => {
    expect(complaintsOf('ExecStart=/bin/true', line)).toEqual([]);
  },
);

test.each([
  ['a  b\tc', ['a', 'b', 'c']],
  [`"a b" 'c d'`, ['a b', 'c d']],
  [`a"b c"d`, ['ab cd']],
  [`""`, ['']],
  [String.raw`a\x41\102\n\s"\""`, ['aAB\n "']],
  [`"it's"`, ["it's"]],
])('splits %j', (text, words) => {
  expect(splitWords(text)).toEqual(words);
});

test.each([
  ['5', 5000],
  ['100ms', 100],
  ['1min 30s', 90_000],
  ['1h30min', 5_400_000],
  ['2.5s', 2500],
  ['5s 2', 7000],
  ['infinity', Infinity],
  ['soon', undefined],
  ['5 parsecs', undefined],
  ['', undefined],
])('%j is a span of %s ms', (text, milliseconds) => {
  expect(parseTimeSpan(text)).toBe(milliseconds);
});

test.each([
  [0, '0'],
  [100, '100ms'],
  [90_000, '1min 30s'],
  [Infinity, 'infinity'],
  [86_400_000 + 1, '1d 1ms'],
])('%s ms are shown as %j', (milliseconds, text) => {
  expect(formatTimeSpan(milliseconds)).toBe(text);
});

test('an instance of a template knows its parts', () => {
  expect(unitName('greeter@blue')).toEqual({
    full: 'greeter@blue.service',
    prefix: 'greeter',
    instance: 'blue',
    template: 'greeter@.service',
  });
});
