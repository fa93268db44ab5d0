import { connect } from 'node:net';

import type { ProbeConfiguration } from './configuration.js';

/** What one check found, in HAProxy's words. */
export interface ProbeResult {
  readonly passed: boolean;
  readonly checkStatus: string;
  readonly checkCode?: number;
  readonly lastCheckContent?: string;
}

/** The part of an answer that `contains` and `matches` look at. */
const lookedAtBytes = 16 * 1024;

/** Checks a server once. Never throws; `timeoutMs` bounds the whole check. */
export async function probeOnce(
  probe: ProbeConfiguration,
  target: { readonly address: string; readonly port: number },
  timeoutMs: number,
): Promise<ProbeResult> {
  const isHttp = probe.type === 'http';
  const request = isHttp ? requestOf(probe) : undefined;
  const isEnough = probe.match === 'contains' || probe.match === 'matches' ? hasWholeBody : hasStatusLine;

  const talk = await talkTo(target, request, isEnough, timeoutMs);

  if (!talk.connected) {
    return {
      passed: false,
      checkStatus: talk.timedOut ? 'L4TOUT' : 'L4CON',
      lastCheckContent: talk.error ?? '',
    };
  }
  if (!isHttp) return { passed: true, checkStatus: 'L4OK' };
  return judge(probe, talk.answer, talk.timedOut);
}

function judge(probe: ProbeConfiguration, answer: string, timedOut: boolean): ProbeResult {
  const checkCode = statusOf(answer);
  if (checkCode === undefined) return { passed: false, checkStatus: timedOut ? 'L7TOUT' : 'L7RSP' };

  const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
  const matched = matches(probe, checkCode, body);
  const passed = probe.match === 'default' ? matched : matched !== probe.negate;
  return { passed, checkStatus: passed ? 'L7OK' : 'L7STS', checkCode, lastCheckContent: firstLineOf(answer) };
}

function matches(probe: ProbeConfiguration, status: number, body: string): boolean {
  switch (probe.match) {
    case 'default':
      return status >= 200 && status < 400;
    case 'status':
      return probe.pattern.split(',').some((wanted) => Number(wanted) === status);
    case 'contains':
      return body.includes(probe.pattern);
    case 'matches':
      return new RegExp(probe.pattern).test(body);
    default:
      return probe.match satisfies never;
  }
}

/** HTTP/1.0 and a Host only where the URL names one: what the provider documents. */
function requestOf({ method, url }: ProbeConfiguration): string {
  const [, host = '', path = '/'] = /^(?:[a-z]+:\/\/)?([^/]*)(\/.*)?$/.exec(url) ?? [];
  return `${method} ${path} HTTP/1.0\r\n${host === '' ? '' : `Host: ${host}\r\n`}\r\n`;
}

interface Talk {
  readonly connected: boolean;
  readonly timedOut: boolean;
  readonly answer: string;
  readonly error?: string;
}

/** Connects, says `request` and listens until `isEnough`, the end, or the time is over. */
function talkTo(
  { address, port }: { readonly address: string; readonly port: number },
  request: string | undefined,
  isEnough: (answer: string) => boolean,
  timeoutMs: number,
): Promise<Talk> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let connected = false;
    let answer = '';

    const end = (outcome: { timedOut: boolean; error?: string }): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ connected, answer, ...outcome });
    };
    const timer = setTimeout(() => end({ timedOut: true }), timeoutMs);

    socket.setEncoding('latin1');
    socket.once('connect', () => {
      connected = true;
      if (request === undefined) end({ timedOut: false });
      else socket.write(request);
    });
    socket.on('data', (chunk: string) => {
      answer += chunk;
      if (answer.length >= lookedAtBytes || isEnough(answer)) end({ timedOut: false });
    });
    socket.once('end', () => end({ timedOut: false }));
    socket.once('error', (error) => end({ timedOut: false, error: error.message }));
  });
}

function statusOf(answer: string): number | undefined {
  const found = /^HTTP\/\d\.\d (\d{3})/.exec(answer)?.[1];
  return found === undefined ? undefined : Number(found);
}

const firstLineOf = (answer: string): string => answer.slice(0, Math.max(0, answer.indexOf('\r\n')));

const hasStatusLine = (answer: string): boolean => answer.includes('\r\n');

function hasWholeBody(answer: string): boolean {
  const bodyAt = answer.indexOf('\r\n\r\n') + 4;
  if (bodyAt === 3) return false;
  const length = /\r\ncontent-length:\s*(\d+)/i.exec(answer.slice(0, bodyAt))?.[1];
  return length !== undefined && answer.length - bodyAt >= Number(length);
}
