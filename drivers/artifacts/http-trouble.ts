import type { IncomingMessage } from 'node:http';
import { displayUrl } from '../../domain/artifact-url.js';
import type { Artifact } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import type { ArtifactSettings } from '../../domain/service.js';

/** Waited too long; the message is for people. */
export class Timeout extends Error {}

export const refused = (artifact: Artifact, why: string): Failure =>
  new Failure('ArtifactRefused', `Cannot fetch "${displayUrl(artifact.url)}": ${why}`);

export const tooLarge = (artifact: Artifact, { maxBytes }: ArtifactSettings): Failure =>
  refused(artifact, `it is larger than ${maxBytes} bytes\n  allow more: artifact.maxSize in verdigris.yaml`);

/** Why an answer is no artifact; `undefined` where it may be one. */
export function refusalOfAnswer(
  { statusCode = 0, headers }: IncomingMessage,
  artifact: Artifact,
  settings: ArtifactSettings,
): Failure | undefined {
  if (statusCode !== 200) return failureOfStatus(statusCode, headers['retry-after'], artifact, settings);
  if (/^text\/html\b/i.test(headers['content-type'] ?? '')) {
    return refused(
      artifact,
      `the answer is a web page (a login page?), needs a tar.gz\n  ${whichSecrets(settings)}`,
    );
  }
  return Number(headers['content-length'] ?? 0) > settings.maxBytes
    ? tooLarge(artifact, settings)
    : undefined;
}

function failureOfStatus(
  status: number,
  retryAfter: string | undefined,
  artifact: Artifact,
  settings: ArtifactSettings,
): Failure {
  const wanted = `Cannot fetch "${displayUrl(artifact.url)}": the server answers HTTP ${status}`;
  const later = retryAfter === undefined ? '' : ` (it asks to wait: ${retryAfter.slice(0, 40)})`;
  if (status === 429) return new Failure('ArtifactUnreachable', `${wanted}, too many requests${later}`);
  if (status === 408 || status >= 500) return new Failure('ArtifactUnreachable', `${wanted}${later}`);
  return new Failure('ArtifactRefused', `${wanted}, ${adviceFor(status, settings)}`);
}

function adviceFor(status: number, settings: ArtifactSettings): string {
  switch (status) {
    case 401:
      return `needs a login\n  ${whichSecrets(settings)}`;
    case 403:
      return `the login may not read this\n  ${whichSecrets(settings)}`;
    case 404:
      return `there is nothing at this address (some servers say so when a login is missing)\n  check that CI has uploaded it; ${whichSecrets(settings)}`;
    case 410:
      return 'the artifact was removed (expired?)\n  build it again, and keep artifacts longer than approvals take';
    default:
      return 'needs 200';
  }
}

function whichSecrets({ headers }: ArtifactSettings): string {
  const sent = Object.entries(headers).map(([name, { secret }]) => `"${name}" from secret "${secret}"`);
  return sent.length === 0
    ? 'no header was sent: name one under artifact.headers in verdigris.yaml'
    : `sent was the header ${sent.join(', ')}: check its value on the worker`;
}

/** What broke on the way to or from `host`. Trust does not come back by itself; everything else may. */
export function troubleOf(error: unknown, name: string): Failure {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const cannot = `Cannot fetch "${name}"`;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new Failure('DiskFull', `${cannot}: the disk of the worker is full, needs room for the artifact`, {
      cause: error,
    });
  }
  if (untrusted.test(code)) {
    return new Failure(
      'ArtifactRefused',
      `${cannot}: the server's certificate is not trusted (${code})\n  give the worker the authority's certificate`,
      { cause: error },
    );
  }
  const words = error instanceof Timeout ? message : (networkWords[code] ?? (code === '' ? message : code));
  return new Failure('ArtifactUnreachable', `${cannot}: ${words}`, { cause: error });
}

const untrusted = /CERT|SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)|ERR_TLS_CERT/;

const networkWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the server refuses connections',
  ECONNRESET: 'the connection was cut before all bytes had come',
  ERR_STREAM_PREMATURE_CLOSE: 'the connection was cut before all bytes had come',
  ETIMEDOUT: 'the server does not answer',
  EHOSTUNREACH: 'the server cannot be reached from the worker',
  ENETUNREACH: 'the server cannot be reached from the worker',
  ENOTFOUND: "the server's name is not known to the worker",
  EAI_AGAIN: "the server's name cannot be looked up now",
};
