import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Response {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** How the other side ended a connection: with a proper end, or by a reset. */
export type Close = 'ended' | 'reset';

/** HTTP by hand over one connection: no client library repeats a request or hides a reset. */
export class RawConnection {
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);
  #closed: Close | undefined;
  #waiting: (() => void)[] = [];

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#note(() => (this.#bytes = Buffer.concat([this.#bytes, chunk]))));
    socket.on('end', () => this.#note(() => (this.#closed ??= 'ended')));
    socket.on('error', () => this.#note(() => (this.#closed = 'reset')));
  }

  write(text: string | Buffer): void {
    this.#socket.write(text);
  }

  get(path: string, ...fields: readonly string[]): Promise<Response> {
    this.write(request('GET', path, ...fields));
    return this.response();
  }

  /** The next whole response. Rejects when the connection ends before. */
  async response({ head = false } = {}): Promise<Response> {
    for (;;) {
      const parsed = parse(this.#bytes, head, this.#closed === 'ended');
      if (parsed) {
        this.#bytes = this.#bytes.subarray(parsed.length);
        return parsed.response;
      }
      if (this.#closed)
        throw new Error(`connection ${this.#closed} after ${this.#bytes.length} bytes of a response`);
      await this.#change();
    }
  }

  /** Resolves once the text has come, without taking it. */
  async received(text: string): Promise<void> {
    while (!this.#bytes.includes(text)) {
      if (this.#closed) throw new Error(`connection ${this.#closed} before "${text}" came`);
      await this.#change();
    }
  }

  async closed(): Promise<Close> {
    while (!this.#closed) await this.#change();
    return this.#closed;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** Closes our side and keeps reading. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #note(change: () => void): void {
    change();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

export const request = (method: string, path: string, ...fields: readonly string[]): string =>
  [`${method} ${path} HTTP/1.1`, 'Host: greeter', ...fields, '', ''].join('\r\n');

interface Parsed {
  readonly response: Response;
  readonly length: number;
}

function parse(bytes: Buffer, headOnly: boolean, ended: boolean): Parsed | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const [first = '', ...fields] = bytes.toString('latin1', 0, end).split('\r\n');
  const status = Number(first.split(' ')[1]);
  const headers = Object.fromEntries(
    fields.map((field) => [nameOf(field), field.slice(field.indexOf(':') + 1).trim()]),
  );
  const rest = bytes.subarray(end + 4);
  const body = headOnly || status === 100 ? { text: '', length: 0 } : bodyOf(rest, headers, ended);
  return body && { response: { status, headers, body: body.text }, length: end + 4 + body.length };
}

const nameOf = (field: string): string => field.slice(0, field.indexOf(':')).toLowerCase();

interface Body {
  readonly text: string;
  readonly length: number;
}

function bodyOf(bytes: Buffer, headers: Readonly<Record<string, string>>, ended: boolean): Body | undefined {
  const length = headers['content-length'];
  if (headers['transfer-encoding'] === 'chunked') return chunkedBody(bytes);
  if (length === undefined)
    return ended ? { text: bytes.toString('latin1'), length: bytes.length } : undefined;
  if (bytes.length < Number(length)) return undefined;
  return { text: bytes.toString('latin1', 0, Number(length)), length: Number(length) };
}

function chunkedBody(bytes: Buffer): Body | undefined {
  let text = '';
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const next = lineEnd + 2 + size + 2;
    if (bytes.length < next) return undefined;
    text += bytes.toString('latin1', lineEnd + 2, lineEnd + 2 + size);
    if (size === 0) return { text, length: next };
    at = next;
  }
}
