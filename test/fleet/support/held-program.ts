import type { FleetMachine } from './machine.js';

/** Which call of a program is held. */
export interface HeldCall {
  readonly program: string;
  /** The command of the helper that makes the call; any caller's unless told. */
  readonly by?: string;
  /** What the call has among its words; any call's unless told. */
  readonly words?: string;
  /** Bytes of its input that it takes before it is held, as `head` would. */
  readonly takes?: number;
  /** Whether what it prints is kept: whoever asked may be gone when it ends. */
  readonly isKept?: boolean;
}

/**
 * One call of a program on a machine that waits until it is let go: the moment between two steps of the helper becomes as long as a
 * test needs. Only the first such call is held, and none after the machine was off.
 */
export class HeldProgram {
  readonly #machine: FleetMachine;
  readonly #standIn: string;
  readonly #place: string;

  private constructor(machine: FleetMachine, program: string) {
    this.#machine = machine;
    // Before the real one in the search path of the helper, and in that of whoever logs in.
    this.#standIn = `${program === 'sudo' ? 'usr/local/bin' : 'usr/sbin'}/${program}`;
    this.#place = `/run/held/${program}`;
  }

  static async on(machine: FleetMachine, call: HeldCall): Promise<HeldProgram> {
    const held = new HeldProgram(machine, call.program);
    const place = held.#place;
    // Whoever logs in may have to leave a note there. It takes nothing of the disk, and is gone after a reboot.
    await machine.exec(
      `rm -rf ${place} && mkdir -p ${place} && chmod 1777 ${place} && cat >${place}/stand-in &&
       chmod 755 ${place}/stand-in && ln -sf ${place}/stand-in /${held.#standIn}`,
      { input: standIn(place, call) },
    );
    return held;
  }

  /** Waits until a call is held. */
  reached(): Promise<void> {
    return this.#until('is held', `[ -d ${this.#place}/here ]`);
  }

  /** Lets the call go on, and no other be held. */
  async letGo(): Promise<void> {
    await this.release();
    await this.#machine.exec(`mkdir -p ${this.#place} && touch ${this.#place}/go`);
  }

  /** What the call that was held has printed, once it has ended. */
  async printed(): Promise<string> {
    await this.#until('has ended', `[ -e ${this.#place}/ended ]`);
    return this.#machine.exec(`cat ${this.#place}/printed`);
  }

  /** Holds no further call. Also while the machine is off. */
  async release(): Promise<void> {
    await this.#machine.removeFile(this.#standIn);
  }

  async #until(what: string, test: string): Promise<void> {
    const deadlineAtMs = Date.now() + patienceMs;
    while ((await this.#machine.try(test)).exitCode !== 0) {
      if (Date.now() > deadlineAtMs)
        throw new Error(`Waited in vain until ${this.#standIn} on "${this.#machine.name}" ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const patienceMs = 90_000;

const standIn = (
  place: string,
  { program, by, words = '', takes, isKept = false }: HeldCall,
): string => `#!/bin/sh
trap '' HUP PIPE
PATH=/usr/bin:/bin
caller=$(tr '\\0' ' ' </proc/$PPID/cmdline)
case $caller in *"${by === undefined ? '' : ` ${by} directory=`}"*) ;; *) exec ${program} "$@" ;; esac
case " $* " in *"${words}"*) ;; *) exec ${program} "$@" ;; esac
mkdir ${place}/here 2>/dev/null || exec ${program} "$@"
${takes === undefined ? '' : `head -c ${takes}`}
until [ -e ${place}/go ]; do sleep 0.05; done
${isKept ? `${program} "$@" >${place}/printed; touch ${place}/ended` : `exec ${program} "$@"`}
`;
