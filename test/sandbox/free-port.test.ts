import { expect, test, vi } from 'vitest';

/** As another process has it: nothing is known to it but what the kernel tells. */
async function anotherOne(): Promise<() => Promise<number>> {
  vi.resetModules();
  const { freePort } = await import('../../sandbox/free-port.js');
  return freePort;
}

test('nobody is given a port that another one was given and has not bound yet', async () => {
  const ones = [await anotherOne(), await anotherOne(), await anotherOne(), await anotherOne()];
  const given = await Promise.all(ones.flatMap((freePort) => Array.from({ length: 150 }, () => freePort())));
  expect(new Set(given).size).toBe(600);
});
