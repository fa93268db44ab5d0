import { expect, test } from 'vitest';
import { asDropIn } from '../../../drivers/servers/unit-file.js';

const unitFile =
  '[Unit]\r\nDescription=Greeter\r\n[Service]\r\nExecStart=/srv/greeter/current/bin/greeter\r\n\r\n';

test('empties every list before the release fills it', () => {
  const lines = asDropIn(unitFile).split('\n');
  expect(lines.indexOf('ExecStart=')).toBeGreaterThan(lines.indexOf('[Service]'));
  expect(lines.indexOf('ExecStart=')).toBeLessThan(
    lines.indexOf('ExecStart=/srv/greeter/current/bin/greeter'),
  );
  for (const list of ['ExecStartPre=', 'ExecStop=', 'Environment=', 'EnvironmentFile='])
    expect(lines).toContain(list);
});

test('keeps what the release says as it says it, with plain line ends', () => {
  expect(asDropIn(unitFile)).toMatch(
    /\n\[Unit\]\nDescription=Greeter\n\[Service\]\nExecStart=\/srv\/greeter\/current\/bin\/greeter\n$/,
  );
});
