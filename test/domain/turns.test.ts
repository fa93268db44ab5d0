import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ServiceId } from '../../domain/names.js';
import {
  asked,
  describeTurns,
  givenBack,
  isTurnRequest,
  nobody,
  passedOn,
  type TurnRequest,
  type Turns,
} from '../../domain/turns.js';

const aRequest = (run: string, purpose: TurnRequest['purpose'] = 'forward', number = 1): TurnRequest => ({
  id: `${run}/${number}`,
  service: ServiceId(run, 'test'),
  workflowId: `verdigris/${run}@test`,
  runId: run,
  purpose,
});

const all = (...requests: readonly TurnRequest[]): Turns => requests.reduce(asked, nobody);
const order = ({ waiting }: Turns): readonly string[] => waiting.map(({ id }) => id);

describe('the queue of a load balancer', () => {
  test('gives turns in the order in which they were asked for', () => {
    const turns = passedOn(all(aRequest('a'), aRequest('b'), aRequest('c')), 7);
    expect(turns.holder).toMatchObject({ id: 'a/1', since: 7 });
    expect(order(turns)).toEqual(['b/1', 'c/1']);
    expect(passedOn(turns, 8)).toEqual(turns);
    expect(passedOn(givenBack(turns, 'a/1'), 9).holder).toMatchObject({ id: 'b/1', since: 9 });
  });

  test('lets a way back go before all that goes forward, and after the ways back that came before', () => {
    const holding = passedOn(all(aRequest('a')), 1);
    const turns = [aRequest('b'), aRequest('c', 'rollback'), aRequest('d', 'rollback'), aRequest('e')].reduce(
      asked,
      holding,
    );
    expect(turns.holder?.id).toBe('a/1');
    expect(order(turns)).toEqual(['c/1', 'd/1', 'b/1', 'e/1']);
  });

  test('is asked once more without a change', () => {
    const turns = passedOn(all(aRequest('a'), aRequest('b')), 1);
    expect(asked(turns, aRequest('a'))).toEqual(turns);
    expect(asked(turns, aRequest('b'))).toEqual(turns);
  });

  test('takes what the same run has asked for before as given back', () => {
    const turns = passedOn(all(aRequest('a'), aRequest('b')), 1);
    const after = asked(turns, aRequest('a', 'rollback', 2));
    expect(after.holder).toBeUndefined();
    expect(order(after)).toEqual(['a/2', 'b/1']);
    expect(givenBack(after, 'a/1')).toEqual(after);
  });

  test('loses who waits no longer', () => {
    expect(order(givenBack(all(aRequest('a'), aRequest('b')), 'a/1'))).toEqual(['b/1']);
  });

  test('keeps its promises in any order of events', () => {
    const runs = ['a', 'b', 'c'];
    const event = fc.oneof(
      fc.record({
        kind: fc.constant('ask' as const),
        run: fc.constantFrom(...runs),
        purpose: fc.constantFrom('forward' as const, 'rollback' as const),
        number: fc.integer({ min: 1, max: 3 }),
      }),
      fc.record({
        kind: fc.constant('give back' as const),
        run: fc.constantFrom(...runs),
        number: fc.integer({ min: 1, max: 3 }),
      }),
      fc.record({ kind: fc.constant('pass on' as const) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), (events) => {
        let turns = nobody;
        for (const each of events) {
          const before = turns;
          if (each.kind === 'ask') turns = asked(turns, aRequest(each.run, each.purpose, each.number));
          if (each.kind === 'give back') turns = givenBack(turns, `${each.run}/${each.number}`);
          if (each.kind === 'pass on') turns = passedOn(turns, 1);
          const { holder, waiting } = turns;
          const known = [...(holder ? [holder] : []), ...waiting];
          expect(new Set(known.map(({ runId }) => runId)).size).toBe(known.length);
          const purposes = waiting.map(({ purpose }) => purpose);
          expect(purposes).toEqual(purposes.toSorted().toReversed());
          // Nobody loses a turn by what another run says.
          const lost = before.holder !== undefined && holder?.id !== before.holder.id;
          if (lost) expect(each).toMatchObject({ run: before.holder?.runId });
        }
      }),
    );
  });

  test('tells a request from anything else that may be sent', () => {
    expect(isTurnRequest(aRequest('a'))).toBe(true);
    for (const sent of [undefined, null, 'a', 1, {}, { ...aRequest('a'), runId: '' }])
      expect(isTurnRequest(sent)).toBe(false);
  });

  test('tells people who publishes and who waits', () => {
    const turns = passedOn(all(aRequest('a', 'rollback'), aRequest('b')), 0);
    expect(describeTurns('loadbalancer-1', turns)).toBe(
      '## loadbalancer-1\n\na@test publishes since 1970-01-01T00:00:00.000Z, on its way back\n\n1. b@test waits',
    );
    expect(describeTurns('loadbalancer-1', nobody)).toContain('Nobody publishes');
  });
});
