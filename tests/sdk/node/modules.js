// Modules through azure-iothub and azure-iot-device: identities, twins, connections, outputs.
'use strict';

const { Message, NoRetry } = require('azure-iot-common');
const { ModuleClient } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const {
  Arrivals, Module, assert, body, eventually, key, main, plain, refused, registry, report, test,
} = require('./harness');

function clientOf(module, sharedAccessKey) {
  const client = ModuleClient.fromConnectionString(module.connectionString(sharedAccessKey), Mqtt);
  client.setRetryPolicy(new NoRetry());
  return client;
}

test('a_new_module_is_as_it_was_asked_for', async () => {
  const module = await Module.create();
  const got = await body(registry().getModule(module.device.id, module.id));
  assert.equal(got.managedBy, 'me');
  assert.equal(got.connectionState, 'Disconnected');
  assert.equal(got.authentication.symmetricKey.primaryKey, key(5));
  const list = await body(registry().getModulesOnDevice(module.device.id));
  assert.deepEqual(list.map((one) => one.moduleId), [module.id]);
});

test('a_module_is_created_updated_and_removed', async () => {
  const module = await Module.create();
  const again = registry().addModule({ deviceId: module.device.id, moduleId: module.id });
  await assert.rejects(again, (error) => error.response?.statusCode === 409);
  const changed = await body(registry().updateModule({ ...module.identity, managedBy: 'you' }, true));
  assert.equal(changed.managedBy, 'you');
  const stale = registry().updateModule({ ...module.identity, managedBy: 'they' }, false);
  await assert.rejects(stale, (error) => error.response?.statusCode === 412);
  await registry().removeModule(module.device.id, module.id);
  const gone = registry().getModule(module.device.id, module.id);
  await assert.rejects(gone, (error) => error.response?.statusCode === 404);
  await refused('DeviceNotFoundError', 404, registry().getModulesOnDevice('node-missing'));
});

test('a_twin_is_shared_by_module_and_back_end', async () => {
  const module = await Module.create();
  const client = clientOf(module);
  await client.open();
  const twin = await client.getTwin();
  const desired = new Arrivals();
  twin.on('properties.desired', (patch) => desired.put({ ...patch }));
  assert.equal((await desired.take('desired properties')).$version, 1);
  await report(twin, { rate: 5 });
  assert.deepEqual(plain((await module.twin()).properties.reported), { rate: 5 });
  const patch = { tags: { site: 'a' }, properties: { desired: { rate: 7 } } };
  await registry().updateModuleTwin(module.device.id, module.id, patch, '*');
  assert.deepEqual(await desired.take('desired properties'), { rate: 7, $version: 2 });
  const shown = await module.twin();
  assert.deepEqual(shown.tags, { site: 'a' });
  assert.equal(shown.connectionState, 'Connected');
  assert.deepEqual(plain((await module.device.twin()).properties.desired), {});
  await client.close();
});

test('outputs_are_taken_and_inputs_can_be_waited_for', async () => {
  const module = await Module.create();
  const client = clientOf(module);
  await client.open();
  client.on('inputMessage', () => {});
  await client.sendOutputEvent('alerts', new Message('hot'));
  await client.sendEvent(new Message('plain'));
  await client.close();
});

test('a_wrong_key_keeps_a_module_out', async () => {
  const module = await Module.create();
  await assert.rejects(clientOf(module, key(9)).open(), { name: 'UnauthorizedError' });
});

test('a_deleted_device_takes_its_modules_along', async () => {
  const module = await Module.create();
  const client = clientOf(module);
  let disconnected = false;
  client.on('disconnect', () => {
    disconnected = true;
  });
  await client.open();
  await registry().delete(module.device.id);
  await eventually(() => disconnected, 'the end of the connection');
});

main();
