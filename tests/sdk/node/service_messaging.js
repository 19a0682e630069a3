// Cloud-to-device messages and feedback as azure-iothub's service client does them over AMQP.
'use strict';

const { Client } = require('azure-iothub');
const { Message } = require('azure-iot-common');
const { Client: DeviceClient } = require('azure-iot-device');
const { Amqp } = require('azure-iot-device-amqp');
const { Arrivals, Device, assert, main, subscribed, test, within } = require('./harness');

async function service() {
  const client = Client.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);
  await client.open();
  return client;
}

function message(text) {
  const one = new Message(text);
  one.messageId = text;
  one.ack = 'full';
  one.properties.add('color', 'dark red & more');
  return one;
}

/** The record of a batch that has one. */
async function feedback(client) {
  const receiver = await new Promise((resolve, reject) => {
    client.getFeedbackReceiver((error, one) => (error ? reject(error) : resolve(one)));
  });
  const batches = new Arrivals();
  receiver.on('message', (batch) => batches.put(batch));
  // a batch is gathered for 15 seconds
  const batch = await batches.take('feedback');
  const records = JSON.parse(batch.getData().toString());
  assert.equal(records.length, 1);
  await within(receiver.complete(batch), 'the settlement');
  return records[0];
}

async function refused(name, promise) {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.name, name, error.message);
    return;
  }
  throw new Error(`expected ${name}`);
}

test('feedback_tells_what_became_of_a_message', async () => {
  const device = await Device.create();
  const client = await service();
  const gone = new Arrivals();
  const receiving = device.client();
  receiving.on('message', (one) => receiving.complete(one, () => gone.put(one)));
  await receiving.open();
  await subscribed(device.id, 'devicebound');
  await client.send(device.id, message('m1'));
  const received = await gone.take('the message');
  assert.equal(received.getData().toString(), 'm1');
  assert.equal(received.properties.getValue('color'), 'dark red & more');
  const record = await feedback(client);
  assert.equal(record.originalMessageId, 'm1');
  assert.equal(record.statusCode, 'Success');
  assert.equal(record.deviceId, device.id);
  await receiving.close();
  await client.close();
});

test('feedback_tells_that_a_device_rejected_a_message', async () => {
  const device = await Device.create();
  const client = await service();
  const receiving = DeviceClient.fromConnectionString(device.connectionString(), Amqp);
  receiving.on('message', (one) => receiving.reject(one, () => {}));
  await receiving.open();
  await client.send(device.id, message('m2'));
  const record = await feedback(client);
  assert.equal(record.originalMessageId, 'm2');
  assert.equal(record.statusCode, 'Rejected');
  assert.equal(record.description, 'Rejected');
  assert.equal(record.deviceId, device.id);
  assert.equal(record.deviceGenerationId, device.identity.generationId);
  await receiving.close();
  await client.close();
});

test('a_device_that_is_not_there_is_an_error', async () => {
  const client = await service();
  await refused('DeviceNotFoundError', client.send('nobody', message('x')));
  await client.close();
});

test('a_queue_holds_fifty', async () => {
  const device = await Device.create();
  const client = await service();
  for (let number = 0; number < 50; number += 1) await client.send(device.id, message(`${number}`));
  await refused('DeviceMaximumQueueDepthExceededError', client.send(device.id, message('x')));
  await client.close();
});

main();
