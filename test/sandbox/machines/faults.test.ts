import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { aMachine, execute } from './bench-machine.js';

test('refuses new connections and leaves open ones alone, until that is taken back', async () => {
  const machine = await aMachine();
  const client = await machine.connect();

  await machine.faults.refuseConnections(true);

  await expect(machine.connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  expect(await execute(client, 'echo open')).toMatchObject({ out: 'open\n' });
  await machine.faults.refuseConnections(false);
  expect(await machine.run('echo again')).toMatchObject({ out: 'again\n' });
});

test('cuts the connection in the middle of a stream, after exactly so many bytes', async () => {
  const machine = await aMachine();
  const bytes = randomBytes(4 * 1024 * 1024);
  const file = join(machine.directory, 'received');
  machine.faults.cutAfterBytes(1_000_000);

  await expect(machine.run(`cat > ${file}`, bytes)).rejects.toThrow();

  await expect.poll(() => statSync(file).size).toBe(1_000_000);
  expect(readFileSync(file).equals(bytes.subarray(0, 1_000_000))).toBe(true);
  expect(await machine.run(`cat > ${file}; wc -c < ${file}`, bytes)).toMatchObject({
    out: `${bytes.length}\n`,
  });
});

test('counts towards the cut over all commands', async () => {
  const machine = await aMachine();
  machine.faults.cutAfterBytes(1000);

  expect(await machine.run('wc -c', randomBytes(600))).toMatchObject({ out: '600\n' });
  await expect(machine.run('wc -c', randomBytes(600))).rejects.toThrow();
});

test('frozen, it accepts connections and says nothing, and goes on where it was when it thaws', async () => {
  const machine = await aMachine();
  const client = await machine.connect();
  machine.faults.freeze(true);

  const answer = execute(client, 'echo late');
  const socket = connect(machine.sshPort, machine.host);
  await once(socket, 'connect');
  let heard = 0;
  socket.on('data', (data) => (heard += data.length));
  const isPatient = machine.connect({ readyTimeout: 300 });

  await expect(isPatient).rejects.toThrow('Timed out');
  expect(heard).toBe(0);
  machine.faults.freeze(false);
  expect(await answer).toMatchObject({ out: 'late\n' });
  await expect.poll(() => heard).toBeGreaterThan(0);
  socket.destroy();
});

test('can be closed while it is frozen', async () => {
  const machine = await aMachine();
  const client = await machine.connect();
  machine.faults.freeze(true);
  const answer = execute(client, 'sleep 300').catch((error: Error) => error.message);

  await machine.close();

  expect(await answer).toBe('connection lost');
});

test('slowed down, it lets no more through than was said', async () => {
  const machine = await aMachine();
  const client = await machine.connect();
  machine.faults.slowBytesPerSecond(200_000);

  const startedMs = performance.now();
  expect(await execute(client, 'wc -c', randomBytes(100_000))).toMatchObject({ out: '100000\n' });
  const slowMs = performance.now() - startedMs;

  // 100 kB at 200 kB/s last half a second; the first step is free.
  expect(slowMs).toBeGreaterThan(400);
});

test('fails commands that match without running them, until that is taken back', async () => {
  const machine = await aMachine();
  const undo = machine.faults.failCommand(/^touch /, 28, 'No space left on device\n');

  expect(await machine.run('touch file')).toEqual({
    status: 28,
    signal: undefined,
    out: '',
    err: 'No space left on device\n',
  });
  expect(await machine.run('ls')).toMatchObject({ status: 0, out: '' });
  expect(machine.log().map((entry) => entry.kind)).toEqual(['login', 'exec', 'login', 'exec']);

  undo();
  expect(await machine.run('touch file; ls')).toMatchObject({ status: 0, out: 'file\n' });
});

test('clears all faults at once', async () => {
  const machine = await aMachine();
  machine.faults.cutAfterBytes(0);
  machine.faults.freeze(true);
  machine.faults.slowBytesPerSecond(1);
  machine.faults.failCommand(/.*/, 1, '');
  await machine.faults.refuseConnections(true);

  await machine.faults.clear();

  expect(await machine.run('cat', Buffer.from('well'))).toMatchObject({ status: 0, out: 'well' });
});
