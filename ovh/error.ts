export type OvhMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** How a call ended that brought no good answer. */
export type OvhTrouble =
  /** The API answered and said no. */
  | 'refused'
  /** The connection was never made. */
  | 'unreachable'
  /** The connection broke after it was made. */
  | 'cut'
  /** No answer in time. */
  | 'late'
  /** Something answered that is not the API: a proxy's page, half a document. */
  | 'garbled'
  /** The server's time could not be read, so that nothing could be signed. */
  | 'clock'
  /** A service account's token could not be fetched. */
  | 'token';

export interface OvhErrorFacts {
  readonly trouble: OvhTrouble;
  readonly method: OvhMethod;
  /** Without query. */
  readonly path: string;
  readonly message: string;
  readonly status?: number | undefined;
  readonly class?: string | undefined;
  readonly errorCode?: string | undefined;
  /** What support asks for. */
  readonly queryId?: string | undefined;
  /** Actions that IAM does not allow, as the API names them. */
  readonly deniedActions?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** A call that failed. Holds no header, no body and no key. */
export class OvhError extends Error {
  readonly trouble: OvhTrouble;
  readonly method: OvhMethod;
  readonly path: string;
  readonly status: number | undefined;
  readonly class: string | undefined;
  readonly errorCode: string | undefined;
  readonly queryId: string | undefined;
  readonly deniedActions: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** Whether a write may have taken effect all the same. Never true of a read. */
  readonly ambiguous: boolean;

  constructor(facts: OvhErrorFacts) {
    const { method, path, message, status, queryId, cause } = facts;
    const said = [
      status === undefined ? message : `HTTP ${status} ${message}`,
      queryId && `query ${queryId}`,
    ];
    super(
      `${method} ${path}: ${said.filter(Boolean).join(', ')}`,
      cause === undefined ? undefined : { cause },
    );
    this.name = 'OvhError';
    this.trouble = facts.trouble;
    this.method = method;
    this.path = path;
    this.status = status;
    this.class = facts.class;
    this.errorCode = facts.errorCode;
    this.queryId = queryId;
    this.deniedActions = facts.deniedActions;
    this.retryAfterMs = facts.retryAfterMs;
    this.ambiguous = method !== 'GET' && leavesDoubt(facts);
  }

  /** Some parts of the API say so with a 403, by the end of its class: `Client::Forbidden::Busy`. */
  get #isBusy(): boolean {
    return this.class?.endsWith('::Busy') === true;
  }

  /** Whether the same call may succeed a little later. */
  get passing(): boolean {
    if (this.trouble !== 'refused' || this.#isBusy) return true;
    return this.status === 408 || this.status === 429 || (this.status ?? 0) >= 500;
  }

  /** Whether the API refuses who calls, rather than what is called. It was not carried out. */
  get aboutCredential(): boolean {
    if (this.trouble !== 'refused' || this.#isBusy) return false;
    return (
      this.status === 401 || this.status === 403 || this.aboutTime || this.errorCode === 'invalid_client'
    );
  }

  /** Whether the API doubts our clock or our signature, which it tells apart badly. */
  get aboutTime(): boolean {
    if (this.status !== 400 && this.status !== 401 && this.status !== 403) return false;
    return (
      this.errorCode === 'QUERY_TIME_OUT' ||
      this.errorCode === 'INVALID_SIGNATURE' ||
      /out of time|invalid signature|timestamp/i.test(this.message)
    );
  }
}

function leavesDoubt({ trouble, status = 0 }: OvhErrorFacts): boolean {
  switch (trouble) {
    case 'refused':
      return status === 408 || status >= 500;
    case 'unreachable':
    case 'clock':
    case 'token':
      return false;
    case 'cut':
    case 'late':
    case 'garbled':
      return true;
    default:
      throw new TypeError(`Cannot classify "${String(trouble satisfies never)}"`);
  }
}

/** What the known shapes of error documents say. Anything may be missing. */
export function saidBy(
  document: unknown,
): Pick<OvhErrorFacts, 'class' | 'errorCode' | 'deniedActions'> & { readonly message: string | undefined } {
  const fields = fieldsOf(document);
  const details = fieldsOf(fields['details']);
  const denied = [details['unauthorizedActionsByIAM'], details['unauthorizedActionsByAuthentication']];
  return {
    message: text(fields['message']) ?? text(fields['error_description']) ?? text(fields['error']),
    class: text(fields['class']),
    // The last is how token servers name what is wrong.
    errorCode: text(fields['errorCode']) ?? text(fields['error']),
    deniedActions: denied.map(text).filter(Boolean).join(', ') || undefined,
  };
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
