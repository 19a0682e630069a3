// Cloud-to-device messages as azure-iot-device receives them over MQTT.
'use strict';

const { Arrivals, Device, assert, body, eventually, main, registry, subscribed, test } = require('./harness');

/** Has the test that runs this script send a message. */
function send(device, text, system, properties) {
  console.log(`send ${JSON.stringify({ device: device.id, body: text, system, properties })}`);
}

async function waiting(device) {
  return (await body(registry().get(device.id))).cloudToDeviceMessageCount;
}

async function listening(device) {
  const client = device.client();
  const messages = new Arrivals();
  client.on('message', (message) => client.complete(message, () => messages.put(message)));
  await client.open();
  await subscribed(device.id, 'devicebound');
  return { client, messages };
}

test('a_message_arrives_with_its_properties', async () => {
  const device = await Device.create();
  const { client, messages } = await listening(device);
  send(
    device,
    '{"a": "ü"}',
    { messageId: 'm-1/2', correlationId: 'c 1', contentType: 'application/json', contentEncoding: 'utf-8' },
    { color: 'dark red & more', path: '/a/b?c=d', 'iothub-ack': 'full' },
  );
  const message = await messages.take('the message');
  assert.equal(message.getData().toString(), '{"a": "ü"}');
  assert.equal(message.messageId, 'm-1/2');
  assert.equal(message.correlationId, 'c 1');
  assert.equal(message.contentType, 'application/json');
  assert.equal(message.contentEncoding, 'utf-8');
  // the SDK takes it for a property of the application
  assert.equal(message.properties.getValue('iothub-ack'), 'full');
  assert.equal(message.properties.getValue('color'), 'dark red & more');
  assert.equal(message.properties.getValue('path'), '/a/b?c=d');
  await eventually(async () => (await waiting(device)) === 0, 'the message to leave the queue');
  await client.close();
});

test('what_was_sent_while_the_device_was_away_arrives_when_it_is_back', async () => {
  const device = await Device.create();
  const first = await listening(device);
  send(device, 'first');
  assert.equal((await first.messages.take('the first')).getData().toString(), 'first');
  await first.client.close();
  send(device, 'second');
  await eventually(async () => (await waiting(device)) === 1, 'the message to wait');
  const second = await listening(device);
  assert.equal((await second.messages.take('the second')).getData().toString(), 'second');
  await eventually(async () => (await waiting(device)) === 0, 'the message to leave the queue');
  await second.client.close();
});

main();
