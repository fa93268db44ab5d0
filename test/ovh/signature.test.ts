import { expect, test } from 'vitest';
import { signatureOf } from '../../ovh/signature.js';

const keys = { applicationSecret: 'appsecret-000', consumerKey: 'consumerkey-111' };
const lb = 'https://eu.api.ovh.com/1.0/ipLoadbalancing/loadbalancer-abc';

test.each([
  ['GET', 'https://eu.api.ovh.com/1.0/me', '', 1700000000, 'b81255b392a0f366b80ad03e549c4397cb3d4397'],
  [
    'PUT',
    `${lb}/http/frontend/70089`,
    '{"defaultFarmId":77213}',
    1700000000,
    '6674d1579a498eecc76128b990d9a4ed2e56467f',
  ],
  [
    'GET',
    `${lb}/task?action=refreshIplb&status=todo`,
    '',
    1700000001,
    '0a868940c4f277f632ced34fe66acefb6219c8ac',
  ],
  ['POST', `${lb}/refresh`, '{}', 1700000002, 'bdf0754de345fe0137162f0c112beaef62abcb94'],
  ['POST', `${lb}/refresh`, '', 1700000002, '44fe9ea465a36c67241514d6c98d0b2ec86860a4'],
  ['GET', 'https://localhost/1.0/me', '', 1700000000, 'ba9ef7d72bd1579bfa1db9e4badbbf0648ffa0a9'],
])('signs %s %s as the API expects', (method, url, body, timestamp, digest) => {
  expect(signatureOf({ method, url, body, timestamp }, keys)).toBe(`$1$${digest}`);
});
