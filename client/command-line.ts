import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { commands } from './command-table.js';
import { Failure } from '../domain/failures.js';
import { Refusal } from './refusal.js';

/** What is left for faults of our own: anything that is no refusal. */
const broken = 1;
const badInput = 2;

/** Runs one command and gives its exit code. Says on stderr what kept it from its end; never throws. */
export async function runCommandLine(words: readonly string[]): Promise<number> {
  try {
    return await dispatch(words);
  } catch (error) {
    return explain(error, words);
  }
}

async function dispatch(words: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command('verdigris')
    .description('Releases C programs on OVHcloud servers without dropping a request.')
    .version(versionOf(), '-V, --version')
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .configureOutput({ outputError: () => undefined })
    .exitOverride()
    .addHelpText('after', '\nverdigris <command> --help shows an example and what happens next.');
  for (const { name, group, summary, load } of commands) {
    const command = program.command(name).summary(summary).helpGroup(group);
    if (name !== asked(words)) continue;
    const { define, run } = await load();
    define(command);
    for (const acting of command.commands.length > 0 ? command.commands : [command]) {
      acting.action(async () => {
        // Commander made them from what `define` declared.
        exitCode = await run(acting.opts() as never, { name: acting.name(), words: acting.args });
      });
    }
  }
  await program.parseAsync(words, { from: 'user' });
  return exitCode;
}

/** The command among the words; `help deploy` asks for deploy too. */
const asked = (words: readonly string[]): string | undefined =>
  words.find((word) => !word.startsWith('-') && word !== 'help');

function versionOf(): string {
  // Two levels up in the sources, three in dist.
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
      return (found as { readonly version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return 'unknown';
}

/** Why a command did not come to its end, in words. */
interface Explanation {
  readonly message: string;
  readonly exitCode: number;
  /** Each by itself, where there are several. */
  readonly complaints?: readonly string[];
}

/** Says what went wrong and gives the exit code for it. Machines that asked for JSON are told in JSON, too. */
function explain(error: unknown, words: readonly string[]): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const { message, ...facts } = explanationOf(error, words);
  if (message === '') return facts.exitCode; // the help was shown instead
  process.stderr.write(`${message}\n`);
  if (words.includes('--json')) {
    const event = facts.exitCode === broken ? 'broken' : 'refused';
    process.stdout.write(`${JSON.stringify({ event, message, ...facts })}\n`);
  }
  return facts.exitCode;
}

function explanationOf(error: unknown, words: readonly string[]): Explanation {
  if (error instanceof CommanderError) return { message: usageWords(error, words), exitCode: badInput };
  if (error instanceof Refusal) {
    const { message, exitCode, complaints } = error;
    return { message, exitCode, ...(complaints.length === 0 ? {} : { complaints }) };
  }
  if (error instanceof Failure) return { message: error.message, exitCode: badInput };
  const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    message: `Verdigris itself broke; what it had started with Temporal goes on.\n  look: verdigris status\n\n${fault}`,
    exitCode: broken,
  };
}

function usageWords({ message }: CommanderError, words: readonly string[]): string {
  const why = message.replace(/^error: /, '').trim();
  if (why === '' || why === '(outputHelp)') return '';
  const [first = '', ...hints] = why.split('\n');
  const named = ['verdigris', asked(words)].filter((word) => word !== undefined).join(' ');
  const known = commands.some(({ name }) => name === asked(words));
  return [
    `Cannot run "${named}": ${first.replace(/\.$/, '')}`,
    ...hints.map((hint) => `  ${hint.replace(/^\((.*)\)$/, '$1')}`),
    `  see: ${known ? named : 'verdigris'} --help`,
  ].join('\n');
}
