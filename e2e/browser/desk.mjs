// A desk phone: SIP over UDP, and PCMU with a tone of 400 Hz. It measures what it receives.
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';

const md5 = text => createHash('md5').update(text).digest('hex');
const token = () => randomBytes(6).toString('hex');
const sleep = seconds => new Promise(resolve => setTimeout(resolve, seconds * 1000));

// G.711 µ-law (ITU-T G.711), from and to 16 bits.
const decode = byte => {
  const u = ~byte & 0xff;
  const value = (((u & 0x0f) << 3) + 0x84) << ((u & 0x70) >> 4);
  return u & 0x80 ? 0x84 - value : value - 0x84;
};
const encode = sample => {
  const sign = sample < 0 ? 0x80 : 0;
  const value = Math.min(Math.abs(sample), 32635) + 0x84;
  let exponent = 7;
  for (let mask = 0x4000; exponent > 0 && !(value & mask); mask >>= 1) exponent--;
  return ~(sign | (exponent << 4) | ((value >> (exponent + 3)) & 0x0f)) & 0xff;
};
// Twenty periods of 400 Hz are 400 samples: 2.5 packets, so a second of them is kept.
const tone = Buffer.from(Array.from({ length: 8000 }, (_, n) =>
  encode(Math.round(8000 * Math.sin(2 * Math.PI * 400 * n / 8000)))));

export class Desk {
  static async start(options) {
    const desk = new Desk();
    Object.assign(desk, { events: [], incoming: [], calls: [], cseq: 1, ...options });
    desk.sip = createSocket('udp4');
    await new Promise(done => desk.sip.bind(0, '127.0.0.1', done));
    desk.port = desk.sip.address().port;
    desk.waiting = new Map();
    desk.sip.on('message', data => desk.#receive(data.toString()));
    return desk;
  }

  end() {
    for (const call of this.calls) call.silence();
    this.sip.close();
  }

  async register(expires = 120) {
    const answer = await this.#ask('REGISTER', `sip:${this.domain}`, {
      to: `<sip:${this.user}@${this.domain}>`, callId: this.registration ??= token(), tag: token(),
      more: [`Contact: <sip:${this.user}@127.0.0.1:${this.port}>`, `Expires: ${expires}`],
    });
    return answer.status;
  }

  // Calls a number; returns the call once it is answered, and throws the status otherwise.
  async call(number) {
    const call = await Call.open(this);
    Object.assign(call, { tag: token(), callId: token(), to: `<sip:${number}@${this.domain}>` });
    const answer = await this.#ask('INVITE', `sip:${number}@${this.domain}`, {
      ...call, more: [`Contact: <sip:${this.user}@127.0.0.1:${this.port}>`, 'Content-Type: application/sdp'],
      body: call.sdp(),
    });
    if (answer.status >= 300) { call.silence(); throw new Error(`${number}: ${answer.status}`); }
    call.established(answer, answer.headers.to);
    this.#send(call.request('ACK', answer.cseq));
    return call;
  }

  // Waits for a ringing call.
  async ringing(seconds = 15) {
    for (let n = 0; n < seconds * 50; n++) {
      const call = this.incoming.find(one => !one.taken);
      if (call) { call.taken = true; return call; }
      await sleep(0.02);
    }
    throw new Error(`${this.user} does not ring`);
  }

  send(text) { this.#send(text); }

  #send(text) { this.sip.send(text, this.server, '127.0.0.1'); }

  async #ask(method, uri, { to, callId, tag, more = [], body = '' }) {
    let authorization;
    for (let tries = 0; tries < 3; tries++) {
      const [branch, cseq] = [`z9hG4bK${token()}`, this.cseq++];
      const lines = [
        `${method} ${uri} SIP/2.0`, `Via: SIP/2.0/UDP 127.0.0.1:${this.port};branch=${branch};rport`,
        'Max-Forwards: 70', `From: <sip:${this.user}@${this.domain}>;tag=${tag}`, `To: ${to}`, `Call-ID: ${callId}`,
        `CSeq: ${cseq} ${method}`, ...more, ...(authorization ? [authorization] : []),
        `Content-Length: ${Buffer.byteLength(body)}`, '', body,
      ];
      const answer = await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no answer to ${method} of ${this.user}`)), 60_000);
        this.waiting.set(branch, message => { clearTimeout(timer); resolve({ ...message, cseq }); });
        this.#send(lines.join('\r\n'));
      });
      if (method === 'INVITE' && answer.status >= 300) {
        this.#send([`ACK ${uri} SIP/2.0`, ...lines.slice(1, 4), `To: ${answer.headers.to}`, lines[5], `CSeq: ${cseq} ACK`,
          'Content-Length: 0', '', ''].join('\r\n'));
      }
      const challenge = answer.headers['www-authenticate'] ?? answer.headers['proxy-authenticate'];
      if (![401, 407].includes(answer.status) || authorization) return answer;
      const of = name => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1];
      const [realm, nonce, cnonce] = [of('realm'), of('nonce'), token()];
      const response = md5([md5(`${this.user}:${realm}:${this.password}`), nonce, '00000001', cnonce, 'auth',
        md5(`${method}:${uri}`)].join(':'));
      authorization = `${answer.status === 401 ? '' : 'Proxy-'}Authorization: Digest username="${this.user}", `
        + `realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", algorithm=MD5, qop=auth, `
        + `nc=00000001, cnonce="${cnonce}"`;
    }
    throw new Error('asked for credentials again and again');
  }

  #receive(text) {
    const [head, body = ''] = text.split('\r\n\r\n');
    const [start, ...lines] = head.split('\r\n');
    const headers = {};
    for (const line of lines) headers[line.split(':', 1)[0].toLowerCase()] ??= line.slice(line.indexOf(':') + 1).trim();
    const vias = lines.filter(line => /^via:/i.test(line));
    const message = { start, headers, body, vias };
    if (start.startsWith('SIP/2.0')) {
      message.status = Number(start.split(' ')[1]);
      const branch = /branch=([^;\s]+)/.exec(vias[0])?.[1];
      if (message.status >= 200) {
        const waiting = this.waiting.get(branch);
        this.waiting.delete(branch);
        waiting?.(message);
      }
      return;
    }
    const method = start.split(' ')[0];
    this.events.push(`${method} ${headers.reason ?? ''}`.trim());
    const call = this.calls.find(one => one.callId === headers['call-id']);
    const answer = (status, more = [], body = '', tag = call?.tag ?? token()) => this.#send([
      `SIP/2.0 ${status}`, ...vias, `From: ${headers.from}`,
      headers.to.includes('tag=') ? `To: ${headers.to}` : `To: ${headers.to};tag=${tag}`,
      `Call-ID: ${headers['call-id']}`, `CSeq: ${headers.cseq}`, ...more, `Content-Length: ${Buffer.byteLength(body)}`, '', body,
    ].join('\r\n'));
    if (method === 'INVITE' && !call) this.#ring(message, answer);
    else if (method === 'INVITE') call.again(message, answer);
    else if (method === 'CANCEL') { answer('200 OK'); call?.cancelled(headers.reason ?? ''); }
    else if (method === 'BYE') { answer('200 OK'); call?.over('BYE'); }
    else if (method !== 'ACK') answer('200 OK');
  }

  async #ring(message, answer) {
    // The switch sends an INVITE again until it is answered: the call is known before anything else happens.
    const call = new Call(this);
    call.callId = message.headers['call-id'];
    call.tag = token();
    this.calls.push(call);
    await call.bind();
    call.ring(message, answer);
    this.incoming.push(call);
  }
}

