import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import pMap from 'p-map';
import { exitCodes } from '../../../domain/deployment.js';
import type { ServerName } from '../../../domain/names.js';
import { serversOf, type Server, type Service } from '../../../domain/service.js';
import { HelperReply } from '../../../drivers/servers/helper-protocol.js';
import { setupScript } from '../../../drivers/servers/setup-script.js';
import { noHostKey, readServiceWithoutIds } from '../../configuration/configuration.js';
import { describeEdit, writeEdits, type Edit } from '../../configuration/writing.js';
import { createOutput, type Output } from '../../output.js';
import { Refusal } from '../../refusal.js';
import { columns, count } from '../../words.js';
import { jsonOption, teach, withConfiguration, type ConfigurationOptions } from '../options.js';
import { asRoot, type AdministratorOptions, type Answer } from './administrator.js';

export interface SetupOptions extends ConfigurationOptions, AdministratorOptions {
  readonly authorize?: string;
  readonly dryRun?: boolean;
  readonly script?: boolean;
  readonly takeDirectory?: boolean;
  readonly write: boolean;
}

export function defineSetup(command: Command): void {
  command
    .argument('[servers...]', 'their names (default: all of the service)')
    .description(
      'Sets servers up so that the deploying key is not root: users, directories, the helper, its policy and its sudo rule. Run it again after an upgrade.',
    )
    .option('--login <name>', 'your own login there: root, or one with sudo without a password')
    .option('-i, --identity <file>', 'your own key (default: your agent, and what ~/.ssh/config says)')
    .option('--ssh-config <file>', 'instead of ~/.ssh/config')
    .option('--authorize <file>', 'public key that shall be let in as the user that deploys')
    .option('--dry-run', 'show the commands, change nothing')
    .addOption(
      new Option('--script', 'print the script for one server, to be run there as root by hand').conflicts(
        'dryRun',
      ),
    )
    .option('--take-directory', "let a directory that belongs to somebody else become root's")
    .option('--no-write', 'print what belongs into the configuration instead of writing it there')
    .addOption(jsonOption());
  teach(
    withConfiguration(command),
    'verdigris server setup --login root --authorize deploy.pub --dry-run',
    'Your configuration pins the host keys that the machines showed you, and says that the helper is installed. What is as it should be is left alone, and nothing that runs is touched. Exit code 2: a server was refused.',
  );
}

interface SetUp {
  readonly server: ServerName;
  readonly done: boolean;
  /** What was done, or in a dry run would be. */
  readonly commands: readonly string[];
  readonly notes: readonly string[];
  readonly hostKey: string;
  readonly message?: string;
}

export async function setUp(options: SetupOptions, names: readonly string[]): Promise<number> {
  const service = readServiceWithoutIds(options.config, options.destination);
  const servers = chosen(service, names);
  if (options.script === true) return printScript(service, servers, options);
  const output = createOutput(options.json === true);
  const results = await pMap(servers, (server) => setUpOne(service, server, options, output), {
    // Where SSH may ask, one question at a time.
    concurrency: output.interactive ? 1 : 10,
  });
  const edits = options.dryRun === true ? [] : editsAfter(service, results);
  const written =
    options.write && edits.length > 0 ? writeEdits(options.config, options.destination, edits) : [];
  output.say(closing(service, results, edits, written, options));
  output.document({ service: service.id, dryRun: options.dryRun === true, servers: results, edits, written });
  return results.every(({ done }) => done) ? 0 : exitCodes.refused;
}

function chosen(service: Service, names: readonly string[]): readonly Server[] {
  const all = serversOf(service);
  const unknown = names.filter((name) => !all.some((server) => server.name === name));
  if (unknown.length > 0) {
    throw new Refusal(
      `Cannot set up "${unknown.join('", "')}": ${service.id} has no such server, needs one of ${all.map(({ name }) => name).join(', ')}`,
    );
  }
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}

function printScript(service: Service, servers: readonly Server[], options: SetupOptions): number {
  const [server, ...others] = servers;
  if (!server || others.length > 0) {
    throw new Refusal(
      `Cannot print a script for ${count(servers.length, 'server')}: needs one\n  verdigris server setup --script ${servers[0]?.name ?? 'green-1'}`,
    );
  }
  process.stdout.write(scriptFor(service, server, options));
  return 0;
}

