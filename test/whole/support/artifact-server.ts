import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { makeCertificates } from '../../../sandbox/ovh-api/certificate-authority.js';

export interface ArtifactServerOptions {
  /** A request without exactly this value of the header `private-token` is refused, with what it sent in the page. */
  readonly token?: string;
}

/** Where CI would have uploaded to: files over HTTPS, with a certificate of its own authority. */
export interface ArtifactServer {
  readonly caPem: string;
  /** Serves a file, and gives its URL. */
  publish(file: string): string;
  /** Holds answers back from now on. @returns what lets them go, and a promise of the first request that was held. */
  hold(): { readonly release: () => void; readonly held: Promise<void> };
  close(): Promise<void>;
}

export async function startArtifactServer({ token }: ArtifactServerOptions = {}): Promise<ArtifactServer> {
  const { caPem, keyPem: key, certificatePem: cert } = await makeCertificates();
  const files = new Map<string, string>();
  let gate: Promise<void> = Promise.resolve();
  let onRequest = (): void => undefined;

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    onRequest();
    await gate;
    const sent = request.headers['private-token'];
    if (token !== undefined && sent !== token) {
      response.writeHead(403, { 'x-sent': String(sent) }).end(`the token ${String(sent)} may not read this`);
      return;
    }
    const file = files.get(request.url ?? '');
    if (file === undefined) response.writeHead(404).end(`no such file for ${String(sent)}`);
    else response.writeHead(200).end(await readFile(file));
  };
  const server = createServer({ key, cert }, (request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    caPem,
    publish(file) {
      const path = `/${files.size + 1}.tar.gz`;
      files.set(path, file);
      return `https://127.0.0.1:${port}${path}`;
    },
    hold() {
      let release = (): void => undefined;
      gate = new Promise((resolve) => (release = resolve));
      return { release, held: new Promise((resolve) => (onRequest = resolve)) };
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
