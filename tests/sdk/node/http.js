// The HTTPS device API as azure-iot-device-http uses it.
'use strict';

const { NoRetry } = require('azure-iot-common');
const { Client, Message } = require('azure-iot-device');
const { Http } = require('azure-iot-device-http');

const { Arrivals, Device, assert, body, eventually, main, refused, registry, test } = require('./harness');

/** Has the test that runs this script send a message. */
function send(device, text, system, properties) {
  console.log(`send ${JSON.stringify({ device: device.id, body: text, system, properties })}`);
}

async function waiting(device) {
  return (await body(registry().get(device.id))).cloudToDeviceMessageCount;
}

async function connect(device, key) {
  const client = Client.fromConnectionString(device.connectionString(key), Http);
  client.setRetryPolicy(new NoRetry());
  await client.setOptions({ http: { receivePolicy: { interval: 1 } } });
  await client.open();
  return client;
}

/** The messages that come; the case settles them. */
function receiving(client) {
  const messages = new Arrivals();
  client.on('message', (message) => messages.put(message));
  return messages;
}

test('events_are_taken', async () => {
  const device = await Device.create();
  const client = await connect(device);
  const message = new Message(JSON.stringify({ temperature: 21.5 }));
  message.messageId = 'm-1';
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('alert', 'yes');
  await client.sendEvent(message);
  await client.sendEventBatch([message, new Message('second')]);
  await client.close();
});

test('a_message_is_received_and_completed', async () => {
  const device = await Device.create();
  const client = await connect(device);
  const messages = receiving(client);
  send(device, 'hello', { messageId: 'm-1', correlationId: 'c-1' }, { color: 'red', 'iothub-ack': 'full' });
  const message = await messages.take('the message');
  assert.equal(message.getData().toString(), 'hello');
  assert.equal(message.messageId, 'm-1');
  assert.equal(message.correlationId, 'c-1');
  // the SDK leaves the prefix of the header where it is
  assert.equal(message.properties.getValue('iothub-app-color'), 'red');
  assert.equal(await waiting(device), 1);
  await client.complete(message);
  assert.equal(await waiting(device), 0);
  // the SDK has a name for this error, and does not use it here
  await refused('Error', 412, client.complete(message));
  await client.close();
});

test('a_message_is_abandoned_and_comes_again_and_is_rejected', async () => {
  const device = await Device.create();
  const client = await connect(device);
  const messages = receiving(client);
  send(device, 'again', { messageId: 'm-1' });
  const first = await messages.take('the message');
  await client.abandon(first);
  const second = await messages.take('the message again');
  assert.equal(second.messageId, 'm-1');
  assert.notEqual(second.lockToken, first.lockToken);
  await client.reject(second);
  await eventually(async () => (await waiting(device)) === 0, 'the message to leave the queue');
  await client.close();
});

test('who_may_not_ask_is_told_why', async () => {
  const device = await Device.create();
  const client = await connect(device, Buffer.alloc(32, 9).toString('base64'));
  await refused('UnauthorizedError', 401, client.sendEvent(new Message('x')));
  const gone = await connect({ connectionString: () => device.connectionString().replace(device.id, 'nobody') });
  await refused('DeviceNotFoundError', 404, gone.sendEvent(new Message('x')));
  const large = await connect(device);
  await refused('MessageTooLargeError', 413, large.sendEvent(new Message('x'.repeat(257 * 1024))));
});

main();
