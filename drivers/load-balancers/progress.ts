import type { Patience } from '../patience.js';

const everyMs = 1_500;

/** Does `work`, and tells the caller what goes on at least every two seconds: what was last said with `say`. */
export async function tellingProgress<Result>(
  { progress }: Patience,
  what: string,
  work: (say: (what: string) => void) => Promise<Result>,
): Promise<Result> {
  let words = what;
  const say = (what: string): void => {
    words = what;
    progress(what);
  };
  say(what);
  const timer = setInterval(() => progress(words), everyMs);
  try {
    return await work(say);
  } finally {
    clearInterval(timer);
  }
}
