import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultState } from './faults.js';

/** In how small steps a slow line lets bytes through. */
const stepMs = 50;

/** A TCP connection that can be frozen and slowed down. Untouched by faults, it hands on what comes as it comes. */
export class Line extends Duplex {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly remoteFamily: string | undefined;

  readonly #socket: Socket;
  readonly #faults: FaultState;
  #isCarrying = false;

  constructor(socket: Socket, faults: FaultState) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#faults = faults;
    ({
      remoteAddress: this.remoteAddress,
      remotePort: this.remotePort,
      remoteFamily: this.remoteFamily,
    } = socket);

    socket.setNoDelay(true);
    socket.on('data', (data) => this.#receive(data));
    socket.once('end', () => this.push(null));
    socket.once('error', (error) => this.destroy(error));
    socket.once('close', () => this.destroy());
    socket.pause();
  }

  /** Resets the connection: what is under way is lost. */
  cut(): void {
    this.#socket.resetAndDestroy();
  }

  setNoDelay(): this {
    return this;
  }

  override _read(): void {
    if (!this.#isCarrying) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#isUndisturbed()) {
      this.#socket.write(chunk, done);
      return;
    }
    void this.#send(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  async #send(chunk: Buffer, done: () => void): Promise<void> {
    await this.#carry(chunk, (piece) => this.#socket.write(piece));
    done();
  }

  #receive(data: Buffer): void {
    if (this.#isUndisturbed()) {
      if (!this.push(data)) this.#socket.pause();
      return;
    }
    this.#isCarrying = true;
    this.#socket.pause();
    void this.#carry(data, (piece) => this.push(piece)).then(() => {
      this.#isCarrying = false;
      this.#socket.resume();
    });
  }

  #isUndisturbed(): boolean {
    return this.#faults.thawed === undefined && this.#faults.bytesPerSecond === undefined;
  }

  /** Hands on `data` as fast as the faults of each moment allow. */
  async #carry(data: Buffer, handOn: (piece: Buffer) => unknown): Promise<void> {
    for (let rest = data; rest.length > 0 && !this.destroyed;) {
      await this.#faults.thawed;
      const { bytesPerSecond } = this.#faults;
      const size = bytesPerSecond === undefined ? rest.length : Math.ceil((bytesPerSecond * stepMs) / 1000);
      if (!this.destroyed) handOn(rest.subarray(0, size));
      rest = rest.subarray(size);
      if (rest.length > 0) await delay(stepMs);
    }
  }
}
