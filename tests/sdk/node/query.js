// Queries through azure-iothub: pages, twins that can be changed, aggregates, mistakes.
'use strict';

const { randomUUID } = require('node:crypto');

const { Device, assert, body, main, refused, registry, test } = require('./harness');

/** So many devices with a tag that no others have, and the condition that finds them. */
async function tagged(count) {
  const mark = randomUUID().slice(0, 13);
  const devices = [];
  for (let number = 0; number < count; number += 1) {
    const device = await Device.create({ id: `node-${mark}-${number}` });
    await registry().updateTwin(device.id, { tags: { mark, floor: number % 2 } }, '*');
    devices.push(device);
  }
  return { devices, condition: `tags.mark = '${mark}'` };
}

test('pages_bring_every_twin_once', async () => {
  const { devices, condition } = await tagged(5);
  const query = registry().createQuery(`SELECT * FROM devices WHERE ${condition}`, 2);
  const names = [];
  const sizes = [];
  while (query.hasMoreResults) {
    const { result } = await query.nextAsTwin();
    names.push(...result.map((twin) => twin.deviceId));
    sizes.push(result.length);
  }
  assert.deepEqual(sizes, [2, 2, 1]);
  assert.deepEqual(names, devices.map((device) => device.id));
  assert.equal(query.continuationToken, undefined);
});

test('a_twin_that_was_found_can_be_changed', async () => {
  const { devices, condition } = await tagged(1);
  const query = registry().createQuery(`SELECT * FROM devices WHERE ${condition}`);
  const { result } = await query.nextAsTwin();
  await result[0].update({ properties: { desired: { lamp: 'on' } } });
  assert.equal((await devices[0].twin()).properties.desired.lamp, 'on');
});

test('projections_and_aggregates_are_rows', async () => {
  const { devices, condition } = await tagged(3);
  const rows = async (text) => {
    const { result, message } = await registry().createQuery(text).next();
    assert.equal(message.headers['x-ms-item-type'], 'Raw');
    return result;
  };
  assert.deepEqual(await rows(`SELECT DeviceId FROM devices WHERE ${condition} AND tags.floor = 1`), [
    { deviceId: devices[1].id },
  ]);
  const text = `SELECT tags.floor, COUNT() AS n FROM devices WHERE ${condition} GROUP BY tags.floor`;
  assert.deepEqual(await rows(text), [
    { floor: 0, n: 2 },
    { floor: 1, n: 1 },
  ]);
});

test('a_query_sees_who_is_connected', async () => {
  const { devices, condition } = await tagged(2);
  const client = await devices[1].connect();
  const text = `SELECT * FROM devices WHERE ${condition} AND connectionState = 'Connected'`;
  const { result } = await registry().createQuery(text).nextAsTwin();
  assert.deepEqual(result.map((twin) => twin.deviceId), [devices[1].id]);
  await client.close();
});

test('a_mistake_is_named', async () => {
  const error = await refused('ArgumentError', 400, registry().createQuery('SELECT').next());
  assert.match(error.message, /^SQL query parse failed due to following errors: \n\tLine 1:7 /);
});

test('modules_and_jobs_are_sources', async () => {
  const device = await Device.create();
  await body(registry().addModule({ deviceId: device.id, moduleId: 'lens' }));
  const where = `WHERE deviceId = '${device.id}'`;
  const modules = registry().createQuery(`SELECT * FROM devices.modules ${where}`);
  const { result } = await modules.nextAsTwin();
  assert.deepEqual(result.map((twin) => twin.moduleId), ['lens']);
  const jobs = await registry().createQuery(`SELECT * FROM devices.jobs ${where}`).next();
  assert.deepEqual(jobs.result, []);
  assert.equal(jobs.message.headers['x-ms-item-type'], 'DeviceJob');
});

main();
