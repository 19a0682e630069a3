// Devices over AMQP and AMQP over WebSockets, as azure-iot-device-amqp is one.
'use strict';

const { Client, Message } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Client: ServiceClient } = require('azure-iothub');
const { Message: Outgoing, NoRetry } = require('azure-iot-common');
const {
  Arrivals, Device, assert, body, eventFrom, eventually, harness, main, registry, report, subscribed, test,
} = require('./harness');

async function connect(device, transport, sharedAccessKey) {
  const client = Client.fromConnectionString(device.connectionString(sharedAccessKey), transport);
  client.setRetryPolicy(new NoRetry());
  await client.open();
  return client;
}

async function service() {
  const client = ServiceClient.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);
  await client.open();
  return client;
}

async function waiting(device) {
  return (await body(registry().get(device.id))).cloudToDeviceMessageCount;
}

for (const [name, transport] of [['amqp', Amqp], ['amqp_ws', AmqpWs]]) {
  test(`${name}_telemetry_arrives_with_its_properties`, async () => {
    const device = await Device.create();
    const client = await connect(device, transport);
    const message = new Message('{"n":1}');
    message.messageId = 'm1';
    message.correlationId = 'c1';
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('color', 'dark red & more');
    await client.sendEvent(message);
    const event = await eventFrom(device.id);
    assert.deepEqual(event.body, { n: 1 });
    assert.deepEqual(event.properties, { color: 'dark red & more' });
    assert.equal(event.systemProperties.messageId, 'm1');
    assert.equal(event.systemProperties.correlationId, 'c1');
    assert.equal(event.systemProperties.contentType, 'application/json');
    await client.close();
  });

  test(`${name}_twin_is_read_reported_and_desired`, async () => {
    const device = await Device.create();
    const client = await connect(device, transport);
    const twin = await client.getTwin();
    await report(twin, { configId: 3, sendFrequency: '5m' });
    assert.equal((await device.twin()).properties.reported.configId, 3);
    const changes = new Arrivals();
    twin.on('properties.desired', (change) => changes.put(change));
    assert.equal((await changes.take('what is there already')).$version, 1);
    await subscribed(device.id, 'desiredProperties');
    await device.desire({ configId: 4 });
    const change = await changes.take('the change');
    assert.deepEqual([change.configId, change.$version], [4, 2]);
    await client.close();
  });

  test(`${name}_methods_are_answered`, async () => {
    const device = await Device.create();
    const client = await connect(device, transport);
    client.onDeviceMethod('reboot', (request, response) => {
      response.send(200, { in: request.payload.seconds });
    });
    const back = await service();
    const call = { methodName: 'reboot', payload: { seconds: 3 }, connectTimeoutInSeconds: 100 };
    const { result } = await back.invokeDeviceMethod(device.id, call);
    assert.deepEqual(result, { status: 200, payload: { in: 3 } });
    await back.close();
    await client.close();
  });

  test(`${name}_messages_are_completed_abandoned_and_rejected`, async () => {
    const device = await Device.create();
    const back = await service();
    const client = await connect(device, transport);
    const seen = [];
    client.on('message', (message) => {
      const text = message.getData().toString();
      assert.equal(message.properties.getValue('p'), text);
      const again = seen.includes(text);
      seen.push(text);
      if (text === 'abandon' && !again) client.abandon(message, () => {});
      else if (text === 'reject') client.reject(message, () => {});
      else client.complete(message, () => {});
    });
    // One at a time: rhea 1.0.24 writes the settlements of two messages in a row as one, with the
    // outcome of the first (write_dispositions in its session.js), when they come in one read.
    for (const text of ['complete', 'abandon', 'reject']) {
      const message = new Outgoing(text);
      message.messageId = text;
      message.properties.add('p', text);
      await back.send(device.id, message);
      await eventually(async () => (await waiting(device)) === 0, `${text} to be settled`);
    }
    assert.deepEqual(seen, ['complete', 'abandon', 'abandon', 'reject']);
    await client.close();
    await back.close();
  });

  test(`${name}_a_message_whose_lock_has_ended_comes_again`, async () => {
    const device = await Device.create();
    const back = await service();
    const client = await connect(device, transport);
    const messages = new Arrivals();
    client.on('message', (message) => messages.put(message));
    await back.send(device.id, new Outgoing('slow'));
    await messages.take('the message');
    await harness('POST', '/hubs/emulator/clock', { advance: 61 });
    const second = await messages.take('the message again');
    assert.equal(second.getData().toString(), 'slow');
    await client.complete(second);
    await eventually(async () => (await waiting(device)) === 0, 'it to be settled');
    await client.close();
    await back.close();
  });

  test(`${name}_a_wrong_key_is_refused`, async () => {
    const device = await Device.create();
    await assert.rejects(connect(device, transport, Buffer.alloc(32, 9).toString('base64')), {
      name: 'UnauthorizedError',
    });
  });
}

main();
