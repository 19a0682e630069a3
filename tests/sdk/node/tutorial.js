// The tutorial: the back end asks for a configuration, the device sees it, applies it and reports
// it, and both read the same twin at the end.
'use strict';

const { Arrivals, Device, assert, eventually, main, plain, report, test } = require('./harness');

const WANTED = { configId: 3, sendFrequency: '5m' };

test('device_and_back_end_agree_on_a_configuration', async () => {
  const device = await Device.create();
  const client = await device.connect();
  const twin = await client.getTwin();
  await report(twin, { configId: 1, sendFrequency: '24h' });
  const applied = new Arrivals();
  twin.on('properties.desired', async (patch) => {
    if (patch.configId === undefined) return;
    await report(twin, { status: 'pending' });
    await report(twin, { ...plain(patch), status: null });
    applied.put(patch);
  });

  const before = await device.twin();
  assert.deepEqual(plain(before.properties.reported), { configId: 1, sendFrequency: '24h' });
  // The listener's subscription is on its way; the answer to a report comes after it.
  await report(twin, { listening: true });
  await report(twin, { listening: null });
  await device.desire(WANTED, before.etag);
  assert.deepEqual(await applied.take('the device to apply'), { ...WANTED, $version: 2 });

  const after = await device.twin();
  assert.deepEqual(plain(after.properties.desired), WANTED);
  assert.deepEqual(plain(after.properties.reported), WANTED);
  assert.equal(after.properties.desired.$version, 2);
  assert.equal(after.properties.reported.$version, 6);
  await client.close();
});

test('a_listener_for_one_property_hears_of_it', async () => {
  const device = await Device.create();
  const client = await device.connect();
  const twin = await client.getTwin();
  const heard = new Arrivals();
  twin.on('properties.desired.climate.max', (value) => heard.put(value));
  await report(twin, { listening: true });
  await device.desire({ climate: { min: 1, max: 5 } });
  assert.equal(await heard.take('the property'), 5);
  await client.close();
});

test('the_device_reads_the_same_twin', async () => {
  const device = await Device.create();
  await device.desire(WANTED);
  const client = await device.connect();
  const twin = await client.getTwin();
  await report(twin, { configId: 1, nested: { a: [1, 2] } });
  const { desired, reported } = (await client.getTwin()).properties;
  assert.deepEqual(desired, { ...WANTED, $version: 2 });
  assert.deepEqual(plain(reported), { configId: 1, nested: { a: [1, 2] } });
  assert.equal(reported.$version, 2);
  await client.close();
});

test('the_back_end_sees_the_device_come_and_go', async () => {
  const device = await Device.create();
  assert.equal((await device.twin()).connectionState, 'Disconnected');
  const client = await device.connect();
  assert.equal((await device.twin()).connectionState, 'Connected');
  await client.close();
  const gone = async () => (await device.twin()).connectionState === 'Disconnected';
  await eventually(gone, 'connectionState Disconnected');
});

main();
