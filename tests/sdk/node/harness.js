// What the cases share: the hub under test, devices of their own, waiting.
//
// A script registers its cases with `test(name, function)` and ends with `main()`. Each case that
// holds prints `ok <name>`; the exit code is 0 only if all of them hold. Names given as arguments
// select cases. The hub comes from the environment alone, as it would for a user:
// `IOTHUB_CONNECTION_STRING`, `NODE_EXTRA_CA_CERTS`.
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');

const { EventHubConsumerClient, earliestEventPosition } = require('@azure/event-hubs');
const { NoRetry } = require('azure-iot-common');
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { Registry } = require('azure-iothub');

const CONNECTION_STRING = process.env.IOTHUB_CONNECTION_STRING;
const HOST = /HostName=([^;]*)/.exec(CONNECTION_STRING)[1];
const API_VERSION = '?api-version=2021-04-12';
// No case needs a tenth of it on an idle machine.
const PATIENCE = 60000;

const cases = [];

function test(name, body) {
  cases.push({ name, body });
}

async function main() {
  const wanted = process.argv.slice(2);
  let failed = 0;
  for (const { name, body } of cases) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    try {
      await within(body(), `case ${name}`, 3 * PATIENCE);
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(error);
      console.log(`FAILED ${name}`);
    }
  }
  // The SDKs keep sockets and timers after a failure; the verdict does not wait for them.
  process.exit(failed > 0 ? 1 : 0);
}

/** A key of 32 equal bytes, so that a failure shows which one it was. */
function key(fill) {
  return Buffer.alloc(32, fill).toString('base64');
}

function registry() {
  return Registry.fromConnectionString(CONNECTION_STRING);
}

/** What a registry call answered; the SDK wraps it together with the HTTP response. */
async function body(call) {
  return (await call).responseBody;
}

/** PUT of a twin: the SDK has no call for it, so its own REST client is asked. */
function replaceTwin(deviceId, twin, etag = '"*"') {
  const headers = { 'Content-Type': 'application/json; charset=utf-8', 'If-Match': etag };
  return new Promise((resolve, reject) => {
    registry()._restApiClient.executeApiCall(
      'PUT',
      `/twins/${encodeURIComponent(deviceId)}${API_VERSION}`,
      headers,
      twin,
      (error, answer) => (error ? reject(error) : resolve(answer)),
    );
  });
}

/** A device that was created for one case. */
class Device {
  static async create(options = {}) {
    const device = new Device();
    device.id = options.id ?? `node-${randomUUID().slice(0, 13)}`;
    device.primary = key(1);
    device.secondary = key(2);
    const authentication = {
      type: 'sas',
      symmetricKey: { primaryKey: device.primary, secondaryKey: device.secondary },
    };
    const status = options.status ?? 'enabled';
    device.answer = await registry().create({ deviceId: device.id, status, authentication });
    device.identity = device.answer.responseBody;
    return device;
  }

  connectionString(sharedAccessKey = this.primary) {
    return `HostName=${HOST};DeviceId=${this.id};SharedAccessKey=${sharedAccessKey}`;
  }

  /** A client that gives up at the first failure instead of trying for minutes. */
  client(sharedAccessKey) {
    const client = Client.fromConnectionString(this.connectionString(sharedAccessKey), Mqtt);
    client.setRetryPolicy(new NoRetry());
    return client;
  }

  async connect() {
    const client = this.client();
    await client.open();
    return client;
  }

  twin() {
    return body(registry().getTwin(this.id));
  }

  desire(desired, etag = '*') {
    return body(registry().updateTwin(this.id, { properties: { desired } }, etag));
  }
}

/** A module that was created for one case, on a device of its own. */
class Module {
  static async create() {
    const module = new Module();
    module.device = await Device.create();
    module.id = `node-${randomUUID().slice(0, 13)}`;
    module.identity = await body(
      registry().addModule({
        deviceId: module.device.id,
        moduleId: module.id,
        managedBy: 'me',
        authentication: {
          type: 'sas',
          symmetricKey: { primaryKey: key(5), secondaryKey: key(6) },
        },
      }),
    );
    return module;
  }

