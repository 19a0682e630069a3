// Jobs through azure-iothub: twin updates, methods, the future, cancelling, pages.
'use strict';

const { JobClient } = require('azure-iothub');
const { Device, assert, body, eventually, main, registry, test } = require('./harness');

/** What the service says of a job; the client has a name of its own for it. */
async function status(call) {
  return (await call).jobStatus;
}

const jobs = () => JobClient.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);

async function ended(id) {
  let job;
  await eventually(async () => {
    job = await status(jobs().getJob(id));
    return job.status === 'completed';
  }, `the end of ${id}`);
  return job;
}

test('a_job_updates_twins', async () => {
  const device = await Device.create();
  const patch = { etag: '*', properties: { desired: { floor: 3 } } };
  const made = await status(
    jobs().scheduleTwinUpdate('node-update', `deviceId = '${device.id}'`, patch, new Date(), 60),
  );
  assert.equal(made.jobId, 'node-update');
  assert.equal(made.type, 'scheduleUpdateTwin');
  const { deviceJobStatistics } = await ended('node-update');
  assert.equal(deviceJobStatistics.succeededCount, 1);
  const twin = await body(registry().getTwin(device.id));
  assert.equal(twin.properties.desired.floor, 3);
  const query = registry().createQuery("SELECT * FROM devices.jobs WHERE jobId = 'node-update'");
  const { result } = await query.next();
  assert.equal(result[0].deviceId, device.id);
  assert.equal(result[0].status, 'completed');
});

test('a_job_calls_a_device', async () => {
  const device = await Device.create();
  const client = await device.connect();
  client.onDeviceMethod('reboot', (request, response) => response.send(200, { got: request.payload }));
  const call = { methodName: 'reboot', payload: 'now', responseTimeoutInSeconds: 60 };
  await jobs().scheduleDeviceMethod('node-method', `deviceId = '${device.id}'`, call, new Date(), 60);
  const { deviceJobStatistics } = await ended('node-method');
  assert.equal(deviceJobStatistics.succeededCount, 1);
  const query = registry().createQuery("SELECT * FROM devices.jobs WHERE jobId = 'node-method'");
  const { result } = await query.next();
  assert.deepEqual(result[0].outcome.deviceMethodResponse, { status: 200, payload: { got: 'now' } });
  await client.close();
});

test('jobs_in_the_future_are_listed_and_cancelled', async () => {
  const later = new Date(Date.now() + 24 * 3600 * 1000);
  for (const id of ['node-later-1', 'node-later-2']) {
    await jobs().scheduleTwinUpdate(id, '*', { etag: '*', tags: {} }, later, 60);
  }
  const query = jobs().createQuery('scheduleUpdateTwin', 'scheduled', 1);
  const seen = [];
  while (query.hasMoreResults) {
    // Without the token the client asks for the first page again.
    const { result } = await query.next(query.continuationToken);
    seen.push(...result.map((job) => job.jobId));
  }
  assert.deepEqual(seen, ['node-later-1', 'node-later-2']);
  assert.equal((await status(jobs().cancelJob('node-later-1'))).status, 'cancelled');
  await assert.rejects(jobs().cancelJob('node-later-1'));
  await assert.rejects(jobs().getJob('node-none'));
});

main();
