import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ServiceId } from '../../domain/names.js';
import {
  HandSwitches,
  inShort,
  readRecord,
  writeRecord,
  type HandSwitchRecord,
} from '../../drivers/hand-switches.js';

const shop = ServiceId('shop', 'production');

const record = (changes: Partial<HandSwitchRecord> = {}): HandSwitchRecord => ({
  service: shop,
  by: 'ann',
  from: 'green',
  to: 'blue',
  beganAt: '2026-11-27T03:00:00.000Z',
  state: 'begun',
  force: false,
  targets: ['frontend 1 -> farm 2 (green)'],
  staged: [],
  objects: { 'http/frontend/1': 'abc' },
  calls: [],
  ...changes,
});

async function aFolder(): Promise<{ readonly folder: string; readonly switches: HandSwitches }> {
  const folder = await mkdtemp(join(tmpdir(), 'verdigris-records-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return { folder, switches: new HandSwitches(folder) };
}

test('the last switch of a service is the newest that can be read', async () => {
  const { folder, switches } = await aFolder();
  expect(await switches.last(shop)).toBeUndefined();
  for (const beganAt of ['2026-11-27T03:00:00.000Z', '2026-11-26T03:00:00.000Z'])
    await writeRecord(switches.fileFor(shop, beganAt), record({ beganAt }));
  const other = ServiceId('shop', 'staging');
  const later = '2026-11-28T03:00:00.000Z';
  await writeRecord(switches.fileFor(other, later), record({ service: other, beganAt: later }));
  expect(await switches.last(shop)).toMatchObject({ beganAt: '2026-11-27T03:00:00.000Z' });

  for (const [name, text] of [
    ['2026-11-29.json', '{ "half": '],
    ['2026-11-30.json', '{ "kind": "another", "to": "blue" }'],
    ['2026-12-01.json', JSON.stringify({ kind: 'verdigris switch --without-temporal', to: 'red' })],
    ['2026-12-02.json.1.new', '{}'],
  ])
    await writeFile(join(folder, shop, name ?? ''), text ?? '');
  expect(await switches.last(shop)).toMatchObject({ beganAt: '2026-11-27T03:00:00.000Z', state: 'begun' });
});

test('a record is replaced as a whole, and is for its owner alone', async () => {
  const { folder, switches } = await aFolder();
  const file = switches.fileFor(shop, record().beganAt);
  await writeRecord(file, record());
  const calls = [{ at: '2026-11-27T03:00:01.000Z', method: 'PUT', path: '/x', queryId: 'q-1', status: 200 }];
  await writeRecord(file, record({ state: 'proved', calls, published: [] }));
  expect(await readRecord(file)).toMatchObject({ state: 'proved', calls });
  expect(await readdir(dirname(file))).toHaveLength(1);
  expect([(await stat(file)).mode & 0o777, (await stat(dirname(file))).mode & 0o777]).toEqual([0o600, 0o700]);

  await mkdir(join(folder, 'in-the-way.json'));
  await expect(writeRecord(join(folder, 'in-the-way.json'), record())).rejects.toThrow(
    /EISDIR|ENOTEMPTY|EEXIST/,
  );
  expect((await readdir(folder)).filter((name) => name.endsWith('.new'))).toEqual([]);
});

test('what others are told of a record has neither objects nor calls', () => {
  expect(inShort(record({ reason: 'a bad night', endedAt: '2026-11-27T03:00:09.000Z' }))).toEqual({
    service: shop,
    by: 'ann',
    reason: 'a bad night',
    from: 'green',
    to: 'blue',
    beganAt: '2026-11-27T03:00:00.000Z',
    endedAt: '2026-11-27T03:00:09.000Z',
    state: 'begun',
  });
});
