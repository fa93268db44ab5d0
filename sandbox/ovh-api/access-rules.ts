export interface AccessRule {
  readonly method: string;
  /** `*` stands for any characters, slashes too. `/x/*` does not cover `/x`. */
  readonly path: string;
}

export const everything: readonly AccessRule[] = ['GET', 'POST', 'PUT', 'DELETE'].map((method) => ({
  method,
  path: '/*',
}));

export function isGranted(rules: readonly AccessRule[], method: string, path: string): boolean {
  return rules.some((rule) => rule.method === method && globMatches(rule.path, path));
}

/** Whether all of `text` is `glob`, in which `*` stands for any characters. */
export function globMatches(glob: string, text: string): boolean {
  const literal = glob.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${literal.join('.*')}$`, 's').test(text);
}
