import { describe, expect, it } from 'vitest';
import { parseConnected, parseDestinationPort } from '../../../../src/vfile/node/transports.ts';

describe('what the kernel says of a transport', () => {
  it.each([
    ['last_used=4295\nmain_xprt=1\nsrc_port=812\ntasks_queuelen=0\ndst_port=20490\n', 20490],
    ['src_port=20490\ndst_port=2049\n', 2049],
    ['dst_port=0\n', undefined],
    ['<closed>\n', undefined],
    ['', undefined],
  ])('port of %j is %s', (text, port) => {
    expect(parseDestinationPort(text)).toBe(port);
  });

  it.each([
    ['state= CONNECTED   BOUND     \n', true],
    ['state=LOCKED CONNECTED BOUND\n', true],
    ['state=LOCKED  CONNECTING  BOUND\n', false],
    ['state=CLOSED\n', false],
    ['', false],
  ])('state %j: connected is %s', (text, connected) => {
    expect(parseConnected(text)).toBe(connected);
  });
});
