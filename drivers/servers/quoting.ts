/** A command as words. They are quoted once, where one line is made of them for the remote shell. */
export type Command = readonly [program: string, ...words: string[]];

export const shellLine = (command: Command): string => command.map(quoted).join(' ');

/** One word for a POSIX shell, whatever it holds. */
export const quoted = (word: string): string =>
  /^[A-Za-z0-9_/:=.,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