class Call {
  constructor(desk) {
    Object.assign(this, { desk, energy: 0, packets: 0, digits: '', state: 'new' });
  }

  static async open(desk) {
    const call = new Call(desk);
    desk.calls.push(call);
    await call.bind();
    return call;
  }

  async bind() {
    this.rtp = createSocket('udp4');
    await new Promise(done => this.rtp.bind(0, '127.0.0.1', done));
    this.rtp.on('message', data => this.#hear(data));
  }

  ring(message, answer) {
    Object.assign(this, { message, answerWith: answer, state: 'ringing' });
    answer('180 Ringing', [`Contact: <sip:${this.desk.user}@127.0.0.1:${this.desk.port}>`], '', this.tag);
  }

  // Answers, with a status if the call is declined.
  answer(status = '200 OK') {
    const sdp = status.startsWith('2') ? this.sdp() : '';
    this.answerWith(status, [`Contact: <sip:${this.desk.user}@127.0.0.1:${this.desk.port}>`, 'Content-Type: application/sdp'],
      sdp, this.tag);
    if (!sdp) { this.over(status); return; }
    // The dialogue of a call to us: From and To change places.
    this.to = this.message.headers.from;
    this.own = `${this.message.headers.to};tag=${this.tag}`;
    this.established(this.message, this.to);
  }

  again(message, answer) {
    if (this.state !== 'up' || !message.body) return; // the first INVITE, sent again
    this.#talkTo(message.body);
    const direction = /a=(sendonly|recvonly|inactive)/.exec(message.body)?.[1];
    const mirrored = { sendonly: 'recvonly', recvonly: 'sendonly', inactive: 'inactive' }[direction] ?? 'sendrecv';
    answer('200 OK', [`Contact: <sip:${this.desk.user}@127.0.0.1:${this.desk.port}>`, 'Content-Type: application/sdp'],
      this.sdp(mirrored));
  }

  cancelled(reason) {
    this.reason = reason;
    if (this.state !== 'ringing') return;
    this.answerWith('487 Request Terminated', [], '', this.tag);
    this.over('CANCEL');
  }

  over(how) {
    this.state = 'over';
    this.how = how;
    this.silence();
  }

  silence() {
    clearInterval(this.timer);
    this.rtp?.close();
    this.rtp = undefined;
  }

  established(message, to) {
    this.to = to;
    this.target = /<([^>]+)>/.exec(message.headers.contact)?.[1];
    this.state = 'up';
    this.#talkTo(message.body);
    let [sequence, stamp, sent] = [1, 0, 0];
    const start = Date.now();
    this.timer = setInterval(() => {
      // As many packets as are due: a timer is late under load.
      for (; sent * 20 < Date.now() - start; sent++) {
        const packet = Buffer.alloc(172);
        packet.writeUInt8(0x80, 0);
        packet.writeUInt16BE(sequence++ & 0xffff, 2);
        packet.writeUInt32BE(stamp, 4);
        packet.writeUInt32BE(0x1234, 8);
        tone.copy(packet, 12, stamp % 8000, stamp % 8000 + 160);
        stamp += 160;
        this.rtp?.send(packet, this.peerPort, this.peerAddress);
      }
    }, 20);
  }

  #talkTo(sdp) {
    this.peerAddress = /^c=IN IP4 (\S+)/m.exec(sdp)?.[1] ?? '127.0.0.1';
    this.peerPort = Number(/^m=audio (\d+)/m.exec(sdp)?.[1]);
  }

