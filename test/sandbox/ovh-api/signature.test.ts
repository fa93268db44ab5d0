import { expect, test } from 'vitest';

import { isSignedBy, signatureOf } from '../../../sandbox/ovh-api/signature.js';

const secrets = { applicationSecret: 'appsecret-000', consumerKey: 'consumerkey-111' };
const base = 'https://eu.api.ovh.com/1.0';
const balancer = `${base}/ipLoadbalancing/loadbalancer-abc`;

test.each([
  ['GET', `${base}/me`, '', '1700000000', 'b81255b392a0f366b80ad03e549c4397cb3d4397'],
  [
    'PUT',
    `${balancer}/http/frontend/70089`,
    '{"defaultFarmId":77213}',
    '1700000000',
    '6674d1579a498eecc76128b990d9a4ed2e56467f',
  ],
  [
    'GET',
    `${balancer}/task?action=refreshIplb&status=todo`,
    '',
    '1700000001',
    '0a868940c4f277f632ced34fe66acefb6219c8ac',
  ],
  ['POST', `${balancer}/refresh`, '{}', '1700000002', 'bdf0754de345fe0137162f0c112beaef62abcb94'],
  ['POST', `${balancer}/refresh`, '', '1700000002', '44fe9ea465a36c67241514d6c98d0b2ec86860a4'],
  ['GET', 'https://localhost/1.0/me', '', '1700000000', 'ba9ef7d72bd1579bfa1db9e4badbbf0648ffa0a9'],
])('signs %s %s with body "%s" as documented', (method, url, body, timestamp, digest) => {
  expect(signatureOf({ ...secrets, method, url, body: Buffer.from(body), timestamp })).toBe(`$1$${digest}`);
});

test.each(['https://localhost:8443/1.0/me', 'https://localhost/1.0/me'])(
  'takes a signature over %s, with and without the port',
  (url) => {
    const scheme = 'https' as const;
    const call = { ...secrets, scheme, method: 'GET', body: new Uint8Array(), timestamp: '1700000000' };
    const signature = signatureOf({ ...call, url });

    expect(isSignedBy(signature, { ...call, host: 'localhost:8443', target: '/1.0/me' })).toBe(true);
    expect(isSignedBy(signature, { ...call, host: 'localhost:8443', target: '/1.0/me?x=1' })).toBe(false);
  },
);
