import { createWriteStream } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { displayUrl } from '../../domain/artifact-url.js';
import type { Artifact } from '../../domain/deployment.js';
import { Failure } from '../../domain/failures.js';
import type { ArtifactSettings, Service } from '../../domain/service.js';
import type { Patience } from '../patience.js';
import type { Secrets } from '../secrets.js';
import type { ArtifactDriver } from './driver.js';
import { refusalOfAnswer, refused, Timeout, tooLarge, troubleOf } from './http-trouble.js';

export interface HttpsArtifactOptions {
  readonly secrets: Secrets;
  /** PEM certificates trusted instead of the system's. */
  readonly ca?: string;
  /** Until the connection stands, TLS included. */
  readonly connectTimeoutMs?: number;
  /** Without a single byte. The whole download has `ArtifactSettings.timeoutMs`. */
  readonly idleTimeoutMs?: number;
}

/** Artifacts from any HTTPS server: package registries, object storage, artifact repositories. */
export const createHttpsArtifacts = (options: HttpsArtifactOptions): ArtifactDriver => ({
  scheme: 'https:',
  download: (artifact, settings, service, path, patience) =>
    download({ ...options, artifact, settings, service, patience }, path, isHttps),
});

/** Artifacts over plain HTTP from this machine only: for the sandbox and for tests. */
export const createLoopbackArtifacts = (options: HttpsArtifactOptions): ArtifactDriver => ({
  scheme: 'http:',
  download: (artifact, settings, service, path, patience) =>
    download({ ...options, artifact, settings, service, patience }, path, isLoopbackOrHttps),
});

interface Download extends HttpsArtifactOptions {
  readonly artifact: Artifact;
  readonly settings: ArtifactSettings;
  readonly service: Service;
  readonly patience: Patience;
}

type UrlRule = (url: URL) => boolean;

const isHttps: UrlRule = ({ protocol }) => protocol === 'https:';
const isLoopbackOrHttps: UrlRule = (url) =>
  isHttps(url) || (url.protocol === 'http:' && /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/.test(url.hostname));

const maxRedirects = 5;

async function download(what: Download, path: string, mayAsk: UrlRule): Promise<void> {
  const { artifact, settings, patience } = what;
  patience.signal.throwIfAborted();
  const origin = new URL(artifact.url);
  if (!mayAsk(origin)) throw refused(artifact, `it asks ${origin.hostname} without TLS, needs https://`);
  const deadline = AbortSignal.timeout(settings.timeoutMs);
  try {
    const headers = await secretHeaders(what, origin.hostname.replace(/^\[|\]$/g, ''));
    const response = await follow(
      what,
      origin,
      headers,
      mayAsk,
      AbortSignal.any([patience.signal, deadline]),
    );
    await save(what, response, path, AbortSignal.any([patience.signal, deadline]));
  } catch (error) {
    patience.signal.throwIfAborted();
    if (error instanceof Failure) throw error;
    throw deadline.aborted
      ? new Failure(
          'ArtifactUnreachable',
          `Cannot fetch "${displayUrl(artifact.url)}": not complete after ${settings.timeoutMs / 1000} s\n  give it longer: artifact.timeout in verdigris.yaml`,
        )
      : troubleOf(error, displayUrl(artifact.url));
  }
}

/** The values are known only from here on, and only to requests to the artifact's own host. */
async function secretHeaders(what: Download, host: string): Promise<Readonly<Record<string, string>>> {
  const headers: Record<string, string> = {};
  for (const [name, reference] of Object.entries(what.settings.headers)) {
    const secret = await what.secrets.resolve(reference, { service: what.service.id, host });
    try {
      http.validateHeaderValue(name, secret.reveal());
    } catch {
      // The library's own error quotes the value.
      throw new Failure(
        'SecretRefused',
        `Cannot send secret "${reference.secret}" as header "${name}": it has characters that no header may have, needs a single line`,
      );
    }
    headers[name] = secret.reveal();
  }
  return headers;
}

