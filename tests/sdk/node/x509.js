// azure-iot-device with certificates: MQTT and AMQP, over TCP and over WebSockets.
'use strict';

const { execFileSync } = require('node:child_process');
const { X509Certificate, randomUUID } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { Message, NoRetry } = require('azure-iot-common');
const { Client, ModuleClient, X509AuthenticationProvider } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { Client: ServiceClient } = require('azure-iothub');
const {
  assert, body, eventFrom, eventually, main, plain, registry, report, test,
} = require('./harness');

const HOST = /HostName=([^;]*)/.exec(process.env.IOTHUB_CONNECTION_STRING)[1];
const TRANSPORTS = [Mqtt, MqttWs, Amqp, AmqpWs];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'x509-'));
const quiet = { stdio: ['ignore', 'pipe', 'pipe'] };

function openssl(...args) {
  execFileSync('openssl', args, quiet);
}

/** A common name as openssl takes it, for which a slash begins the next part. */
function subject(name) {
  return `/CN=${name.replaceAll('/', '\\/')}`;
}

/** Somebody who has a certificate and its key. */
class Party {
  constructor(name) {
    this.certificateFile = path.join(folder, `${name.replaceAll('/', '-')}-${randomUUID()}.pem`);
    this.keyFile = `${this.certificateFile}.key`;
  }

  static selfSigned(name) {
    const party = new Party(name);
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', subject(name), '-days', '30',
      '-keyout', party.keyFile, '-out', party.certificateFile);
    return party;
  }

  issue(name) {
    const party = new Party(name);
    const request = `${party.certificateFile}.csr`;
    openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', subject(name),
      '-keyout', party.keyFile, '-out', request);
    openssl('x509', '-req', '-in', request, '-CA', this.certificateFile, '-CAkey', this.keyFile,
      '-CAcreateserial', '-days', '30', '-out', party.certificateFile);
    return party;
  }

  options() {
    return { cert: fs.readFileSync(this.certificateFile, 'utf8'), key: fs.readFileSync(this.keyFile, 'utf8') };
  }

  thumbprint() {
    return new X509Certificate(fs.readFileSync(this.certificateFile)).fingerprint256.replaceAll(':', '');
  }
}

async function clientOf(deviceId, party, transport) {
  const client = Client.fromConnectionString(`HostName=${HOST};DeviceId=${deviceId};x509=true`, transport);
  client.setRetryPolicy(new NoRetry());
  await client.setOptions(party.options());
  return client;
}

async function works(deviceId, party, transport) {
  const client = await clientOf(deviceId, party, transport);
  await client.open();
  await client.sendEvent(new Message('hello'));
  await report(await client.getTwin(), { by: 'certificate' });
  const twin = await body(registry().getTwin(deviceId));
  assert.deepEqual(plain(twin.properties.reported), { by: 'certificate' });
  await client.close();
}

async function isRefused(deviceId, party, transport) {
  const client = await clientOf(deviceId, party, transport);
  // Over AMQP it is a link that says which device the certificate is to be of.
  const use = async () => {
    await client.open();
    await client.sendEvent(new Message('hello'));
  };
  await assert.rejects(use(), { name: 'UnauthorizedError' });
}

test('a_thumbprint_lets_a_device_in', async () => {
  const party = Party.selfSigned('thumb');
  const x509Thumbprint = { primaryThumbprint: party.thumbprint(), secondaryThumbprint: party.thumbprint() };
  await registry().create({ deviceId: 'thumb', authentication: { type: 'selfSigned', x509Thumbprint } });
  for (const transport of TRANSPORTS) {
    await works('thumb', party, transport);
    await isRefused('thumb', Party.selfSigned('thumb'), transport);
  }
});

test('an_authority_lets_its_devices_in', async () => {
  const root = Party.selfSigned('root');
  execFileSync(process.env.IOTHUB_EMULATOR,
    ['x509', 'ca', 'add', root.certificateFile, '--name', 'root', '--verified'], quiet);
  await registry().create({ deviceId: 'ca-1', authentication: { type: 'certificateAuthority' } });
  for (const transport of TRANSPORTS) {
    await works('ca-1', root.issue('ca-1'), transport);
    await isRefused('ca-1', root.issue('ca-2'), transport);
    await isRefused('ca-1', Party.selfSigned('ca-1'), transport);
  }
});

