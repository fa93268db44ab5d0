import { randomBytes } from 'node:crypto';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Account, Credential } from './account.js';

/** What stands behind a validation link until somebody has answered. */
export interface Request {
  readonly consumerKey: string;
  readonly redirection: string | null;
}

/** The pages on which a customer grants a consumer key, or does not. */
export class Validations {
  readonly #requests = new Map<string, Request>();
  readonly #account: Account;
  readonly #clock: () => number;
  readonly #kept: () => Promise<void>;

  constructor(account: Account, clock: () => number, kept: () => Promise<void>) {
    this.#kept = kept;
    this.#account = account;
    this.#clock = clock;
  }

  state(): readonly (readonly [string, Request])[] {
    return [...this.#requests];
  }

  restore(requests: readonly (readonly [string, Request])[]): void {
    this.#requests.clear();
    for (const [token, request] of requests) this.#requests.set(token, request);
  }

  /** The path of the page for one request. Nobody can guess it. */
  add(consumerKey: string, redirection: string | null): string {
    const token = randomBytes(16).toString('hex');
    this.#requests.set(token, { consumerKey, redirection });
    return `/sandbox/validate?token=${token}`;
  }

  /**
   * - `GET /sandbox/validate?token=...` shows what is asked for
   * - `POST` to the same answers it: a form with `answer=validate` or `answer=refuse`, and `validity` in seconds, 0 for ever
   */
  mount(app: FastifyInstance): void {
    app.get<{ Querystring: { token?: string } }>('/sandbox/validate', ({ query }, reply) => {
      const found = this.#found(query.token);
      return found === undefined ? noSuchRequest(reply) : page(reply, 200, asking(found.credential));
    });
    app.post<{ Querystring: { token?: string } }>('/sandbox/validate', async ({ query, body }, reply) => {
      const found = this.#found(query.token);
      if (found === undefined) return noSuchRequest(reply);
      const form = new URLSearchParams(Buffer.isBuffer(body) ? body.toString('utf8') : '');
      const answer = Answer.safeParse(Object.fromEntries(form));
      if (!answer.success) return page(reply, 400, '<p>This is no answer.</p>');
      this.#answer(found.credential, answer.data);
      this.#requests.delete(query.token ?? '');
      await this.#kept();
      return page(reply, 200, answered(found.credential, found.request));
    });
  }

  #found(token = ''): { readonly request: Request; readonly credential: Credential } | undefined {
    const request = this.#requests.get(token);
    const credential = this.#account.credential(request?.consumerKey ?? '');
    return request && credential && { request, credential };
  }

  #answer(credential: Credential, { answer, validity }: Answer): void {
    credential.state = answer === 'validate' ? 'validated' : 'refused';
    credential.expiresAt = validity === 0 ? null : this.#clock() + validity * 1000;
  }
}

const Answer = z.object({
  answer: z.enum(['validate', 'refuse']).default('validate'),
  validity: z.coerce.number().int().min(0).default(0),
});
type Answer = z.infer<typeof Answer>;

const asking = ({ rules, application }: Credential): string => `
  <p>Application ${application.applicationId} asks to call the API as you:</p>
  <ul>${rules.map(({ method, path }) => `<li><code>${escaped(`${method} ${path}`)}</code></li>`).join('')}</ul>
  <form method="post">
    <label>Validity <select name="validity">
      <option value="0">unlimited</option><option value="86400">1 day</option><option value="3600">1 hour</option>
    </select></label>
    <button name="answer" value="validate">Authorize</button>
    <button name="answer" value="refuse">Refuse</button>
  </form>`;

const answered = ({ state }: Credential, { redirection }: Request): string => `
  <p>${state === 'validated' ? 'The application may now use your account.' : 'The application may not use your account.'}</p>
  ${redirection === null || !/^https?:/.test(redirection) ? '' : `<p><a href="${escaped(redirection)}">Go on</a></p>`}`;

const noSuchRequest = (reply: FastifyReply): FastifyReply =>
  page(reply, 404, '<p>There is no such request, or it was answered already.</p>');

const page = (reply: FastifyReply, status: number, content: string): FastifyReply =>
  reply
    .code(status)
    .type('text/html; charset=utf-8')
    .send(`<!doctype html><meta charset="utf-8"><title>Sandbox</title><h1>Sandbox</h1>${content}\n`);

const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
