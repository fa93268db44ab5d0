import { readdirSync, readFileSync } from 'node:fs';

/** Looks at what `ps` would show, again and again. `stop` gives every command line that held one of the values. */
export function watchProcesses(secrets: readonly { readonly value: string }[]): {
  stop(): readonly string[];
} {
  const found = new Set<string>();
  const timer = setInterval(() => {
    for (const line of commandLines()) if (secrets.some(({ value }) => line.includes(value))) found.add(line);
  }, 100);
  return {
    stop() {
      clearInterval(timer);
      return [...found];
    },
  };
}

const commandLines = (): readonly string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(commandLineOf);

/** Empty for a process that has ended since. */
function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return '';
    throw error;
  }
}
