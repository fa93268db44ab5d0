import { exitCodes } from '../domain/deployment.js';

/**
 * Something that was asked for and cannot be done, in words for the person who asked. Anything else
 * that is thrown is a fault of Verdigris itself.
 */
export class Refusal extends Error {
  readonly exitCode: number;
  /** What is wrong, each by itself, where that is several things. */
  readonly complaints: readonly string[] = [];

  constructor(message: string, options: { readonly exitCode?: number; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Refusal';
    this.exitCode = options.exitCode ?? exitCodes.refused;
  }
}
