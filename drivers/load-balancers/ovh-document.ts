import type { z } from 'zod';
import type { OvhApi } from '../../ovh/api.js';
import { OvhError } from '../../ovh/error.js';

/** Reads a document and checks that it is one of its kind. */
export async function readAs<Kind>(
  api: OvhApi,
  path: string,
  kind: z.ZodType<Kind>,
  options: Parameters<OvhApi['get']>[1] = {},
): Promise<Kind> {
  const read = kind.safeParse(await api.get(path, options));
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const message = `answered a document in which ${issue?.path.join('.') || 'the whole'} is not as described: ${issue?.message}`;
  throw new OvhError({ trouble: 'garbled', method: 'GET', path, message, cause: read.error });
}
