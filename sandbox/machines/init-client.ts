import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/*
 * What `systemctl` and the others run: a client of the machine's init.
 *
 * It sends its words and its working directory, each ended by a zero byte, after a line with their number. What comes
 * back are frames: one byte that says what it is (o: output, e: error output, x: exit status), four bytes of length
 * or status, and that many bytes of text.
 *
 * It exists twice. A deployment calls `systemctl` dozens of times, and Node takes a tenth of a second to come up where
 * a compiled program takes a thousandth; but a machine without a C compiler has to work too.
 */

/** The words with which a stand-in starts the client; the socket and the stand-in's own words follow. */
export async function initClient(directory: string): Promise<readonly string[]> {
  await mkdir(directory, { recursive: true });
  return (await compiledClient(directory)) ?? interpretedClient(directory);
}

/** @returns `undefined` when there is no C compiler that works. */
async function compiledClient(directory: string): Promise<readonly string[] | undefined> {
  const program = join(directory, `init-client-${digestOf(clientInC)}`);
  if (existsSync(program)) return [program];

  compiling ??= compile(program);
  if ((await compiling) === undefined) return undefined;
  if (existsSync(program) || (await isLinked(await compiling, program))) return [program];
  compiling = compile(program);
  return (await compiling) === undefined ? undefined : [program];
}

/** Machines of one process share what the first of them compiled, for as long as that one's folder is there. */
let compiling: Promise<string | undefined> | undefined;

async function compile(program: string): Promise<string | undefined> {
  const source = `${program}.c`;
  const unfinished = `${program}.${process.pid}`;
  await writeFile(source, clientInC);
  try {
    await promisify(execFile)('cc', ['-O1', '-s', '-o', unfinished, source]);
    await rename(unfinished, program);
    return program;
  } catch {
    return undefined;
  }
}

async function isLinked(compiled: string | undefined, program: string): Promise<boolean> {
  try {
    if (compiled !== undefined) await link(compiled, program);
    return compiled !== undefined;
  } catch {
    return false;
  }
}

export async function interpretedClient(directory: string): Promise<readonly string[]> {
  const script = join(directory, 'init-client.cjs');
  await writeFile(script, clientInJavaScript);
  return [process.execPath, script];
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

const clientInC = String.raw`#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int unreachable(void) {
  fputs("Failed to connect to bus: No such file or directory\n", stderr);
  return 1;
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char buffer[65536];
  if (argc < 2 || strlen(argv[1]) >= sizeof address.sun_path) return unreachable();
  strcpy(address.sun_path, argv[1]);

  int link = socket(AF_UNIX, SOCK_STREAM, 0);
  if (link < 0 || connect(link, (struct sockaddr *)&address, sizeof address) != 0) return unreachable();
  FILE *init = fdopen(link, "r+");
  if (init == NULL) return unreachable();

  fprintf(init, "%d\n", argc - 1);
  for (int i = 2; i < argc; i++) fwrite(argv[i], 1, strlen(argv[i]) + 1, init);
  char *directory = getcwd(buffer, sizeof buffer);
  if (directory == NULL) directory = "/";
  fwrite(directory, 1, strlen(directory) + 1, init);
  fflush(init);

  for (;;) {
    int kind = fgetc(init);
    uint32_t size;
    if (kind == EOF || fread(&size, sizeof size, 1, init) != 1) return unreachable();
    size = ntohl(size);
    if (kind == 'x') return (int)size;
    FILE *target = kind == 'e' ? stderr : stdout;
    while (size > 0) {
      size_t part = fread(buffer, 1, size < sizeof buffer ? size : sizeof buffer, init);
      if (part == 0) return unreachable();
      if (fwrite(buffer, 1, part, target) != part) return 1;
      size -= (uint32_t)part;
    }
    if (fflush(target) != 0) return 1;
  }
}
`;

const clientInJavaScript = String.raw`'use strict';
const { connect } = require('node:net');
const [socketPath, ...words] = process.argv.slice(2);
const init = connect(socketPath);
const fields = [...words, process.cwd()];
init.write(fields.length + '\n' + fields.map(field => field + '\0').join(''));

let received = Buffer.alloc(0);
init.on('data', data => {
  received = Buffer.concat([received, data]);
  while (received.length >= 5) {
    const kind = String.fromCharCode(received[0]);
    const size = received.readUInt32BE(1);
    if (kind === 'x') {
      process.exitCode = size;
      init.end();
      return;
    }
    if (received.length < 5 + size) return;
    (kind === 'e' ? process.stderr : process.stdout).write(received.subarray(5, 5 + size));
    received = received.subarray(5 + size);
  }
});
const unreachable = () => {
  if (process.exitCode !== undefined) return;
  process.stderr.write('Failed to connect to bus: No such file or directory\n');
  process.exitCode = 1;
};
init.on('error', unreachable);
init.on('end', unreachable);
process.stdout.on('error', () => process.exit(1));
`;
