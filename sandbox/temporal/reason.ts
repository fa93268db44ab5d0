/** Why something failed, in one line of bounded length. */
export function reasonOf(error: unknown): string {
  const words = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').trim();
  return words.length <= mostCharacters ? words : `${words.slice(0, mostCharacters)} ...`;
}

const mostCharacters = 400;
