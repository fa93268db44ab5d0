import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { Client, Server, utils, type Connection, type ParsedKey, type ServerChannel } from 'ssh2';
import { onTestFinished } from 'vitest';
import { fingerprintOf } from '../../../drivers/servers/ssh-certificate.js';
import type { SshTarget } from '../../../drivers/servers/ssh-target.js';
import { newKeyPair } from '../../../sandbox/machines/host-key.js';

const { private: privateKey } = newKeyPair();
/** Of every machine here, and of everybody who logs in. */
const key = utils.parseKey(privateKey) as ParsedKey;

async function listening(server: TcpServer | Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** A machine that lets everybody in. @returns the port of its sshd. */
export function machine(serve: (link: Connection) => void): Promise<number> {
  const server = new Server({ hostKeys: [privateKey] }, (link) => {
    link.on('authentication', (attempt) => attempt.accept());
    link.on('error', () => undefined);
    serve(link);
  });
  return listening(server);
}

/** Answers each command that is given over a connection. */
export const onCommand = (
  link: Connection,
  answer: (channel: ServerChannel, command: string) => void,
): unknown =>
  link.on('session', (accept) =>
    accept().on('exec', (acceptCommand, _, { command }) => answer(acceptCommand(), command)),
  );

/** Hands on what a machine says only after it paused: as it is read by somebody who was busy meanwhile. */
export async function inOnePiece(port: number): Promise<number> {
  return throughProxy(port, (near, far) => void gather(far, near));
}

async function gather(from: Socket, to: Socket): Promise<void> {
  const held: Buffer[] = [];
  let isOver = false;
  from.on('data', (chunk: Buffer) => held.push(chunk));
  from.on('end', () => (isOver = true));
  while (!to.destroyed) {
    const before = held.length;
    await wait(30);
    if (held.length === before && before > 0) to.write(Buffer.concat(held.splice(0)));
    if (isOver && held.length === 0) to.end();
  }
}

/** A line to a machine that can be frozen: nothing comes any more, and nobody hangs up. */
export async function freezable(port: number): Promise<{ readonly port: number; freeze(): void }> {
  let isFrozen = false;
  const freezing = await throughProxy(port, (near, far) => {
    far.on('data', (chunk) => void (isFrozen || near.write(chunk)));
    far.on('end', () => void (isFrozen || near.end()));
  });
  return { port: freezing, freeze: () => (isFrozen = true) };
}

function throughProxy(port: number, back: (near: Socket, far: Socket) => void): Promise<number> {
  const proxy = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect(port, '127.0.0.1');
    near.on('data', (chunk) => far.write(chunk)).on('end', () => far.end());
    back(near, far);
    const cut = () => [near, far].forEach((each) => each.destroy());
    for (const socket of [near, far]) socket.on('error', cut);
    onTestFinished(cut);
  });
  return listening(proxy);
}

/** A client that is logged in. */
export async function clientOf(port: number): Promise<Client> {
  const client = new Client();
  client.on('error', () => undefined);
  onTestFinished(() => void client.destroy());
  client.connect({ host: '127.0.0.1', port, username: 'deploy' });
  await once(client, 'ready');
  return client;
}

/** The machine at a port, behind the one at another. */
export function targetAt(port: number, bastion?: number): SshTarget {
  const sign = (data: Buffer) => Promise.resolve(key.sign(data) as unknown as Buffer);
  const hopAt = (at: number) => ({
    host: '127.0.0.1',
    port: at,
    user: 'deploy',
    hostKeys: [fingerprintOf(key.getPublicSSH())],
    owner: 'a service',
    credential: () => Promise.resolve({ identities: [{ key, sign }], words: 'the key' }),
  });
  return { ...hopAt(port), bastions: bastion === undefined ? [] : [hopAt(bastion)], limits: {} };
}
