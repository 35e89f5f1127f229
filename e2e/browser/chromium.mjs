// Headless Chromium, driven over a pipe by the DevTools protocol.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Chromium {
  #replies = new Map();
  #next = 1;

  static async start() {
    const chromium = new Chromium();
    chromium.home = await mkdtemp(join(tmpdir(), 'centrex-chromium-'));
    chromium.process = spawn('chromium', [
      '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-dev-shm-usage',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
      '--allow-loopback-in-peer-connection',
      `--user-data-dir=${chromium.home}`, '--remote-debugging-pipe', 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, HOME: chromium.home } });
    chromium.ended = new Promise(done => chromium.process.once('exit', done));
    let text = '';
    chromium.process.stdio[4].setEncoding('utf8').on('data', chunk => {
      const messages = (text + chunk).split('\0');
      text = messages.pop();
      for (const message of messages) {
        const { id, result, error } = JSON.parse(message);
        const reply = chromium.#replies.get(id);
        chromium.#replies.delete(id);
        reply?.(error ? Promise.reject(new Error(JSON.stringify(error))) : result);
      }
    });
    await chromium.send('Browser.getVersion');
    return chromium;
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`Chromium does not answer ${method}`)), 90_000);
      this.#replies.set(id, reply => { clearTimeout(timer); Promise.resolve(reply).then(resolve, reject); });
    });
  }

  // Opens a page, with the microphone allowed.
  async page(url) {
    await this.send('Browser.grantPermissions', { origin: new URL(url).origin, permissions: ['audioCapture'] });
    const { targetId } = await this.send('Target.createTarget', { url });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, targetId, sessionId);
    for (let tries = 0; !(await page.run(() => document.readyState === 'complete' && !!window.phone)); tries++) {
      if (tries > 200) throw new Error(`${url} does not load`);
      await new Promise(resolve => setTimeout(resolve, 50));
    }
    return page;
  }

  // Ends all of its processes at once.
  async kill() {
    process.kill(-this.process.pid, 'SIGKILL');
    await this.ended;
    await rm(this.home, { recursive: true, force: true });
  }

  async end() {
    this.send('Browser.close').catch(() => {});
    const timer = setTimeout(() => process.kill(-this.process.pid, 'SIGKILL'), 5000);
    await this.ended;
    clearTimeout(timer);
    await rm(this.home, { recursive: true, force: true });
  }
}

class Page {
  constructor(chromium, targetId, sessionId) {
    Object.assign(this, { chromium, targetId, sessionId });
    // page.phone.call('1001') calls window.phone.call('1001') there.
    this.phone = new Proxy({}, { get: (_, name) => (...args) => this.#evaluate(`phone.${name}(...${JSON.stringify(args)})`) });
  }

  run(work, ...args) { return this.#evaluate(`(${work})(...${JSON.stringify(args)})`); }

  async #evaluate(expression) {
    const params = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.chromium.send('Runtime.evaluate', params, this.sessionId);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  leave() { return this.chromium.send('Page.navigate', { url: 'about:blank' }, this.sessionId); }

  close() { return this.chromium.send('Target.closeTarget', { targetId: this.targetId }); }
}
