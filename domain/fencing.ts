import type { FencingToken } from './deployment.js';

/** Tokens as servers store and compare them: two numbers of fixed width, so that text order is their order. */
export const formatToken = ({ startedAtMs, step }: FencingToken): string =>
  `${String(startedAtMs).padStart(15, '0')}-${String(step).padStart(6, '0')}`;
