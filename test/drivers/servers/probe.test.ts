import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

const program = fileURLToPath(new URL('../../../drivers/servers/probe.sh', import.meta.url));

const pathOf = (command: string): string =>
  execFileSync('sh', ['-c', 'command -v "$1"', 'sh', command], { encoding: 'utf8' }).trim();

/** What any Linux has. */
const everywhere = ['cat', 'date', 'head', 'sed', 'tail', 'timeout', 'tr', 'wc'];

/** A machine's PATH on which only some of the tools are. */
function pathWith(...tools: readonly (readonly [name: string, program: string])[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'vg-probe-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const links = [...everywhere.map((name) => [name, name] as const), ...tools];
  for (const [name, target] of links) symlinkSync(pathOf(target), join(folder, name));
  return folder;
}

const shells: readonly (readonly string[])[] = [['dash'], ['bash', '--posix'], ['busybox', 'sh']];

/** Puts questions and gives back the answers, by id. */
async function answersTo(
  path: string,
  questions: readonly string[],
  shell: readonly string[] = ['dash'],
): Promise<Readonly<Record<string, string>>> {
  const [command = '', ...words] = shell;
  const asking = spawn(pathOf(command), [...words, program], {
    env: { PATH: path },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void asking.kill());
  asking.stdin.end(questions.map((question) => `${question}\n`).join(''));
  const answers: Record<string, string> = {};
  for await (const line of createInterface({ input: asking.stdout })) {
    const [id = '', ...rest] = line.split(/[ =]/);
    answers[id] = rest.join(' ');
  }
  return answers;
}

/** What a program answers, by path. */
const behaviours: Readonly<Record<string, (socket: Socket) => void>> = {
  '/good': (socket) => socket.end('HTTP/1.1 200 OK\r\nX-Version: v1 beta\r\nContent-Length: 2\r\n\r\nok'),
  '/ill': (socket) => socket.end('HTTP/1.1 503 Ill\r\nContent-Length: 0\r\n\r\n'),
  // Whoever waits for its end waits in vain.
  '/keeps-open': (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-version:v2\r\n\r\nok'),
  '/endless': (socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nno length, only an end'),
  '/hangs': () => undefined,
  '/half': (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'),
  '/hangs-up': (socket) => socket.end(),
  '/chats': (socket) => socket.end('220 smtp.example.com ready\r\n'),
};

let port: number;
let closed: number;
const heard: string[] = [];
const service = createServer((socket) => {
  let request = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    request += chunk.toString();
    if (!request.includes('\r\n\r\n')) return;
    heard.push(request);
    behaviours[request.split(/[ ?]/)[1] ?? '']?.(socket);
  });
});
beforeAll(async () => {
  service.listen(0, '127.0.0.1');
  await new Promise((resolve) => service.once('listening', resolve));
  port = (service.address() as AddressInfo).port;
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  closed = (other.address() as AddressInfo).port;
  await new Promise((resolve) => other.close(resolve));
});
afterAll(() => void service.close());

const tools = [
  ['curl', [['curl', 'curl']]],
  ['bash', [['bash', 'bash']]],
] as const;

describe.each(tools)('%s, where it is all there is,', (tool, links) => {
  test.each(shells)('asks a program for its health, under %s', async (...shell) => {
    const ask = (id: string, path: string, timeoutMs = 20_000, at = port) =>
      `${id} ${timeoutMs} 127.0.0.1 ${at} ${path} X-Version`;
    const answers = await answersTo(
      pathWith(...links),
      [
        ask('good', '/good'),
        ask('ill', '/ill'),
        ask('open', '/keeps-open'),
        ask('endless', '/endless'),
        ask('half', '/half'),
        ask('up', '/hangs-up'),
        ask('chat', '/chats'),
        ask('hang', '/hangs', 700),
        ask('nobody', '/good', 20_000, closed),
      ],
      shell,
    );
    expect(answers).toMatchObject({
      tool,
      good: expect.stringMatching(/^answered 200 \d+ v1 beta$/) as string,
      ill: expect.stringMatching(/^answered 503 \d+ ?$/) as string,
      open: expect.stringMatching(/^answered 200 \d+ v2$/) as string,
      endless: expect.stringMatching(/^answered 200 \d+ ?$/) as string,
      half: 'silent closed without an answer',
      up: 'silent closed without an answer',
      chat: 'silent answered something that is not HTTP',
      hang: 'silent no answer within 700 ms',
      nobody: 'silent connection refused',
    });
  });
});

test('the most exact tool asks, and a request says who it is', async () => {
  heard.length = 0;
  const path = pathWith(['curl', 'curl'], ['bash', 'bash']);
  const answers = await answersTo(path, [`q1 20000 127.0.0.1 ${port} /good?a=[1-9]&b=$(id) -`]);
  expect(answers['tool']).toBe('curl');
  expect(heard[0]).toMatch(/^GET \/good\?a=\[1-9\]&b=\$\(id\) HTTP\/1\.1\r\n/);
  expect(heard[0]).toMatch(/\r\nUser-Agent: verdigris-probe\r\n/i);
  expect(heard[0]).toMatch(/\r\nConnection: close\r\n/i);
});

test('a machine that has nothing to ask with says what it needs', async () => {
  const answers = await answersTo(pathWith(), [`q1 2000 127.0.0.1 ${port} /good -`]);
  expect(answers).toMatchObject({
    tool: 'none',
    q1: 'silent sshd forbids tunnels, and there is neither curl nor bash to ask with, needs "AllowTcpForwarding yes" or one of them',
  });
});
