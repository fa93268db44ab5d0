import { BlockList, isIPv4 } from 'node:net';

import type { RouteAction, RouteConfiguration, RuleConfiguration } from './configuration.js';

/** What rules look at. HTTP frontends know all of it, TCP frontends only the source. */
export interface Subject {
  readonly source: string;
  readonly method?: string;
  readonly uri?: string;
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
}

/** What the first matching route asks for, or `undefined` where the frontend's default farm decides. */
export function routed(routes: readonly RouteConfiguration[], subject: Subject): RouteAction | undefined {
  return routes.find(({ rules }) => rules.every((rule) => holds(rule, subject)))?.action;
}

function holds(rule: RuleConfiguration, subject: Subject): boolean {
  const value = valueOf(rule, subject);
  const agreed =
    value !== undefined &&
    (rule.field === 'source' ? isAmong(value, rule.pattern ?? '') : agrees(rule, value));
  return agreed !== rule.negate;
}

/** Addresses are compared as such, also with CIDR blocks. */
function isAmong(source: string, pattern: string): boolean {
  const among = new BlockList();
  for (const block of pattern.split(',')) {
    const [address = '', bits = '32'] = block.trim().split('/');
    if (isIPv4(address)) among.addSubnet(address, Number(bits), 'ipv4');
  }
  return isIPv4(source) && among.check(source);
}

function agrees({ match, pattern }: RuleConfiguration, value: string): boolean {
  const wanted = pattern ?? '';
  switch (match) {
    case 'exists':
      return true;
    case 'is':
      return value === wanted;
    case 'contains':
      return value.includes(wanted);
    case 'startswith':
      return value.startsWith(wanted);
    case 'endswith':
      return value.endsWith(wanted);
    case 'matches':
      return new RegExp(wanted).test(value);
    case 'in':
      return wanted.split(',').some((one) => one.trim() === value);
    default:
      return false;
  }
}

function valueOf({ field, subField }: RuleConfiguration, subject: Subject): string | undefined {
  const { headers = {}, uri = '' } = subject;
  switch (field) {
    case 'source':
      return subject.source;
    case 'method':
      return subject.method;
    case 'uri':
      return uri;
    case 'protocol':
      return subject.method === undefined ? 'tcp' : 'http';
    case 'host':
      return headers['host']?.toString().replace(/:\d+$/, '');
    case 'header':
      return headers[(subField ?? '').toLowerCase()]?.toString();
    case 'cookie':
      return cookieOf(headers['cookie']?.toString(), subField ?? '');
    case 'param':
      return new URLSearchParams(uri.split('?')[1]).get(subField ?? '') ?? undefined;
    default:
      return undefined;
  }
}

/** The value of one cookie in a Cookie header. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const found = header?.split(';').find((part) => part.trimStart().startsWith(`${name}=`));
  return found?.slice(found.indexOf('=') + 1).trim();
}
