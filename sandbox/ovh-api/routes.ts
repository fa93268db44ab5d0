import type { Resource } from './resource.js';

interface Route {
  readonly prefix: string;
  readonly words: readonly string[];
  readonly resource: Resource;
}

/** Which resource a path names. A word of its own goes before a parameter: `availableZones` is no load balancer. */
export class Routes {
  readonly #routes = new Map<string, Route[]>();

  add(prefix: string, resource: Resource): void {
    const words = wordsOf(prefix + resource.path);
    const key = keyOf(resource.method, words);
    const alike = [...(this.#routes.get(key) ?? []), { prefix, words, resource }];
    this.#routes.set(
      key,
      alike.toSorted((a, b) => fixedWords(b) - fixedWords(a)),
    );
  }

  find(method: string, path: string) {
    const words = wordsOf(path);
    for (const { words: wanted, prefix, resource } of this.#routes.get(keyOf(method, words)) ?? []) {
      if (!wanted.every((word, index) => word.startsWith(':') || word === words[index])) continue;
      const parameters = Object.fromEntries(
        wanted.flatMap((word, index) =>
          word.startsWith(':') ? [[word.slice(1), decoded(words[index] ?? '')]] : [],
        ),
      );
      return { prefix, resource, parameters };
    }
    return undefined;
  }
}

const wordsOf = (path: string): readonly string[] => path.split('/').slice(1);

/** No two of one method and length are told apart by more than their words. */
const keyOf = (method: string, words: readonly string[]): string => `${method} ${words.length}`;

const fixedWords = ({ words }: Route): number => words.filter((word) => !word.startsWith(':')).length;

/** As it was sent where it is no right encoding. */
function decoded(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch (error) {
    if (error instanceof URIError) return word;
    throw error;
  }
}
