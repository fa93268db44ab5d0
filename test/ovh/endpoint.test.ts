import { expect, test } from 'vitest';
import { ovhEndpoint } from '../../ovh/endpoint.js';

test.each([
  ['ovh-eu', { host: 'eu.api.ovh.com', port: 443, basePath: '/1.0' }],
  ['ovh-ca', { host: 'ca.api.ovh.com', port: 443, basePath: '/1.0' }],
  ['ovh-us', { host: 'api.us.ovhcloud.com', port: 443, basePath: '/1.0' }],
  ['https://localhost:8443/1.0', { host: 'localhost', port: 8443, basePath: '/1.0' }],
  ['https://localhost:8443/v1/', { host: 'localhost', port: 8443, basePath: '/v1' }],
  ['https://localhost', { host: 'localhost', port: 443, basePath: '/1.0' }],
])('reads %s', (name, endpoint) => {
  expect(ovhEndpoint(name)).toEqual(endpoint);
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
