import ora from 'ora';
import type { Status } from '../domain/deployment.js';
import type { FollowView } from './following.js';
import { bar, narrate, progressOf, stillLine } from './narration.js';
import type { Output } from './output.js';

/** Silence is broken after this long, so that a CI log shows that somebody is awake. */
const silenceMs = 30_000;

/** The view that suits where the output goes: documents, a terminal, or plain lines. */
export function createView(output: Output): FollowView {
  if (output.json) return documentView(output);
  // A terminal that does not know its width, as some CI systems give, cannot be drawn on.
  const drawable = output.interactive && process.stdout.columns > 0;
  return drawable ? terminalView() : plainView(output);
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

function plainView(output: Output): FollowView {
  let previous: Status | undefined;
  let spokenAtMs = Date.now();
  return {
    show(status, nowMs) {
      const lines = narrate(previous, status);
      previous = status;
      if (lines.length > 0) output.say(lines);
      else if (nowMs - spokenAtMs < silenceMs || status.stage === 'ended') return;
      else output.say(stillLine(status, nowMs));
      spokenAtMs = nowMs;
    },
    notice: (text) => output.say(text),
    close: () => undefined,
  };
}

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
