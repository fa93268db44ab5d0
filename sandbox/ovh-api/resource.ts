import type { JsonObject } from './json.js';
import type { Application, Credential, ServiceAccount } from './account.js';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** Who calls. `somebody else` is the sandbox itself, in the part of another customer's employee. */
export type Caller =
  | { readonly kind: 'anybody' }
  | { readonly kind: 'application'; readonly application: Application }
  | { readonly kind: 'consumer'; readonly credential: Credential }
  | { readonly kind: 'service account'; readonly account: ServiceAccount }
  | { readonly kind: 'somebody else' };

/** A call whose caller is known and may make it. */
export interface Call {
  readonly caller: Caller;
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Absent and empty bodies are an empty object. */
  readonly body: JsonObject;
  /** Milliseconds since 1970, as the API sees it for this call. */
  readonly now: number;
}

/** One method on one path of the API, relative to `/1.0`. */
export interface Resource {
  readonly method: Method;
  /** With `:names` for parameters. */
  readonly path: string;
  /** Who may call at all: anybody, who names an application, or who signs. */
  readonly access: 'public' | 'application' | 'signed';
  /** IAM's name of the action, which a service account must have been granted; null needs nothing. */
  readonly action: string | null;
  /** Answers with JSON, or throws an `ApiError`. */
  answer(call: Call): unknown;
}

/** A product of the provider: a tree of resources and what must be stopped in the end. */
export interface Product {
  readonly resources: readonly Resource[];
  /** What of it survives a restart, as plain JSON; nothing where left out. */
  state?(): unknown;
  /** Goes on from what `state` told. */
  restore?(state: unknown): Promise<void>;
  close(): Promise<void>;
}

/** The signed resource at `path`. Its IAM action is the path without parameters, and what is done. */
export function signed(method: Method, path: string, product: string, answer: Resource['answer']): Resource {
  const verb = { GET: 'get', POST: 'create', PUT: 'edit', DELETE: 'delete' }[method];
  const words = path.split('/').filter((word) => word !== '' && !word.startsWith(':'));
  const action = `${product}:apiovh:${[...words.slice(1), verb].join('/')}`;
  return { method, path, access: 'signed', action, answer };
}

/** Dates as the API writes them: whole seconds, with an offset. */
export const isoDate = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, '+00:00');
