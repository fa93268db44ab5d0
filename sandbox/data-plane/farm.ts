import { Backend, type ProbeSchedule } from './backend.js';
import { pick } from './balance.js';
import type { FarmConfiguration } from './configuration.js';

/** Who asks, as far as the choice of a server depends on it. */
export interface Client {
  readonly address: string;
  /** Decides for `uri`; empty for TCP. */
  readonly path: string;
  /** The value of the stickiness cookie that the client sent. */
  readonly cookie?: string | undefined;
}

/** The same name over all farms: a client moved to a farm with equal cookie values keeps its counterpart. */
export const stickinessCookie = 'SERVERID';

/** Clients remembered per farm for `sourceIp`; the oldest is forgotten first. */
const rememberedClients = 100_000;

/** A farm as one instance runs it between two changes of its configuration. */
export class Farm {
  readonly configuration: FarmConfiguration;
  readonly backends: readonly Backend[];

  readonly #stuck = new Map<string, Backend>();
  #candidates: readonly Backend[] = [];

  constructor(configuration: FarmConfiguration) {
    this.configuration = configuration;
    this.backends = configuration.servers.map((server) => new Backend(server, () => this.#recount()));
    this.#recount();
  }

  /** The server for a request of `client`, or `undefined` where none is left that was not `tried`. */
  choose(client: Client, tried?: ReadonlySet<Backend>): Backend | undefined {
    const stuckTo = this.#stuckTo(client);
    if (stuckTo?.isUsable && !tried?.has(stuckTo)) return stuckTo;

    const candidates = tried === undefined ? this.#candidates : this.#candidatesBut(tried);
    const { balance, stickiness } = this.configuration;
    const chosen = pick(balance, candidates, balance === 'uri' ? client.path : client.address);
    if (chosen !== undefined && stickiness === 'sourceIp') this.#remember(client.address, chosen);
    return chosen;
  }

  /** The cookie to give to a client that was sent to `backend`, where the farm is sticky by cookie. */
  cookieFor(backend: Backend, client: Client): string | undefined {
    const { cookie } = backend.configuration;
    if (this.configuration.stickiness !== 'cookie' || cookie === null || client.cookie === cookie)
      return undefined;
    return `${stickinessCookie}=${cookie}; path=/`;
  }

  startProbing(scheduleOf: (index: number) => ProbeSchedule): void {
    const { probe } = this.configuration;
    if (probe === null) return;
    for (const [index, backend] of this.backends.entries()) {
      if (backend.configuration.probe && backend.configuration.active)
        backend.startProbing(probe, scheduleOf(index));
    }
  }

  retire(): void {
    for (const backend of this.backends) backend.retire();
  }

  #stuckTo({ address, cookie }: Client): Backend | undefined {
    switch (this.configuration.stickiness) {
      case 'sourceIp':
        return this.#stuck.get(address);
      case 'cookie':
        return cookie === undefined
          ? undefined
          : this.backends.find(({ configuration }) => configuration.cookie === cookie);
      case null:
        return undefined;
      default:
        return this.configuration.stickiness satisfies never;
    }
  }

  #remember(address: string, backend: Backend): void {
    if (this.#stuck.size >= rememberedClients) this.#stuck.delete(this.#stuck.keys().next().value ?? '');
    this.#stuck.set(address, backend);
  }

  /** Counted when health changes, not with each request. */
  #recount(): void {
    this.#candidates = this.#candidatesBut(undefined);
  }

  /** Without a usable ordinary server, the first usable backup takes everything. */
  #candidatesBut(tried: ReadonlySet<Backend> | undefined): readonly Backend[] {
    const usable = this.backends.filter(
      (backend) => backend.isUsable && backend.weight > 0 && !tried?.has(backend),
    );
    const ordinary = usable.filter(({ configuration }) => !configuration.backup);
    return ordinary.length > 0 ? ordinary : usable.slice(0, 1);
  }
}
