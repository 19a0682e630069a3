// An Azure IoT Hub of its own for every test, from the IoT Hub emulator.
'use strict';

const { spawn } = require('node:child_process');
const { createHmac } = require('node:crypto');
const { mkdtemp, rm } = require('node:fs/promises');
const http = require('node:http');
const https = require('node:https');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const tls = require('node:tls');

const API_VERSION = '2021-04-12';
const TOKEN_SECONDS = 3600;
const START_MS = 30_000;
const ANSWER_MS = 30_000;

/** What the emulator refuses, or that there is none. */
class EmulatorError extends Error {}

/** A running emulator: one that is started here, or one that runs already. */
class Emulator {
  #token;
  #process;
  #folder;

  /** An emulator that runs already, by the address of its harness API. */
  constructor(url, { token } = {}) {
    this.url = new URL(url);
    this.#token = token;
  }

  /**
   * Starts an emulator on free ports. The program is `binary`, or what `IOTHUB_EMULATOR_BINARY`
   * names, or `iothub-emulator` on the path.
   */
  static async start({ binary = process.env.IOTHUB_EMULATOR_BINARY || 'iothub-emulator' } = {}) {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'iothub-emulator-'));
    const ports = ['mqtts', 'amqps', 'https', 'admin'].map((name) => `--${name}-port=0`);
    // What is set for people's own emulators must not change this one.
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('IOTHUB_'));
    const child = spawn(binary, ['run', ...ports, '--state-dir', folder], {
      env: Object.fromEntries(own),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const emulator = new Emulator(await harness(child, binary));
      emulator.#process = child;
      emulator.#folder = folder;
      return emulator;
    } catch (error) {
      child.kill();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Ends the emulator if it was started here. */
  async stop() {
    if (!this.#process) return;
    const child = this.#process;
    this.#process = undefined;
    if (child.exitCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  /**
   * Makes a hub at an address of its own (on Linux) so that every SDK finds it; empty, or with what
   * the snapshot `seed` says; with routes, as `routing` in a snapshot has them.
   */
  async createHub({ name, keys = 'random', seed, routing } = {}) {
    return new Hub(this, await this.ask('POST', '/hubs', { name, keys, seed, routing }));
  }

  /** All hubs. */
  async hubs() {
    return (await this.ask('GET', '/hubs')).map((facts) => new Hub(this, facts));
  }

  /** The certificate to trust, in PEM. */
  async caPem() {
    return (await this.#send('GET', '/ca.pem')).toString();
  }

  /**
   * Makes TLS in this process trust the emulator beside whom it trusts already, as
   * `NODE_EXTRA_CA_CERTS` does for a process that is yet to start. Gives a function that undoes it.
   */
  async trust() {
    const pem = await this.caPem();
    const before = tls.createSecureContext;
    tls.createSecureContext = (options) => {
      const context = before(options);
      // Whoever names authorities of his own means these alone.
      if (!options?.ca) context.context.addCACert(pem);
      return context;
    };
    return () => {
      tls.createSecureContext = before;
    };
  }

  /** A request to the harness API, for what has no method here. */
  async ask(method, resource, body, timeout = ANSWER_MS) {
    const answer = await this.#send(method, resource, body, timeout);
    return answer.length > 0 ? JSON.parse(answer) : undefined;
  }

  async #send(method, resource, body, timeout = ANSWER_MS) {
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    const url = new URL(resource, this.url);
    let answer;
    try {
      answer = await exchange(http, url, { method, headers, timeout }, body);
    } catch (error) {
      throw new EmulatorError(`no emulator answers at ${this.url}: ${error.message}`);
    }
    if (answer.status >= 400) {
      throw new EmulatorError(`${method} ${resource}: ${message(answer)}`);
    }
    return answer.body;
  }
}

/** A hub that the emulator serves. */
class Hub {
  #emulator;

  constructor(emulator, facts) {
    this.#emulator = emulator;
    this.name = facts.name;
    this.hostName = facts.hostName;
    this.ports = facts.ports;
    this.connectionStrings = facts.connectionStrings;
    this.eventHubConnectionString = facts.eventHubConnectionString;
    this.eventHubConnectionStrings = facts.eventHubConnectionStrings;
  }

  /** That of the policy `iothubowner`, which may do everything. */
  get connectionString() {
    return this.connectionStrings.iothubowner;
  }

  /** Makes the hub what it was in the beginning; address and keys stay. */
  async reset() {
    await this.#emulator.ask('POST', `/hubs/${this.name}/reset`);
  }

  /** All that the hub holds: its devices, twins, modules, configurations and routes. */
  async snapshot() {
    return this.#emulator.ask('GET', `/hubs/${this.name}/snapshot`);
  }

  /**
   * Makes the hub hold what a snapshot says, of this hub or another, or one written by hand; its
   * connections end, address and keys stay.
   */
  async restore(snapshot) {
    await this.#emulator.ask('POST', `/hubs/${this.name}/restore`, snapshot);
  }

  /** Ends the hub and its connections. */
  async delete() {
    await this.#emulator.ask('DELETE', `/hubs/${this.name}`);
  }

  /** Moves the hub's clock on; what is due until then has happened when this resolves. */
  async advance(seconds) {
    await this.#emulator.ask('POST', `/hubs/${this.name}/clock`, { advance: seconds });
  }

  /** Stops the hub's clock, or lets it run on. */
  async freeze(frozen = true) {
    await this.#emulator.ask('POST', `/hubs/${this.name}/clock`, { frozen });
  }

  /** Who is connected. */
  async connections() {
    return this.#emulator.ask('GET', `/hubs/${this.name}/connections`);
  }

  /** Ends the connection of a device, which may come back at once. */
  async disconnect(deviceId) {
    const device = encodeURIComponent(deviceId);
    await this.#emulator.ask('DELETE', `/hubs/${this.name}/connections/${device}`);
  }

  /**
   * Sends a cloud-to-device message; a text as it is, everything else as JSON. More of it:
   * `properties`, `messageId`, `contentType`, `ack`, `expiry` and so on.
   */
  async send(deviceId, body = '', message = {}) {
    const resource = `/hubs/${this.name}/devicebound/${encodeURIComponent(deviceId)}`;
    await this.#emulator.ask('POST', resource, { body, ...message });
  }

  /**
   * Shows another certificate from the next TLS handshake on: `expired`, `notYetValid`,
   * `selfSigned`, `wrongName`, `wrongAuthority`, or `good` again.
   */
  async showCertificate(kind = 'good') {
    await this.#emulator.ask('POST', `/hubs/${this.name}/certificate`, { kind });
  }

  /**
   * Lets operations fail or take long: `operation`, `protocol`, `device`, `route`, `error`, `status`,
   * `delay`, `after`, `duration`, `count`, `percent`, `seed`. Gives a function that ends it.
   */
  async injectFault(fault) {
    const { id } = await this.#emulator.ask('POST', `/hubs/${this.name}/faults`, fault);
    return () => this.#emulator.ask('DELETE', `/hubs/${this.name}/faults/${id}`);
  }

  /**
   * Adds the faults of a preset: `flaky-network`, `throttled-s1`, `hub-failover`. Gives a function
   * that ends them.
   */
  async injectPreset(preset, seed = 0) {
    const faults = `/hubs/${this.name}/faults`;
    const added = await this.#emulator.ask('POST', faults, { preset, seed });
    return async () => {
      for (const { id } of added) await this.#emulator.ask('DELETE', `${faults}/${id}`);
    };
  }

  /** The faults, and how many operations each has struck: `hits`. */
  async faults() {
    return this.#emulator.ask('GET', `/hubs/${this.name}/faults`);
  }

  /** What arrived and what was decided, behind the entry with the number `after`. */
  async journal({ after = 0 } = {}) {
    const found = [];
    for (;;) {
      const page = await this.#emulator.ask('GET', `/hubs/${this.name}/journal?after=${after}`);
      found.push(...page.entries);
      if (!page.more) return found;
      after = page.last;
    }
  }

  /**
   * Waits until the journal has an entry that has all of `match`, such as
   * `{ kind: 'event', deviceId: 'dev1', body: { t: 31 } }`, and gives it. If none comes in
   * `timeout` seconds, the error shows the last entries instead.
   */
  async expect(match, { timeout = 10, after = 0 } = {}) {
    const patience = timeout * 1000 + ANSWER_MS;
    const wanted = { match, timeout, after };
    return this.#emulator.ask('POST', `/hubs/${this.name}/journal/expect`, wanted, patience);
  }

  /** Puts a device with a key into the registry. */
  async createDevice(id) {
    const resource = `/devices/${encodeURIComponent(id)}?api-version=${API_VERSION}`;
    const url = `https://${this.hostName}:${this.ports.https}${resource}`;
    const options = {
      method: 'PUT',
      headers: { Authorization: this.#token() },
      ca: await this.#emulator.caPem(),
    };
    const identity = { deviceId: id, authentication: { type: 'sas' } };
    const answer = await exchange(https, new URL(url), options, identity);
    if (answer.status !== 200) {
      throw new EmulatorError(`device ${id}: ${message(answer)}`);
    }
    const key = JSON.parse(answer.body).authentication.symmetricKey.primaryKey;
    const connectionString = `HostName=${this.hostName};DeviceId=${id};SharedAccessKey=${key}`;
    return { id, connectionString };
  }

  #token() {
    const fields = this.connectionString.split(';').map((field) => /([^=]*)=(.*)/.exec(field));
    const { SharedAccessKeyName: policy, SharedAccessKey: key } = Object.fromEntries(
      fields.map(([, name, value]) => [name, value]),
    );
    const resource = encodeURIComponent(this.hostName);
    const expiry = Math.floor(Date.now() / 1000) + TOKEN_SECONDS;
    const signature = createHmac('sha256', Buffer.from(key, 'base64'))
      .update(`${resource}\n${expiry}`)
      .digest('base64');
    const sig = encodeURIComponent(signature);
    return `SharedAccessSignature sr=${resource}&sig=${sig}&se=${expiry}&skn=${policy}`;
  }
}

/** Where the emulator says that its harness is; it goes on being read, so that it never waits. */
function harness(child, binary) {
  return new Promise((resolve, reject) => {
    const failed = (why) => reject(new EmulatorError(`${binary} does not start: ${why}`));
    const late = setTimeout(() => failed(`nothing within ${START_MS / 1000} s`), START_MS);
    child.once('error', (error) => failed(error.message));
    child.once('exit', (code) => failed(`it ended with ${code}`));
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /^\s*Harness\s+(http:\S+)/.exec(line);
      if (!found) return;
      clearTimeout(late);
      // A test that forgets to stop it does not hang.
      child.unref();
      child.stdout.unref?.();
      resolve(found[1]);
    });
    child.once('exit', () => clearTimeout(late));
    child.once('error', () => clearTimeout(late));
  });
}

function exchange(transport, url, options, body) {
  return new Promise((resolve, reject) => {
    const timeout = options.timeout ?? ANSWER_MS;
    const request = transport.request(url, { ...options, agent: false, timeout });
    request.once('timeout', () => request.destroy(new Error(`no answer within ${timeout / 1000} s`)));
    request.once('error', reject);
    request.once('response', (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => {
        resolve({ status: response.statusCode, body: Buffer.concat(parts) });
      });
    });
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function message(answer) {
  try {
    return JSON.parse(answer.body).message;
  } catch {
    return `${answer.status} ${answer.body}`;
  }
}

module.exports = { Emulator, EmulatorError, Hub };
