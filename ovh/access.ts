import type { Answer, Call } from './call.js';
import type { OvhEndpoint } from './endpoint.js';
import type { OvhError } from './error.js';
import type { Carrier } from './own-call.js';

/** How one credential makes calls. What it needs first (the API's clock, a token) it fetches and keeps. */
export interface Access {
  call(call: Call): Promise<Answer>;
  /**
   * Whether the refusal may be due to what was kept, which is then forgotten: the call was not carried out and may be made
   * once more.
   */
  forgets(error: OvhError): boolean;
}

/** What an access works with. */
export interface Line extends Carrier {
  readonly endpoint: OvhEndpoint;
  /** How long clock and token may be waited for. */
  readonly deadlineMs: number;
  /** Makes one exchange when its turn has come, and writes it down. */
  readonly told: (call: Call, act: () => Promise<Answer>) => Promise<Answer>;
}
