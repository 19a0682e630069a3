// Connections of azure-iot-device over azure-iot-device-mqtt: telemetry, take-over, a cut network.
'use strict';

const { ExponentialBackOffWithJitter, Message } = require('azure-iot-common');
const {
  Arrivals, Device, assert, connections, cutConnections, eventually, main, plain, report, test, within,
} = require('./harness');

test('telemetry_with_properties_is_acknowledged', async () => {
  const device = await Device.create();
  const client = await device.connect();
  const message = new Message(JSON.stringify({ temperature: 21.5 }));
  message.messageId = 'm-1';
  message.correlationId = 'c-1';
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('alert', 'yes & no');
  message.properties.add('größe', '4/5=80%');
  await client.sendEvent(message);
  await Promise.all(Array.from({ length: 50 }, (_, n) => client.sendEvent(new Message(`message ${n}`))));
  await client.close();
});

test('the_second_connection_of_a_device_wins', async () => {
  const device = await Device.create();
  const first = await device.connect();
  const lost = new Promise((resolve) => first.on('disconnect', resolve));
  const second = await device.connect();
  await within(lost, 'the first connection to be closed');
  await report(await second.getTwin(), { by: 'second' });
  assert.deepEqual(plain((await device.twin()).properties.reported), { by: 'second' });
  assert.equal((await device.twin()).connectionState, 'Connected');
  await second.close();
});

test('desired_patches_arrive_after_a_cut', async () => {
  const device = await Device.create();
  const client = await device.connect();
  client.setRetryPolicy(new ExponentialBackOffWithJitter());
  const twin = await client.getTwin();
  const patches = new Arrivals();
  twin.on('properties.desired', (patch) => patches.put(patch));
  // a listener is told at once what is there already
  assert.deepEqual(await patches.take('what is desired already'), { $version: 1 });
  await report(twin, { listening: true });
  await device.desire({ n: 1 });
  assert.deepEqual(await patches.take('the patch before the cut'), { n: 1, $version: 2 });
  const before = cutConnections();
  await eventually(() => connections().some((socket) => !before.includes(socket)), 'the reconnect');
  await eventually(async () => (await device.twin()).connectionState === 'Connected', 'the hub to see it');
  await report(twin, { listening: 'again' });
  await device.desire({ n: 2 });
  assert.deepEqual(await patches.take('the patch after the cut'), { n: 2, $version: 3 });
  await client.close();
});

test('a_client_connects_again_and_again', async () => {
  const device = await Device.create();
  for (let number = 0; number < 10; number += 1) {
    const client = await device.connect();
    await report(await client.getTwin(), { number });
    await client.close();
  }
  assert.equal((await device.twin()).properties.reported.number, 9);
});

main();