/** Follows redirects by hand: a secret never leaves for another scheme, host or port, and does not come back either. */
async function follow(
  what: Download,
  origin: URL,
  secrets: Readonly<Record<string, string>>,
  mayAsk: UrlRule,
  signal: AbortSignal,
): Promise<http.IncomingMessage> {
  let url = origin;
  let headers = secrets;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const response = await get(what, url, headers, signal);
    const location = response.headers.location;
    if (!isRedirect(response.statusCode) || location === undefined) return response;
    response.destroy();
    url = redirected(what.artifact, url, location, mayAsk);
    if (url.origin !== origin.origin) headers = {};
  }
  throw refused(what.artifact, `it is redirected more than ${maxRedirects} times`);
}

const isRedirect = (status: number | undefined): boolean => [301, 302, 303, 307, 308].includes(status ?? 0);

function redirected(artifact: Artifact, from: URL, location: string, mayAsk: UrlRule): URL {
  if (!URL.canParse(location, from.href)) throw refused(artifact, 'it is redirected to an invalid URL');
  const to = new URL(location, from);
  if (!mayAsk(to)) throw refused(artifact, `it is redirected to "${displayUrl(to.href)}", needs https://`);
  if (to.username !== '' || to.password !== '') {
    throw refused(artifact, `it is redirected to a URL of ${to.host} with a user name or password in it`);
  }
  return to;
}

function get(
  { ca, connectTimeoutMs = 10_000, idleTimeoutMs = 30_000, patience }: Download,
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<http.IncomingMessage> {
  patience.progress(`asking ${url.host} for the artifact`);
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? https.request : http.request;
    let answer: http.IncomingMessage | undefined;
    const options: https.RequestOptions = {
      // A connection of its own: none is left behind, and none is used that somebody closed meanwhile.
      agent: false,
      headers: { 'user-agent': 'verdigris', 'accept-encoding': 'identity', ...headers },
      signal,
      timeout: idleTimeoutMs,
      ...(ca === undefined ? {} : { ca }),
    };
    const request = send(url, options, (response) => {
      clearInterval(beat);
      resolve((answer = response));
    });
    const beat = setInterval(() => patience.progress(`waiting for ${url.host} to answer`), 1000);
    const connecting = setTimeout(
      () => request.destroy(new Timeout(`no connection after ${connectTimeoutMs / 1000} s`)),
      connectTimeoutMs,
    );
    request.on('socket', (socket) =>
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connecting)),
    );
    request.on('timeout', () =>
      (answer ?? request).destroy(new Timeout(`no byte for ${idleTimeoutMs / 1000} s`)),
    );
    request.on('error', reject);
    request.on('close', () => {
      clearTimeout(connecting);
      clearInterval(beat);
    });
    request.end();
  });
}

async function save(
  what: Download,
  response: http.IncomingMessage,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const { artifact, settings, patience } = what;
  const refusal = refusalOfAnswer(response, artifact, settings);
  if (refusal) {
    response.destroy();
    throw refusal;
  }
  const totalBytes = Number(response.headers['content-length'] ?? Number.NaN);
  let receivedBytes = 0;
  const report = () => patience.progress(`fetching the artifact: ${amount(receivedBytes, totalBytes)}`);
  const limit = new Transform({
    transform(chunk: Buffer, _, done) {
      receivedBytes += chunk.length;
      if (receivedBytes > settings.maxBytes) done(tooLarge(artifact, settings));
      else done(null, chunk);
    },
  });
  const beat = setInterval(report, 1000);
  try {
    report();
    await pipeline(response, limit, createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal });
  } finally {
    clearInterval(beat);
    response.destroy();
  }
}

const amount = (bytes: number, totalBytes: number): string =>
  `${(bytes / 1e6).toFixed(1)}${Number.isNaN(totalBytes) ? '' : ` of ${(totalBytes / 1e6).toFixed(1)}`} MB`;
