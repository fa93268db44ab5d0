import ora from 'ora';
import type { Status } from '../domain/deployment.js';
import type { FollowView } from './following.js';
import { bar, narrate, progressOf, stillLine } from './narration.js';
import type { Output } from './output.js';
import { acceptedLines, type Pointers } from './report.js';

/** Silence is broken after this long, so that a CI log shows that somebody is awake. */
const silenceMs = 30_000;

/** A person may take a weekend: while one is awaited, silence is broken after ever longer. The last one repeats. */
const awaitingSilencesMs = [silenceMs, 60_000, 120_000, 300_000];

/** The view that suits where the output goes: documents, a terminal, or plain lines. */
export function createView(output: Output, pointers: Pointers): FollowView {
  if (output.json) return documentView(output);
  // A terminal that does not know its width, as some CI systems give, cannot be drawn on.
  const drawable = output.interactive && process.stdout.columns > 0;
  return drawable ? terminalView() : plainView(output, pointers);
}

/** Every change as one line of JSON. */
function documentView(output: Output): FollowView {
  let last = '';
  return {
    show(status) {
      const text = JSON.stringify(status);
      if (text !== last) output.documentLine({ event: 'status', status });
      last = text;
    },
    notice: (text) => output.notice(text.trim()),
    close: () => undefined,
  };
}

function plainView(output: Output, pointers: Pointers): FollowView {
  let previous: Status | undefined;
  let spokenAtMs: number | undefined;
  let timesStill = 0;
  return {
    show(status, nowMs) {
      const lines = narrate(previous, status);
      previous = status;
      spokenAtMs ??= nowMs;
      if (lines.length > 0) {
        output.say(lines);
        timesStill = 0;
      } else {
        if (nowMs - spokenAtMs < silenceIn(status, timesStill) || status.stage === 'ended') return;
        output.say([stillLine(status, nowMs), ...whatCanBeDone(status, pointers)]);
        timesStill += 1;
      }
      spokenAtMs = nowMs;
    },
    notice: (text) => output.say(text),
    close: () => undefined,
  };
}

const silenceIn = ({ awaits }: Status, timesStill: number): number =>
  awaits === undefined
    ? silenceMs
    : (awaitingSilencesMs[timesStill] ?? awaitingSilencesMs.at(-1) ?? silenceMs);

/** Who reads that a person is awaited may be that person. */
const whatCanBeDone = (status: Status, pointers: Pointers): readonly string[] =>
  status.awaits === undefined ? [] : acceptedLines(status, pointers);

/** Finished phases stay as lines, the present one turns below them. */
function terminalView(): FollowView {
  // Signals belong to the command, which says what goes on without it.
  const spinner = ora({
    stream: process.stdout,
    isEnabled: true,
    discardStdin: false,
    hideCursor: false,
  }).start('');
  let previous: Status | undefined;
  const above = (lines: readonly string[]) => {
    if (lines.length === 0) return;
    spinner.clear();
    process.stdout.write(`${lines.join('\n')}\n`);
  };
  return {
    show(status, nowMs) {
      above(narrate(previous, status));
      previous = status;
      const progress = progressOf(status, nowMs);
      const line = stillLine(status, nowMs).trim();
      spinner.text = progress ? `${line}  ${bar(progress.share)}` : line;
    },
    notice: (text) => above([text]),
    close: () => spinner.stop(),
  };
}