  connectionString(sharedAccessKey = key(5)) {
    return `HostName=${HOST};DeviceId=${this.device.id};ModuleId=${this.id};SharedAccessKey=${sharedAccessKey}`;
  }

  twin() {
    return body(registry().getModuleTwin(this.device.id, this.id));
  }
}

/** The first event of a device, as a reader of the built-in endpoint gets it. */
async function eventFrom(deviceId) {
  const reader = new EventHubConsumerClient('$Default', process.env.EVENTHUB_CONNECTION_STRING);
  const events = new Arrivals();
  const subscription = reader.subscribe(
    {
      processEvents: async (batch) => batch.forEach((event) => events.put(event)),
      processError: async () => {},
    },
    { startPosition: earliestEventPosition },
  );
  let event;
  do event = await events.take('the event');
  while (event.systemProperties['iothub-connection-device-id'] !== deviceId);
  await subscription.close();
  await reader.close();
  return event;
}

/** Reports a patch of the device's twin. */
function report(twin, patch) {
  return new Promise((resolve, reject) => {
    twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve()));
  });
}

/** Properties without `$metadata` and `$version`. */
function plain(properties) {
  const entries = Object.entries(properties).filter(
    ([name, value]) => !name.startsWith('$') && typeof value !== 'function',
  );
  return Object.fromEntries(entries);
}

/** What arrives one after the other, to be waited for. */
class Arrivals {
  constructor() {
    this.items = [];
    this.waiting = [];
  }

  put(item) {
    const next = this.waiting.shift();
    if (next) next(item);
    else this.items.push(item);
  }

  take(what) {
    if (this.items.length > 0) return Promise.resolve(this.items.shift());
    return within(new Promise((resolve) => this.waiting.push(resolve)), what);
  }
}

function within(promise, what, milliseconds = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for: ${what}`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function eventually(condition, what) {
  const deadline = Date.now() + PATIENCE;
  while (Date.now() < deadline) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${PATIENCE} ms for: ${what}`);
}

/** What the emulator's harness answers. */
async function harness(method, path, wanted) {
  const answer = await fetch(`${process.env.IOTHUB_TEST_HARNESS}${path}`, {
    method,
    body: wanted && JSON.stringify(wanted),
  });
  const found = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(found));
  return found;
}

/** Waits until the hub knows that a device or module has subscribed: the SDKs do not say when that is. */
async function subscribed(deviceId, channel, moduleId = null) {
  await eventually(async () => {
    const all = await harness('GET', '/hubs/emulator/connections');
    const own = all.find((one) => one.deviceId === deviceId && one.moduleId === moduleId);
    return own?.subscriptions.includes(channel);
  }, `${deviceId} to subscribe to ${channel}`);
}

/** Waits for an entry like this in the hub's journal. */
function journaled(match) {
  return harness('POST', '/hubs/emulator/journal/expect', { match, timeout: PATIENCE / 1000 });
}

/** Awaits a failure of this name, and of this status if there was an HTTP answer. */
async function refused(name, status, promise) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    assert.equal(error.name, name, `${error.name}: ${error.message}`);
    assert.equal(error.response?.statusCode, status);
    return error;
  }
  throw new Error(`answered ${JSON.stringify(answer)}, expected ${name}`);
}

/** The open MQTT connections of this process. */
function connections() {
  return process._getActiveHandles().filter((handle) => handle.remotePort === 8883);
}

/** Cuts them as a network would, without a DISCONNECT, and gives what was cut. */
function cutConnections() {
  const sockets = connections();
  assert.notEqual(sockets.length, 0, 'there is no MQTT connection to cut');
  for (const socket of sockets) socket.destroy();
  return sockets;
}

module.exports = {
  API_VERSION,
  Arrivals,
  Device,
  HOST,
  Module,
  PATIENCE,
  assert,
  body,
  connections,
  cutConnections,
  eventFrom,
  eventually,
  harness,
  journaled,
  key,
  main,
  plain,
  refused,
  registry,
  replaceTwin,
  report,
  subscribed,
  test,
  within,
};
