import { expect, test } from 'vitest';
import { ovhEndpoint, targetAt } from '../../ovh/endpoint.js';

test.each([
  ['ovh-eu', { host: 'eu.api.ovh.com', port: 443, basePath: '/1.0' }],
  ['ovh-ca', { host: 'ca.api.ovh.com', port: 443, basePath: '/1.0' }],
  ['ovh-us', { host: 'api.us.ovhcloud.com', port: 443, basePath: '/1.0' }],
  ['https://localhost:8443/1.0', { host: 'localhost', port: 8443, basePath: '/1.0' }],
  ['https://localhost:8443/v1/', { host: 'localhost', port: 8443, basePath: '/v1' }],
  ['https://localhost', { host: 'localhost', port: 443, basePath: '/1.0' }],
])('reads %s', (name, endpoint) => {
  expect(ovhEndpoint(name)).toMatchObject(endpoint);
});

test.each([
  ['ovh-eu', 'https://www.ovh.com/auth/oauth2/token'],
  ['ovh-ca', 'https://ca.ovh.com/auth/oauth2/token'],
  ['ovh-us', 'https://us.ovhcloud.com/auth/oauth2/token'],
  ['https://localhost:8443/1.0', 'https://localhost:8443/auth/oauth2/token'],
])('knows where service accounts of %s get their tokens', (name, url) => {
  expect(ovhEndpoint(name).tokenUrl.href).toBe(url);
});

test('takes another place for tokens where one is named', () => {
  expect(ovhEndpoint('ovh-eu', 'https://login.example.com/token').tokenUrl.href).toBe(
    'https://login.example.com/token',
  );
  expect(() => ovhEndpoint('ovh-eu', 'http://login.example.com/token')).toThrow(
    /^Cannot use "http:.*" as a token URL: needs an https URL without credentials$/,
  );
});

test.each([
  ['ovh-eu', '/me', '/1.0/me'],
  ['ovh-eu', '/v2/iam/policy', '/v2/iam/policy'],
  ['https://localhost/proxied/1.0', '/v2/iam/policy', '/proxied/v2/iam/policy'],
])('sends to %s for %s: %s', (name, path, target) => {
  expect(targetAt(ovhEndpoint(name), path)).toBe(target);
});

test.each(['ovh-mars', '', 'http://localhost:8080/1.0', 'https://key:secret@localhost/1.0', 'constructor'])(
  'refuses "%s" and says what is needed',
  (name) => {
    expect(() => ovhEndpoint(name)).toThrow(/needs ovh-eu, ovh-ca, ovh-us or an https URL/);
  },
);

test('does not show credentials that somebody put into a URL', () => {
  expect(() => ovhEndpoint('https://key:hush@localhost/1.0')).toThrow(/^(?!.*hush).*$/s);
});
