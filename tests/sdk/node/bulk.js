// Bulk operations, and import and export jobs, through azure-iothub.
'use strict';

const { randomUUID } = require('node:crypto');

const {
  Device, assert, body, eventually, key, main, refused, registry, test,
} = require('./harness');

function name() {
  return `node-${randomUUID().slice(0, 13)}`;
}

/** What a call about jobs answered: the SDK wraps some of these answers, and some not. */
async function answer(call) {
  const answered = await call;
  return answered.responseBody ?? answered;
}

test('devices_come_change_and_go_in_bulk', async () => {
  const ids = [name(), name()];
  const authentication = { symmetricKey: { primaryKey: key(1), secondaryKey: key(2) } };
  const added = await body(
    registry().addDevices(ids.map((deviceId) => ({ deviceId, status: 'disabled', authentication }))),
  );
  assert.deepEqual(added, { isSuccessful: true, errors: [], warnings: [] });
  const devices = await Promise.all(ids.map((id) => body(registry().get(id))));
  assert.equal(devices[0].authentication.symmetricKey.primaryKey, key(1));
  const enabled = devices.map((device) => ({ ...device, status: 'enabled' }));
  assert.equal((await body(registry().updateDevices(enabled, false))).isSuccessful, true);
  assert.equal((await body(registry().get(ids[1]))).status, 'enabled');
  // the etags of before are stale now
  await assert.rejects(registry().updateDevices(enabled, false));
  assert.equal((await body(registry().updateDevices(enabled, true))).isSuccessful, true);
  assert.equal((await body(registry().removeDevices(devices, true))).isSuccessful, true);
  await refused('DeviceNotFoundError', 404, registry().get(ids[0]));
});

test('a_failure_names_its_item', async () => {
  const device = await Device.create();
  const id = name();
  const add = registry().addDevices([{ deviceId: device.id }, { deviceId: id }]);
  await assert.rejects(add, (error) => {
    const result = JSON.parse(error.responseBody);
    assert.equal(result.isSuccessful, false);
    assert.equal(result.errors[0].deviceId, device.id);
    assert.equal(result.errors[0].errorCode, 'DeviceAlreadyExists');
    return true;
  });
  await registry().get(id);
});

test('the_registry_is_exported_and_imported', async () => {
  const container = 'https://account.blob.core.windows.net/node?sig=none';
  const run = async (start) => {
    const { jobId } = await answer(start);
    let job;
    await eventually(async () => {
      job = await answer(registry().getJob(jobId));
      return !['enqueued', 'running'].includes(job.status);
    }, 'the end of the job');
    assert.equal(job.status, 'completed', job.failureReason);
    assert.equal(job.progress, 100);
    return jobId;
  };
  const device = await Device.create();
  const exported = await run(registry().exportDevicesToBlob(container, false));
  await registry().delete(device.id);
  const imported = await run(registry().importDevicesFromBlob(container, container));
  const again = await body(registry().get(device.id));
  assert.equal(again.authentication.symmetricKey.primaryKey, device.primary);
  const listed = (await answer(registry().listJobs())).map((job) => job.jobId);
  assert.deepEqual(listed, [exported, imported]);
  await registry().cancelJob(imported);
});

main();
