const secretName = /secret|password|token|consumerkey|credential|^chain$|^key$/i;

/** The same document with the values of secret fields hidden, as logs may have it. */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      secretName.test(name) && inner !== null ? '[secret]' : withoutSecrets(inner),
    ]),
  );
}
