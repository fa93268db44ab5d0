import { Agent, request } from 'node:http';

/** What became of the requests of a load. */
export interface Tally {
  sent: number;
  failed: number;
  readonly byBody: Map<string, number>;
  readonly failures: string[];
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** One request. Nothing is ever repeated behind the caller's back. */
export function ask(
  port: number,
  options: {
    readonly path?: string;
    readonly method?: string;
    readonly body?: string | Buffer;
    readonly agent?: Agent;
    readonly headers?: Record<string, string>;
    /** Where it comes from. */
    readonly from?: string;
  } = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path: options.path ?? '/',
        method: options.method ?? 'GET',
        agent: options.agent ?? false,
        headers: options.headers ?? {},
        ...(options.from === undefined ? {} : { localAddress: options.from }),
      },
      (answer) => {
        let body = '';
        answer.setEncoding('latin1');
        answer.on('data', (chunk) => (body += chunk));
        answer.on('error', reject);
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body, headers: answer.headers }));
      },
    );
    sent.on('error', reject);
    sent.end(options.body);
  });
}

/** Asks without pause over `lanes` kept connections and as many new ones, until `stop`. */
export function startLoad(port: number, lanes: number) {
  const tally: Tally = { sent: 0, failed: 0, byBody: new Map(), failures: [] };
  let running = true;

  const lane = async (agent: Agent | undefined, method: string): Promise<void> => {
    while (running) {
      tally.sent++;
      try {
        const answer = await ask(port, {
          method,
          ...(agent && { agent }),
          ...(method === 'POST' && { body: 'question' }),
        });
        if (answer.status === 200) tally.byBody.set(answer.body, (tally.byBody.get(answer.body) ?? 0) + 1);
        else fail(`HTTP ${answer.status}`);
      } catch (error) {
        fail(String(error));
      }
    }
    agent?.destroy();
  };
  const fail = (why: string): void => {
    tally.failed++;
    tally.failures.push(why);
  };

  const lanesRunning = Array.from({ length: lanes }, (_, index) => {
    const method = index % 2 === 0 ? 'GET' : 'POST';
    return [lane(new Agent({ keepAlive: true, maxSockets: 1 }), method), lane(undefined, method)];
  }).flat();
  return {
    tally,
    async stop(): Promise<Tally> {
      running = false;
      await Promise.all(lanesRunning);
      return tally;
    },
  };
}
