import { expect, vi } from 'vitest';
import type { Outcome } from '../../../domain/deployment.js';
import type { JsonObject } from '../../../sandbox/ovh-api/json.js';
import { lost } from '../../whole/support/running-service.js';
import { RunningFleet, type FleetServer } from './running-fleet.js';

/**
 * What faults fall upon: blue serves greeter 1.0.0, which people put there by hand, and green runs 2.0.0 of an earlier deployment,
 * without traffic. Every scene leaves it as it was.
 */
export class WarmIdle {
  readonly running: RunningFleet;

  private constructor(running: RunningFleet) {
    this.running = running;
  }

  static async start(settings: Readonly<Record<string, JsonObject>> = {}): Promise<WarmIdle> {
    const running = await RunningFleet.start({
      diskMegabytes: 192,
      settings: {
        // A machine that says nothing is given up after six seconds instead of thirty.
        ssh: { user: 'deploy', key: 'secret:ssh', privilege: 'installed', keepAlive: '2s' },
        install: { keepFree: '10 MB' },
        drain: { atMost: '5s' },
        ...settings,
      },
    });
    try {
      await running.startWorker();
      await running.runByHand('blue', await running.build('1.0.0'));
      await vi.waitUntil(async () => (await running.servedBy()) === '1.0.0', { timeout: 60_000 });
      await running.promote('2.0.0');
      const back = await running.verdigris(['rollback', '--reason', 'faults fall upon what is idle']);
      if (back.exitCode !== 0) throw new Error(back.output);
      await vi.waitUntil(async () => (await running.servedBy()) === '1.0.0', { timeout: 60_000 });
      return new WarmIdle(running);
    } catch (error) {
      await running.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.running.close();
  }

  /** Nothing of this reaches the live environment: the same processes and files afterwards, and no request is lost meanwhile. */
  async unharmed<Result>(work: () => Promise<Result>): Promise<Result> {
    const { running } = this;
    const before = await running.fingerprint('blue');
    const visitors = running.visitors();
    try {
      const result = await work();
      const tally = await visitors.stop();
      expect(await running.fingerprint('blue')).toEqual(before);
      expect(await running.servedBy()).toBe('1.0.0');
      expect(tally.sent).toBeGreaterThan(0);
      expect(lost(tally), JSON.stringify(tally)).toBe(0);
      return result;
    } finally {
      await visitors.stop();
    }
  }

  /** The same, and green ends as it began: 2.0.0 runs on every server, with nothing installed beside it. */
  async putBack<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = await this.#idle();
    const result = await this.unharmed(work);
    expect(await this.#idle()).toEqual(before);
    return result;
  }

  /** The same, and nobody has touched the program either. */
  async untouched<Result>(work: () => Promise<Result>): Promise<Result> {
    const { running } = this;
    const before = await running.pids('green');
    const result = await this.putBack(work);
    expect(await running.pids('green')).toEqual(before);
    return result;
  }

  /** Ends a deployment that waits for an approval. */
  async reject(): Promise<Outcome> {
    await this.running.untilStage('approve');
    await this.running.send('reject', { by: 'ann', reason: 'not today' });
    return (await this.running.handle.result()) as Outcome;
  }

  /** Waits until a server of green is told to be in this state. */
  async untilServer(server: string, state: string): Promise<void> {
    await this.running.until(({ servers }) =>
      servers.some((each) => each.server === server && each.state === state),
    );
  }

  #idle(): Promise<readonly string[]> {
    return Promise.all(this.running.servers('green').map((server) => this.#stateOf(server)));
  }

  async #stateOf({ machine, directory, port }: FleetServer): Promise<string> {
    return machine.exec(`
      readlink ${directory}/current
      ls ${directory}/releases ${directory}/.verdigris/incoming
      systemctl show ${this.running.unit} -p ActiveState,NRestarts,NeedDaemonReload
      find /etc/systemd/system/${this.running.unit}* -type f -exec sha256sum {} +
      find /etc/systemd/system/${this.running.unit}* -type l -printf '%p -> %l\\n'
      python3 -c 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:${port}/version").headers["x-greeter-version"])'`);
  }
}

/** Why a deployment ended that was not promoted. */
export const messageOf = (outcome: Outcome): string =>
  outcome.kind === 'refused'
    ? outcome.complaints.map(({ message }) => message).join('\n')
    : outcome.kind === 'rolled back'
      ? outcome.because.message
      : JSON.stringify(outcome);
