// The page of the tests: a phone, as docs/browsers.md says that one is made with JsSIP. `window.phone` is what the
// driver calls.
import JsSIP from 'jssip';

const sessions = [];
let ua, config;

// Waits until something holds.
const until = async (what, holds, seconds = 60) => {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`never came: ${what}; events ${JSON.stringify(phone.events)}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
};

// How long a call waits for other candidates after its first one.
const GATHERING_MS = 300;

// The candidates of a session description as the browser prefers them: FreeSWITCH begins with the first, and drops
// what the browser sends on another path until STUN_TOO_LONG, 20 seconds, have passed (switch_rtp.c).
const preferredFirst = sdp => {
  const isCandidate = line => line.startsWith('a=candidate:');
  const cost = line => Number(/ network-cost (\d+)/.exec(line)?.[1] ?? 0);
  const priority = line => Number(line.split(' ')[3]);
  const lines = sdp.split('\r\n');
  const sorted = lines.filter(isCandidate).sort((a, b) => cost(a) - cost(b) || priority(b) - priority(a));
  return lines.map(line => (isCandidate(line) ? sorted.shift() : line)).join('\r\n');
};

const follow = session => {
  const call = { session, state: 'new', audio: document.body.appendChild(document.createElement('audio')) };
  call.audio.autoplay = true;
  sessions.push(call);
  const name = `call${sessions.length - 1}`;
  const heard = pc => {
    pc.addEventListener('track', event => { call.audio.srcObject = event.streams[0]; });
  };
  if (session.connection) heard(session.connection);
  session.on('peerconnection', event => heard(event.peerconnection));
  session.on('icecandidate', event => {
    const wanted = config.relayOnly ? / typ relay /i : / udp /i;
    if (wanted.test(event.candidate.candidate)) setTimeout(() => event.ready(), GATHERING_MS);
  });
  session.on('sdp', event => {
    if (event.originator !== 'local') return;
    event.sdp = preferredFirst(event.sdp);
    call.offered = /^a=candidate:\S+ 1 udp \d+ ([\d.]+) /im.exec(event.sdp)?.[1];
  });
  session.on('sdp', event => {
    if (event.originator !== 'local' || !config.candidate) return;
    // The only candidate is an address that FreeSWITCH cannot reach; the port is right.
    const lines = event.sdp.split('\r\n');
    const first = lines.findIndex(line => /^a=candidate:.* udp .* typ host/i.test(line));
    event.sdp = lines.filter((line, at) => at === first || !line.startsWith('a=candidate:')).join('\r\n')
      .replace(/^(a=candidate:\S+ \d \S+ \d+ )\S+/m, `$1${config.candidate}`);
  });
  for (const what of ['progress', 'accepted', 'confirmed', 'ended', 'failed']) {
    session.on(what, event => {
      call.state = what;
      call.cause = event.cause;
      call.reason = event.message?.getHeader?.('reason');
      phone.events.push(`${name} ${what} ${event.originator ?? ''} ${event.cause ?? ''}`);
    });
  }
  return sessions.length - 1;
};

const media = () => ({
  // The fake microphone beeps: to the browser's filters that is an echo of the tone that it hears, or noise.
  mediaConstraints: {
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false,
  },
  pcConfig: { iceServers: config.iceServers ?? [], iceTransportPolicy: config.relayOnly ? 'relay' : 'all' },
});

const stats = async at => {
  const all = [...(await sessions[at].session.connection.getStats()).values()];
  const inbound = all.find(one => one.type === 'inbound-rtp' && one.kind === 'audio');
  const outbound = all.find(one => one.type === 'outbound-rtp' && one.kind === 'audio');
  const transport = all.find(one => one.type === 'transport');
  const pair = all.find(one => one.id === transport?.selectedCandidatePairId);
  return {
    energy: inbound?.totalAudioEnergy ?? 0,
    received: inbound?.packetsReceived ?? 0,
    sent: outbound?.packetsSent ?? 0,
    candidate: all.find(one => one.id === pair?.localCandidateId)?.candidateType,
    address: all.find(one => one.id === pair?.localCandidateId)?.address,
  };
};

const phone = window.phone = {
  events: [],
  start(options) {
    config = options;
    const socket = new JsSIP.WebSocketInterface(options.url);
    socket.via_transport = 'ws';
    ua = new JsSIP.UA({
      sockets: [socket], uri: options.uri, authorization_user: options.user, password: options.password,
      register_expires: 120, session_timers: false,
      connection_recovery_min_interval: 2, connection_recovery_max_interval: 8,
    });
    for (const what of ['connected', 'disconnected', 'registered', 'unregistered', 'registrationFailed']) {
      ua.on(what, event => phone.events.push(`${what} ${event?.response?.status_code ?? ''}`.trim()));
    }
    ua.on('newRTCSession', event => follow(event.session));
    window.addEventListener('pagehide', () => {
      for (const call of sessions) if (!call.session.isEnded()) call.session.terminate();
      ua.stop();
    });
    ua.start();
  },
  // Waits for an event after those of before; returns it.
  event: (pattern, after = 0, seconds) => until(`event ${pattern}`,
    () => phone.events.slice(after).find(text => new RegExp(pattern).test(text)), seconds),
  configure: options => { Object.assign(config, options); },
  call(number) { ua.call(number, media()); return sessions.length - 1; },
  incoming: (at, seconds) => until(`incoming call ${at}`, () => sessions[at], seconds).then(() => at),
  count: () => sessions.length,
  answer(at) { sessions[at].session.answer(media()); },
  state: (at, state, seconds) => until(`call ${at} ${state}`, () => sessions[at]?.state === state, seconds),
  reason: at => sessions[at].reason ?? '',
  hold: at => new Promise(done => sessions[at].session.hold({}, done)),
  unhold: at => new Promise(done => sessions[at].session.unhold({}, done)),
  dtmf(at, tones) {
    sessions[at].session.sendDTMF(tones, { transportType: 'RFC2833', duration: 120, interToneGap: 120 });
  },
  decline(at, status) { sessions[at].session.terminate({ status_code: status }); },
  bye(at) { if (!sessions[at].session.isEnded()) sessions[at].session.terminate(); },
  stats,
  // The IPv4 address of the first candidate that FreeSWITCH got.
  offered: at => sessions[at].offered,
  // Waits until media flow both ways.
  flows: at => until('media', async () => { const now = await stats(at); return now.received > 9 && now.sent > 9; }),
  // What a call sends and receives within some seconds.
  async window(at, seconds) {
    const before = await stats(at);
    await new Promise(resolve => setTimeout(resolve, seconds * 1000));
    const after = await stats(at);
    return {
      energy: after.energy - before.energy,
      received: (after.received - before.received) / seconds,
      sent: (after.sent - before.sent) / seconds,
      candidate: after.candidate,
    };
  },
  stop: () => new Promise(done => {
    for (const call of sessions) if (!call.session.isEnded()) call.session.terminate();
    ua.once('disconnected', () => done());
    ua.stop();
  }),
};
