import { describe, expect, test } from 'vitest';
import { credentialInUrl, displayUrl, refusalOfArtifactUrl } from '../../domain/artifact-url.js';

describe('a URL that carries a credential', () => {
  test.each([
    ['https://ci:hunter2@git.example/a.tar.gz', 'a user name or password before the host'],
    ['https://ci@git.example/a.tar.gz', 'a user name or password before the host'],
    ['https://s3.example/a.tar.gz?X-Amz-Signature=hunter2', 'the parameter "X-Amz-Signature"'],
    ['https://s3.example/a.tar.gz?X-Amz-Credential=hunter2', 'the parameter "X-Amz-Credential"'],
    ['https://s3.example/a.tar.gz?X-Amz-Security-Token=hunter2', 'the parameter "X-Amz-Security-Token"'],
    ['https://gcs.example/a.tar.gz?X-Goog-Signature=hunter2', 'the parameter "X-Goog-Signature"'],
    ['https://blob.example/a.tar.gz?sv=2024&sig=hunter2', 'the parameter "sig"'],
    ['https://git.example/a.tar.gz?private_token=hunter2', 'the parameter "private_token"'],
    ['https://git.example/a.tar.gz?access_token=hunter2', 'the parameter "access_token"'],
    ['https://git.example/a.tar.gz?job_token=hunter2', 'the parameter "job_token"'],
    ['https://git.example/a.tar.gz?TOKEN=hunter2', 'the parameter "TOKEN"'],
    ['https://swift.example/a.tar.gz?temp_url_sig=hunter2', 'the parameter "temp_url_sig"'],
    ['https://art.example/a.tar.gz?api_key=hunter2', 'the parameter "api_key"'],
    ['https://art.example/a.tar.gz?Signature=hunter2&Expires=1', 'the parameter "Signature"'],
    ['https://art.example/a.tar.gz?%74oken=hunter2', 'the parameter "token"'],
    ['https://art.example/a.tar.gz#access_token=hunter2', 'the parameter "access_token"'],
  ])('%s is named by where it stands, not by its value', (url, where) => {
    expect(credentialInUrl(url)).toBe(where);
    expect(refusalOfArtifactUrl(url)).toContain(where);
    expect(refusalOfArtifactUrl(url)).toContain('artifact.headers');
    expect(refusalOfArtifactUrl(url)).not.toContain('hunter2');
  });
});

describe('a URL without a credential', () => {
  test.each([
    'https://git.example/api/v4/projects/7/packages/generic/greeter/1.0.0/greeter.tar.gz',
    'https://s3.example/a.tar.gz?versionId=abc',
    'https://git.example/a.tar.gz?job=build&design=1&assignee=x',
    'file:///srv/artifacts/a.tar.gz',
  ])('%s is accepted', (url) => {
    expect(refusalOfArtifactUrl(url)).toBeUndefined();
  });
});

test('refuses a file on another machine, and what is no URL', () => {
  expect(refusalOfArtifactUrl('file://srv/artifacts/a.tar.gz')).toContain('three slashes');
  expect(refusalOfArtifactUrl('a.tar.gz')).toContain('needs https://');
});

test('shows a URL without anything that could be secret', () => {
  expect(displayUrl('https://a:b@host:8443/x.tar.gz?token=hunter2#y')).toBe('https://host:8443/x.tar.gz');
  expect(displayUrl('file:///srv/a.tar.gz')).toBe('file:///srv/a.tar.gz');
});
