import type { IncomingMessage, ServerResponse } from 'node:http';

/** HAProxy's own words: clients and monitoring recognise them. */
const pages: Readonly<Record<number, readonly [title: string, text: string]>> = {
  403: ['403 Forbidden', 'Request forbidden by administrative rules.'],
  502: ['502 Bad Gateway', 'The server returned an invalid or incomplete response.'],
  503: ['503 Service Unavailable', 'No server is available to handle this request.'],
};

/** Answers for the load balancer itself, as HAProxy does when no server can. */
export function answerError(response: ServerResponse, status: number): void {
  const [title, text] = pages[status] ?? [String(status), 'Request refused.'];
  const body = `<html><body><h1>${title}</h1>\n${text}\n</body></html>\n`;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  response.writeHead(status, {
    'Cache-Control': 'no-cache',
    'Content-Type': 'text/html',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** Sends the client elsewhere; `${host}`, `${path}` and the others come from its request. */
export function answerRedirect(
  request: IncomingMessage,
  response: ServerResponse,
  location: string,
  status: number,
): void {
  const host = request.headers.host ?? '';
  const uri = request.url ?? '/';
  const values: Readonly<Record<string, string>> = {
    uri,
    protocol: 'http',
    host: host.replace(/:\d+$/, ''),
    port: /:(\d+)$/.exec(host)?.[1] ?? '80',
    path: uri.split('?')[0] ?? '/',
    arguments: uri.includes('?') ? uri.slice(uri.indexOf('?')) : '',
  };
  const target = location.replace(/\$\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
  response.writeHead(status, { Location: target, 'Content-Length': 0 });
  response.end();
}
