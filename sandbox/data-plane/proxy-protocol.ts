import { isIPv4 } from 'node:net';

export interface Connection {
  readonly from: { readonly address: string; readonly port: number };
  readonly to: { readonly address: string; readonly port: number };
}

const v2Signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** The header that tells a server who is really connected, sent before anything else. IPv4 only, like the servers. */
export function proxyHeader(version: 'v1' | 'v2', { from, to }: Connection): Buffer {
  const known = isIPv4(from.address) && isIPv4(to.address);
  if (version === 'v1') {
    const line = known ? `TCP4 ${from.address} ${to.address} ${from.port} ${to.port}` : 'UNKNOWN';
    return Buffer.from(`PROXY ${line}\r\n`, 'latin1');
  }

  const proxyCommand = 0x21;
  const tcpOverIpv4 = 0x11;
  const addresses = Buffer.alloc(known ? 12 : 0);
  if (known) {
    addresses.set([...octets(from.address), ...octets(to.address)]);
    addresses.writeUInt16BE(from.port, 8);
    addresses.writeUInt16BE(to.port, 10);
  }
  const head = Buffer.from([proxyCommand, known ? tcpOverIpv4 : 0, 0, addresses.length]);
  return Buffer.concat([v2Signature, head, addresses]);
}

const octets = (address: string): number[] => address.split('.').map(Number);