/**
 * ModuleClient wants a key in its connection string, but the transports below it take modules with
 * certificates, so one is handed to it.
 */
function moduleClientOf(deviceId, moduleId, party, transport) {
  const provider = new X509AuthenticationProvider({ host: HOST, deviceId, moduleId, x509: party.options() });
  const client = new ModuleClient(new transport(provider));
  client.setRetryPolicy(new NoRetry());
  return client;
}

async function moduleWorks(deviceId, moduleId, party, transport) {
  const client = moduleClientOf(deviceId, moduleId, party, transport);
  const twinOf = () => body(registry().getModuleTwin(deviceId, moduleId));
  await client.open();
  await client.sendEvent(new Message('hello'));
  const system = (await eventFrom(deviceId)).systemProperties;
  assert.equal(system['iothub-connection-module-id'], moduleId);
  const { scope, type } = JSON.parse(system['iothub-connection-auth-method']);
  assert.deepEqual([scope, type], ['module', 'x509']);
  await report(await client.getTwin(), { by: transport.name });
  assert.deepEqual(plain((await twinOf()).properties.reported), { by: transport.name });
  client.onMethod('reboot', (request, response) => response.send(200, { in: request.payload.seconds }));
  const back = ServiceClient.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);
  const call = { methodName: 'reboot', payload: { seconds: 3 }, connectTimeoutInSeconds: 10 };
  const { result } = await back.invokeDeviceMethod(deviceId, moduleId, call);
  assert.deepEqual(result, { status: 200, payload: { in: 3 } });
  assert.equal((await twinOf()).connectionState, 'Connected');
  await client.close();
  await eventually(async () => (await twinOf()).connectionState === 'Disconnected', 'the end');
}

async function moduleIsRefused(deviceId, moduleId, party, transport) {
  const client = moduleClientOf(deviceId, moduleId, party, transport);
  const use = async () => {
    await client.open();
    await client.sendEvent(new Message('hello'));
  };
  await assert.rejects(use(), { name: 'UnauthorizedError' });
}

for (const transport of [Amqp, AmqpWs]) {
  test(`a_thumbprint_lets_a_module_in_over_${transport.name}`, async () => {
    const deviceId = `thumb-${transport.name}`;
    const party = Party.selfSigned('thumb');
    const x509Thumbprint = { primaryThumbprint: party.thumbprint(), secondaryThumbprint: party.thumbprint() };
    await registry().create({ deviceId });
    for (const moduleId of ['m', 'other']) {
      const own = moduleId === 'm' ? { type: 'selfSigned', x509Thumbprint } : { type: 'sas' };
      await registry().addModule({ deviceId, moduleId, authentication: own });
    }
    await moduleWorks(deviceId, 'm', party, transport);
    await moduleIsRefused(deviceId, 'm', Party.selfSigned('thumb'), transport);
    await moduleIsRefused(deviceId, 'other', party, transport);
    await isRefused(deviceId, party, transport);
  });

  test(`an_authority_lets_its_modules_in_over_${transport.name}`, async () => {
    const deviceId = `ca-${transport.name}`;
    const root = Party.selfSigned(`root-${transport.name}`);
    execFileSync(process.env.IOTHUB_EMULATOR,
      ['x509', 'ca', 'add', root.certificateFile, '--name', `root-${transport.name}`, '--verified'], quiet);
    await registry().create({ deviceId, authentication: { type: 'certificateAuthority' } });
    await registry().addModule({ deviceId, moduleId: 'm', authentication: { type: 'certificateAuthority' } });
    await moduleWorks(deviceId, 'm', root.issue(`${deviceId}/m`), transport);
    await moduleIsRefused(deviceId, 'm', root.issue(deviceId), transport);
    await moduleIsRefused(deviceId, 'm', root.issue(`${deviceId}/n`), transport);
    await moduleIsRefused(deviceId, 'm', Party.selfSigned(`${deviceId}/m`), transport);
    await isRefused(deviceId, root.issue(`${deviceId}/m`), transport);
  });
}

main();
