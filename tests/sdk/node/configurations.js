// Configurations through azure-iothub: create, read, update, delete, twins that follow, contents
// for edge devices.
'use strict';

const { Device, assert, body, eventually, main, registry, test } = require('./harness');

function water(id, targetCondition) {
  return {
    id,
    schemaVersion: '1.0',
    labels: { label: 'value' },
    content: { deviceContent: { 'properties.desired.water': { temperature: 38 } } },
    metrics: { queries: { all: 'SELECT deviceId FROM devices' } },
    targetCondition,
    priority: 10,
  };
}

test('a_configuration_comes_changes_and_goes', async () => {
  const made = await registry().addConfiguration(water('node-1', 'tags.node = 1'));
  assert.equal(made.httpResponse.headers.etag, '"MQ=="');
  const got = await body(registry().getConfiguration('node-1'));
  assert.deepEqual(got.content, water('', '').content);
  assert.equal(got.priority, 10);
  const changed = await body(registry().updateConfiguration({ ...got, priority: 42 }));
  assert.equal(changed.priority, 42);
  await assert.rejects(registry().updateConfiguration({ ...got, priority: 43 }));
  await body(registry().updateConfiguration({ ...got, priority: 43 }, true));
  const all = await body(registry().getConfigurations());
  assert.deepEqual(all.map((one) => one.id), ['node-1']);
  await registry().removeConfiguration('node-1');
  await assert.rejects(registry().getConfiguration('node-1'));
});

test('twins_follow_and_are_counted', async () => {
  const device = await Device.create();
  await registry().addConfiguration(water('node-2', `deviceId = '${device.id}'`));
  await eventually(async () => {
    const twin = await body(registry().getTwin(device.id));
    return twin.properties.desired.water?.temperature === 38;
  }, 'the setting in the twin');
  const got = await body(registry().getConfiguration('node-2'));
  assert.equal(got.systemMetrics.results.targetedCount, 1);
  assert.ok(got.metrics.results.all >= 1);
  await registry().removeConfiguration('node-2');
});

test('an_edge_device_gets_a_content', async () => {
  const deviceId = 'node-edge';
  await registry().create({ deviceId, capabilities: { iotEdge: true } });
  const { httpResponse } = await registry().applyConfigurationContentOnDevice(deviceId, {
    modulesContent: {
      $edgeAgent: { 'properties.desired': { modules: { sensor: { type: 'docker' } } } },
      $edgeHub: { 'properties.desired': { routes: {} } },
      sensor: { 'properties.desired': { interval: 5 } },
    },
  });
  assert.equal(httpResponse.statusCode, 204);
  const modules = await body(registry().getModulesOnDevice(deviceId));
  assert.deepEqual(modules.map((module) => module.moduleId).sort(), ['$edgeAgent', '$edgeHub', 'sensor']);
  const twin = await body(registry().getModuleTwin(deviceId, 'sensor'));
  assert.equal(twin.properties.desired.interval, 5);
});

main();