  sdp(direction = 'sendrecv') {
    return ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 'c=IN IP4 127.0.0.1', 't=0 0',
      `m=audio ${this.rtp.address().port} RTP/AVP 0 101`, 'a=rtpmap:0 PCMU/8000', 'a=rtpmap:101 telephone-event/8000',
      `a=${direction}`, ''].join('\r\n');
  }

  request(method, cseq = this.desk.cseq++) {
    const { desk } = this;
    return [`${method} ${this.target} SIP/2.0`,
      `Via: SIP/2.0/UDP 127.0.0.1:${desk.port};branch=z9hG4bK${token()};rport`, 'Max-Forwards: 70',
      `From: ${this.own ?? `<sip:${desk.user}@${desk.domain}>;tag=${this.tag}`}`, `To: ${this.to}`,
      `Call-ID: ${this.callId}`, `CSeq: ${cseq} ${method}`, 'Content-Length: 0', '', ''].join('\r\n');
  }

  bye() {
    if (this.state === 'up') this.desk.send(this.request('BYE'));
    this.over('own BYE');
  }

  #hear(data) {
    const type = data[1] & 0x7f;
    if (type === 101) {
      // RFC 4733 §2.3: the end of an event has bit E, and comes three times.
      const [event, stamp] = [data[12], data.readUInt32BE(4)];
      if ((data[13] & 0x80) && stamp !== this.lastEvent) {
        this.lastEvent = stamp;
        this.digits += '0123456789*#ABCD'[event];
      }
      return;
    }
    if (type !== 0) return;
    this.packets++;
    let sum = 0;
    for (const byte of data.subarray(12)) sum += (decode(byte) / 32768) ** 2;
    this.energy += sum / (data.length - 12) * 0.02;
  }

  // Waits until media come.
  async flows() {
    const before = this.packets;
    for (let n = 0; n < 3000 && this.packets < before + 10; n++) await sleep(0.02);
    if (this.packets < before + 10) throw new Error(`${this.desk.user} receives nothing`);
  }

  // What it receives within some seconds.
  async window(seconds) {
    const before = { energy: this.energy, packets: this.packets };
    await sleep(seconds);
    return { energy: this.energy - before.energy, received: (this.packets - before.packets) / seconds };
  }

  async ends(seconds = 15) {
    const start = Date.now();
    while (this.state !== 'over') {
      if (Date.now() - start > seconds * 1000) throw new Error(`${this.desk.user}'s call goes on`);
      await sleep(0.02);
    }
    return (Date.now() - start) / 1000;
  }
}
