import type { Transport } from '../../ovh/own-call.js';
import type { OvhApi as Emulator } from '../../sandbox/ovh-api/ovh-api.js';

/** Takes calls to an emulator in this process, with all that may happen to them but the network itself. */
export const transportTo =
  (emulator: Pick<Emulator, 'react'>): Transport =>
  async ({ method, url, headers, body }) => {
    const { host, pathname, search } = new URL(url);
    const reaction = await emulator.react({
      method,
      scheme: 'https',
      target: pathname + search,
      headers: Object.fromEntries([
        ['host', host],
        ...Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
      ]),
      body: Buffer.from(body),
    });
    switch (reaction.kind) {
      case 'answer':
        return reaction.answer;
      case 'half':
      case 'cut':
        throw Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
      case 'silence':
        return new Promise(() => undefined);
      default:
        return reaction satisfies never;
    }
  };
