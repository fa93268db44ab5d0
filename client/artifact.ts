import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';
import { displayUrl, refusalOfArtifactUrl } from '../domain/artifact-url.js';
import type { Artifact } from '../domain/deployment.js';
import { Digest } from '../domain/names.js';
import { Refusal } from './refusal.js';

/**
 * What is to be deployed, from a URL with its digest or a path. The digest of a path is computed; one that is
 * given too must agree.
 */
export async function resolveArtifact(
  artifact: string | undefined,
  sha256: string | undefined,
): Promise<Artifact> {
  if (artifact === undefined) {
    throw new Refusal('Cannot tell what to deploy: --artifact is missing, needs the URL or path of a tar.gz');
  }
  const digest = sha256 === undefined ? undefined : digestFrom(sha256);
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(artifact)) return fromPath(artifact, digest);
  const refusal = refusalOfArtifactUrl(artifact) ?? refusalOfScheme(artifact);
  if (refusal !== undefined) {
    throw new Refusal(`Cannot deploy the artifact "${displayUrl(artifact)}": ${refusal}`);
  }
  if (digest === undefined) {
    throw new Refusal(
      `Cannot deploy the artifact "${displayUrl(artifact)}": its digest is missing, needs --sha256 DIGEST\n  compute it where it was built: sha256sum FILE`,
    );
  }
  return { url: artifact, sha256: digest };
}

const refusalOfScheme = (url: string): string | undefined =>
  /^(https?|file):/i.test(url) ? undefined : 'its URL is of another kind, needs https://... or file:///...';

function digestFrom(text: string): Digest {
  // What sha256sum prints may be pasted whole.
  const [digits = ''] = text.trim().toLowerCase().split(/\s/);
  if (!/^[0-9a-f]{64}$/.test(digits)) {
    throw new Refusal(`Cannot use "${text}" as a digest: needs the 64 hexadecimal digits of SHA-256`);
  }
  return Digest(digits);
}

async function fromPath(path: string, expected: Digest | undefined): Promise<Artifact> {
  const absolute = resolve(path);
  const found = await stat(absolute).catch((error: NodeJS.ErrnoException) => {
    throw new Refusal(
      `Cannot deploy the artifact "${path}": ${error.code === 'ENOENT' ? 'there is no such file' : error.message}, needs the tar.gz that was built`,
      { cause: error },
    );
  });
  if (!found.isFile()) {
    throw new Refusal(
      `Cannot deploy the artifact "${path}": it is not a file, needs the tar.gz that was built`,
    );
  }
  const sha256 = await digestOf(absolute);
  if (expected !== undefined && expected !== sha256) {
    throw new Refusal(
      `Cannot deploy the artifact "${path}": its digest is ${sha256}, needs ${expected} as --sha256 says`,
    );
  }
  return { url: pathToFileURL(absolute).href, sha256 };
}

async function digestOf(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return Digest(hash.digest('hex'));
}
