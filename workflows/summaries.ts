import type { WorkflowInterceptors } from '@temporalio/workflow';

/** The limit is 400 bytes of JSON, to which servers of today hold starts only. Names of servers may be many, addresses long. */
const atMostBytes = 390;

/** Cuts what is said of steps and waits where it is too long to be shown in one line. */
export function interceptors(): WorkflowInterceptors {
  return {
    outbound: [
      {
        scheduleActivity: (input, next) => next({ ...input, options: withShortSummary(input.options) }),
        startTimer: (input, next) =>
          next(input.options ? { ...input, options: withShortSummary(input.options) } : input),
      },
    ],
  };
}

const withShortSummary = <Options extends { readonly summary?: string | undefined }>(
  options: Options,
): Options => (options.summary === undefined ? options : { ...options, summary: cutShort(options.summary) });

function cutShort(summary: string): string {
  if (bytesOf(summary) <= atMostBytes) return summary;
  let kept = summary.slice(0, atMostBytes);
  while (bytesOf(`${kept}...`) > atMostBytes) kept = kept.slice(0, -1);
  return `${kept}...`;
}

const bytesOf = (text: string): number => new TextEncoder().encode(JSON.stringify(text)).length;
