import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { expect, inject, onTestFinished } from 'vitest';
import { test } from '../support/world.js';
import { aCommandLine, printed } from './support/command-line.js';

/** A way to Temporal that can be cut and mended. */
class Line {
  readonly #target = new URL(`tcp://${inject('temporalAddress')}`);
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  port = 0;

  async open(): Promise<void> {
    const server = createServer((near) => {
      const far = connect({ host: this.#target.hostname, port: Number(this.#target.port) });
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        // What breaks on one side is cut on the other.
        socket.on('error', () => socket.destroy());
        socket.on('close', () => this.#sockets.delete(socket));
      }
      near.pipe(far).pipe(near);
      near.on('close', () => far.destroy());
      far.on('close', () => near.destroy());
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  async cut(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

test('following survives an outage of Temporal, and tells of it once', async ({ aWorld }) => {
  const world = await aWorld();
  const cli = await aCommandLine(world);
  const line = new Line();
  await line.open();
  onTestFinished(() => line.cut());

  const deploying = cli.start(`deploy --wait ${cli.artifact('v2')}`, `127.0.0.1:${line.port}`);
  await printed(deploying, /approve +waits for/);
  await line.cut();
  await printed(deploying, 'does not answer; the run does not depend on us, still trying');
  await world.send('approve', { by: 'ann' });
  await world.handle().result();
  await line.open();

  const { exitCode, stdout } = await deploying;
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/Promoted shop-\w+@test to v2/);
  expect(stdout.match(/still trying/g)).toHaveLength(1);
});