function scriptFor(service: Service, server: Server, options: SetupOptions): string {
  if (server.connection.driver !== 'ssh')
    throw new TypeError(`Cannot set up "${server.name}": it is no machine`);
  const { user: login, hostKeys } = server.connection;
  const pinned = hostKeys.filter((key) => key !== noHostKey).map((key) => key.split(' ').at(-1));
  return setupScript(server, {
    user: service.program.user,
    login,
    dryRun: options.dryRun === true,
    mayTakeDirectory: options.takeDirectory === true,
    ...(pinned.length === 0 ? {} : { pinned: pinned.join(' ') }),
    ...(options.authorize === undefined ? {} : { authorizedKey: publicKeyIn(options.authorize) }),
  });
}

function publicKeyIn(file: string): string {
  const text = publicText(file);
  if (!/^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?$/.test(text)) {
    throw new Refusal(`Cannot authorize "${file}": it is not one public key, needs a line as in deploy.pub`);
  }
  // What follows is a comment of whoever made the key.
  return text.split(' ').slice(0, 2).join(' ');
}

function publicText(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : message;
    throw new Refusal(
      `Cannot authorize "${file}": ${why}, needs the public half of a key, as in deploy.pub`,
      {
        cause: error,
      },
    );
  }
}

async function setUpOne(
  service: Service,
  server: Server,
  options: SetupOptions,
  output: Output,
): Promise<SetUp> {
  const answer = await asRoot(server, scriptFor(service, server, options), options, output.interactive);
  const result = resultOf(server, answer);
  output.say([
    `${server.name}${result.done ? '' : ': refused'}`,
    ...columns([
      ...result.commands.map((command) => [options.dryRun === true ? 'would' : 'did', command] as const),
      ...(result.done && result.commands.length === 0 ? [['is', 'as it should be'] as const] : []),
      ...result.notes.map((note) => ['note', note] as const),
      ...(result.message === undefined ? [] : [['needs', result.message] as const]),
    ]),
  ]);
  return result;
}

function resultOf(server: Server, { lines, stray }: Answer): SetUp {
  const reply = new HelperReply();
  for (const line of lines) reply.take(line);
  const [hostKey = ''] = reply.all('hostKey');
  const said = reply.one('message');
  const message =
    said === ''
      ? `the setup ended half way, needs to be run again${stray === '' ? '' : `\n${stray.trim()}`}`
      : said;
  return {
    server: server.name,
    done: reply.ended,
    commands: [...reply.all('did'), ...reply.all('would')],
    notes: reply.all('note'),
    hostKey,
    ...(reply.ended ? {} : { message }),
  };
}

/** What the configuration has to say from now on. */
function editsAfter(service: Service, results: readonly SetUp[]): readonly Edit[] {
  const placed = Object.entries(service.environments).flatMap(([color, servers]) =>
    servers.map((server, index) => ({ server, path: ['environments', color, index] as const })),
  );
  const done = placed.flatMap(({ server, path }) => {
    const result = results.find((each) => each.server === server.name && each.done);
    return result && server.connection.driver === 'ssh'
      ? [{ path, hostKey: result.hostKey, connection: server.connection }]
      : [];
  });
  const others = done.filter(({ connection }) => connection.privilege !== 'installed');
  const privileges: readonly Edit[] =
    done.length === placed.length && others.length === done.length
      ? [{ path: ['ssh', 'privilege'], value: 'installed' }]
      : others.map(({ path }) => ({ path: [...path, 'ssh', 'privilege'], value: 'installed' }));
  return [
    ...done
      .filter(({ connection }) => connection.hostKeys.includes(noHostKey))
      .map(({ path, hostKey }) => ({ path: [...path, 'hostKey'], value: hostKey })),
    ...privileges,
  ];
}

function closing(
  service: Service,
  results: readonly SetUp[],
  edits: readonly Edit[],
  written: readonly string[],
  options: SetupOptions,
): readonly string[] {
  const done = results.filter((result) => result.done).length;
  const what = options.dryRun === true ? 'Nothing was changed on' : 'Set up';
  return [
    '',
    `${what} ${done === results.length ? count(done, 'server') : `${done} of ${count(results.length, 'server')}`} of ${service.id}.`,
    ...(written.length > 0 ? [`Written into ${written.join(' and ')}:`] : []),
    ...(edits.length > 0 && written.length === 0 ? ['For the configuration:'] : []),
    ...edits.map((edit) => `  ${describeEdit(edit)}`),
  ];
}
