import type { FencingToken } from './deployment.js';

/** Steps beyond this share one token: servers take them as repeats, so that an undo tried for weeks is still let in. */
const lastStep = 999_999;

/** Tokens as servers store and compare them: two numbers of fixed width, so that text order is their order. */
export const formatToken = ({ startedAtMs, step }: FencingToken): string =>
  `${String(startedAtMs).padStart(15, '0')}-${String(Math.min(step, lastStep)).padStart(6, '0')}`;
