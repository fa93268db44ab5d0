import { describe, expect, test } from 'vitest';
import { proveTraffic, type TrafficProved } from '../../activities/public-proof.js';
import type { Sample } from '../../domain/health.js';
import type { Service } from '../../domain/service.js';
import { endless } from '../../drivers/patience.js';

type Answer = readonly [instance: string | undefined, identity: string];

const green = (instance?: string): Answer => [instance, '2.0.0'];
const blue = (instance?: string): Answer => [instance, '1.0.0'];

/** The public address answers like this, answer by answer, and then for ever with the last ones in turn. */
async function proved(begin: readonly Answer[], forEver: readonly Answer[], deadlineMs = 60_000) {
  let asked = 0;
  const ask = (): Promise<Sample> => {
    const [instance, identity] = begin[asked] ?? forEver[(asked - begin.length) % forEver.length] ?? blue();
    asked++;
    const named = instance === undefined ? {} : { instance };
    return Promise.resolve({ kind: 'answered', status: 200, tookMs: 1, identity, ...named });
  };
  const address = { url: 'http://192.0.2.1', identify: { path: '/version', header: 'x-version' } };
  const service = {
    publicAddress: address,
    prober: { path: '/', timeoutMs: 100 },
    health: { path: '/health', status: 200, timeoutMs: 100 },
  } as unknown as Service;
  const proof: TrafficProved = await proveTraffic(
    { prober: { ask, start: () => expect.unreachable() } },
    { service, color: 'green', identities: ['2.0.0'], others: ['1.0.0'], deadlineMs },
    endless,
  );
  return { proof, asked };
}

const namesOf = ({ instances = [] }: TrafficProved): readonly string[] => instances.map(({ name }) => name);

describe('that the traffic goes where it shall is proved', () => {
  test('by ten right answers in a row where the load balancer does not name its processes', async () => {
    const { proof, asked } = await proved([green(), blue()], [green()]);
    expect(proof).toEqual({ toldApart: true });
    expect(asked).toBe(12);
  });

  test('by each process that was met, with when it changed', async () => {
    const { proof } = await proved([green('a'), blue('b'), blue('b')], [green('a'), green('b')]);
    expect(namesOf(proof)).toEqual(['a', 'b']);
    const [a, b] = proof.instances ?? [];
    expect(b?.afterMs).toBeGreaterThan(a?.afterMs ?? Infinity);
  });

  test('not while one process answers rightly ten times and another one has only begun to', async () => {
    const { asked } = await proved(
      [green('a'), green('b')],
      [...Array<Answer>(20).fill(green('a')), green('b')],
    );
    expect(asked).toBe(2 + 2 * 21);
  });

  test('not before a process has been met that is seldom met', async () => {
    const both = [green('a'), green('b')];
    const begin = [...both, ...both, ...both, ...both, ...both, blue('c')];
    const { proof } = await proved(begin, [...both, green('c')]);
    expect(namesOf(proof)).toEqual(['a', 'b', 'c']);
  });

  test('although a process that was behind is gone', async () => {
    const { proof } = await proved([blue('old')], [green('a')]);
    expect(namesOf(proof)).toEqual(['a']);
  });

  test('in time, or the share that is behind is told, and which process it comes from', async () => {
    const failure = proved([blue('b')], [...Array<Answer>(15).fill(green('a')), blue('b')], 300);
    await expect(failure).rejects.toMatchObject({
      failure: 'TrafficNotMoved',
      message: expect.stringMatching(
        /served by green: of the last \d+ answers \d+ \(\d+ %\) from "1\.0\.0"; instance b is behind \(1 of 2\), needs 10 in a row from 2\.0\.0\n {2}see who answers: curl/,
      ),
    });
  });
});
