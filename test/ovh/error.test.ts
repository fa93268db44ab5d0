import { describe, expect, test } from 'vitest';
import { OvhError, saidBy, type OvhMethod, type OvhTrouble } from '../../ovh/error.js';

const anError = (method: OvhMethod, trouble: OvhTrouble, status?: number): OvhError =>
  new OvhError({ method, trouble, status, path: '/x', message: 'told' });

describe('a write', () => {
  test.each<[OvhTrouble, number | undefined, boolean]>([
    ['refused', 400, false],
    ['refused', 401, false],
    ['refused', 403, false],
    ['refused', 404, false],
    ['refused', 409, false],
    ['refused', 429, false],
    ['refused', 460, false],
    ['refused', 408, true],
    ['refused', 500, true],
    ['refused', 503, true],
    ['unreachable', undefined, false],
    ['clock', undefined, false],
    ['cut', undefined, true],
    ['late', undefined, true],
    ['garbled', 502, true],
    ['garbled', 200, true],
  ])('that ends as %s %s leaves doubt: %s', (trouble, status, ambiguous) => {
    expect(anError('PUT', trouble, status).ambiguous).toBe(ambiguous);
    expect(anError('GET', trouble, status).ambiguous).toBe(false);
  });
});

test.each<[OvhTrouble, number | undefined, boolean]>([
  ['refused', 403, false],
  ['refused', 409, false],
  ['refused', 460, false],
  ['refused', 408, true],
  ['refused', 429, true],
  ['refused', 500, true],
  ['cut', undefined, true],
  ['unreachable', undefined, true],
])('%s %s may pass by itself: %s', (trouble, status, passing) => {
  expect(anError('GET', trouble, status).passing).toBe(passing);
});

test('tells what is busy from what is forbidden, though both are a 403', () => {
  const told = (name: string): OvhError =>
    new OvhError({
      method: 'PUT',
      trouble: 'refused',
      status: 403,
      class: name,
      path: '/x',
      message: 'told',
    });
  expect(told('Client::Forbidden::Busy')).toMatchObject({
    passing: true,
    aboutCredential: false,
    ambiguous: false,
  });
  expect(told('Client::Forbidden')).toMatchObject({ passing: false, aboutCredential: true });
});

test('reads both shapes of error documents, half documents and none', () => {
  expect(saidBy({ errorCode: 'INVALID_KEY', httpCode: '403 Forbidden', message: 'no' })).toMatchObject({
    errorCode: 'INVALID_KEY',
    message: 'no',
  });
  expect(
    saidBy({
      class: 'Client::Forbidden',
      message: 'no',
      details: { unauthorizedActionsByIAM: 'loadbalancer:apiovh:refresh' },
    }),
  ).toMatchObject({ class: 'Client::Forbidden', deniedActions: 'loadbalancer:apiovh:refresh' });
  for (const document of [null, [], 'text', { message: 3, details: null }]) {
    expect(saidBy(document).message).toBeUndefined();
  }
});
