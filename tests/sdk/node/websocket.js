// azure-iot-device over azure-iot-device-mqtt's MqttWs: telemetry, twins, refusals.
'use strict';

const { Message, NoRetry } = require('azure-iot-common');
const { Client } = require('azure-iot-device');
const { MqttWs } = require('azure-iot-device-mqtt');
const { Arrivals, Device, assert, key, main, plain, report, test } = require('./harness');

function clientOf(device, sharedAccessKey) {
  const client = Client.fromConnectionString(device.connectionString(sharedAccessKey), MqttWs);
  client.setRetryPolicy(new NoRetry());
  return client;
}

test('telemetry_is_acknowledged', async () => {
  const client = clientOf(await Device.create());
  await client.open();
  const message = new Message(JSON.stringify({ temperature: 21.5 }));
  message.properties.add('alert', 'yes & no');
  await client.sendEvent(message);
  await Promise.all(Array.from({ length: 50 }, (_, n) => client.sendEvent(new Message(`message ${n}`))));
  await client.sendEvent(new Message('x'.repeat(255 * 1024)));
  await client.close();
});

test('twins_work_both_ways', async () => {
  const device = await Device.create();
  const client = clientOf(device);
  await client.open();
  assert.equal((await device.twin()).connectionState, 'Connected');
  const twin = await client.getTwin();
  const patches = new Arrivals();
  twin.on('properties.desired', (patch) => patches.put(patch));
  assert.deepEqual(await patches.take('what is desired already'), { $version: 1 });
  await report(twin, { text: 'x'.repeat(4000) });
  await device.desire({ n: 1 });
  assert.deepEqual(await patches.take('the patch'), { n: 1, $version: 2 });
  assert.deepEqual(plain((await device.twin()).properties.reported), { text: 'x'.repeat(4000) });
  await client.close();
});

test('a_wrong_key_is_unauthorized', async () => {
  const client = clientOf(await Device.create(), key(9));
  await assert.rejects(client.open(), (error) => error.name === 'UnauthorizedError');
});

main();
