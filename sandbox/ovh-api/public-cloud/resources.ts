import { signed, type Method, type Resource } from '../resource.js';

export const regionRoot = '/cloud/project/:project/region/:region';
export const root = `${regionRoot}/loadbalancing`;

/** IAM's names leave the project out. */
export function resource(method: Method, path: string, answer: Resource['answer']): Resource {
  const made = signed(method, path, 'publicCloudProject', answer);
  return { ...made, action: (made.action ?? '').replace(':project/', ':') };
}
