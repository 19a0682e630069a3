// The identity registry through azure-iothub, and which identity may connect.
'use strict';

const { Registry } = require('azure-iothub');
const { Device, API_VERSION, assert, body, key, main, refused, registry, test } = require('./harness');

test('a_new_device_has_the_keys_it_was_given', async () => {
  const device = await Device.create();
  const { httpResponse } = device.answer;
  assert.equal(httpResponse.statusCode, 200);
  assert.equal(httpResponse.headers.etag, `"${device.identity.etag}"`);
  assert.equal(httpResponse.headers['content-type'], 'application/json; charset=utf-8');
  const got = await body(registry().get(device.id));
  assert.deepEqual(got.authentication, {
    symmetricKey: { primaryKey: key(1), secondaryKey: key(2) },
    x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
    type: 'sas',
  });
  assert.equal(got.status, 'enabled');
  assert.equal(got.connectionState, 'Disconnected');
  assert.equal(got.lastActivityTime, '0001-01-01T00:00:00Z');
});

test('a_device_without_keys_gets_some', async () => {
  const { authentication } = await body(registry().create({ deviceId: 'node-generated' }));
  assert.equal(Buffer.from(authentication.symmetricKey.primaryKey, 'base64').length, 32);
  assert.equal(Buffer.from(authentication.symmetricKey.secondaryKey, 'base64').length, 32);
});

test('a_device_is_created_once', async () => {
  const device = await Device.create();
  const error = await refused('DeviceAlreadyExistsError', 409, registry().create({ deviceId: device.id }));
  assert.equal(error.message, `A device with ID '${device.id}' is already registered.`);
  assert.equal(error.response.headers['iothub-errorcode'], 'DeviceAlreadyExists');
});

test('an_update_replaces_what_may_be_written', async () => {
  const device = await Device.create();
  const wanted = { ...device.identity, status: 'disabled', statusReason: 'broken' };
  const updated = await body(registry().update(wanted));
  assert.equal(updated.status, 'disabled');
  assert.equal(updated.statusReason, 'broken');
  assert.equal(updated.generationId, device.identity.generationId);
  assert.notEqual(updated.etag, device.identity.etag);
  assert.equal(updated.authentication.symmetricKey.primaryKey, device.primary);
});

test('what_is_not_there_is_not_found', async () => {
  const missing = { deviceId: 'node-missing' };
  await refused('DeviceNotFoundError', 404, registry().get('node-missing'));
  await refused('DeviceNotFoundError', 404, registry().getTwin('node-missing'));
  await refused('DeviceNotFoundError', 404, registry().update(missing));
  await refused('DeviceNotFoundError', 404, registry().delete('node-missing'));
  await refused('DeviceNotFoundError', 404, registry().updateTwin('node-missing', { tags: {} }, '*'));
});

test('a_deleted_device_is_gone', async () => {
  const device = await Device.create();
  const { httpResponse } = await registry().delete(device.id);
  assert.equal(httpResponse.statusCode, 204);
  await refused('DeviceNotFoundError', 404, registry().get(device.id));
});

test('lists_and_statistics_count_the_devices', async () => {
  const before = await body(registry().getRegistryStatistics());
  const enabled = await Device.create();
  const disabled = await Device.create({ status: 'disabled' });
  const after = await body(registry().getRegistryStatistics());
  assert.deepEqual(after, {
    totalDeviceCount: before.totalDeviceCount + 2,
    enabledDeviceCount: before.enabledDeviceCount + 1,
    disabledDeviceCount: before.disabledDeviceCount + 1,
  });
  const listed = await body(registry().list());
  assert.equal(listed.length, after.totalDeviceCount);
  const ids = listed.map((device) => device.deviceId);
  assert.ok(ids.includes(enabled.id) && ids.includes(disabled.id));
});

test('ids_may_hold_every_allowed_character', async () => {
  const device = await Device.create({ id: "node-.+%_#*?!(),=@$'" });
  assert.equal((await body(registry().get(device.id))).deviceId, device.id);
  const client = await device.connect();
  await client.close();
});

test('both_keys_connect_and_no_other', async () => {
  const device = await Device.create();
  for (const good of [device.primary, device.secondary]) {
    const client = device.client(good);
    await client.open();
    await client.close();
  }
  const error = await refused('UnauthorizedError', undefined, device.client(key(9)).open());
  assert.match(error.message, /Not authorized/);
});

test('an_unknown_device_does_not_connect', async () => {
  const device = await Device.create();
  await registry().delete(device.id);
  await refused('UnauthorizedError', undefined, device.client().open());
});

test('a_disabled_device_does_not_connect', async () => {
  const device = await Device.create({ status: 'disabled' });
  // CONNACK 3
  const error = await refused('ServiceUnavailableError', undefined, device.client().open());
  assert.match(error.message, /Server unavailable/);
});

test('a_wrong_service_key_is_unauthorized', async () => {
  const text = process.env.IOTHUB_CONNECTION_STRING.replace(/SharedAccessKey=.*/, `SharedAccessKey=${key(7)}`);
  const error = await refused('UnauthorizedError', 401, Registry.fromConnectionString(text).list());
  assert.equal(error.message, 'Unauthorized');
});

test('what_is_not_emulated_answers_in_the_service_s_shape', async () => {
  const error = await new Promise((resolve) => {
    registry()._restApiClient.executeApiCall('GET', `/nothing${API_VERSION}`, {}, null, resolve);
  });
  assert.equal(error.response.statusCode, 404);
  const { Message, ExceptionMessage } = JSON.parse(error.responseBody);
  assert.match(Message, /^ErrorCode:\w+;/);
  assert.match(ExceptionMessage, /^Tracking ID:[0-9a-f]{32}/);
});

main();
