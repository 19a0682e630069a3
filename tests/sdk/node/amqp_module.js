// Modules over AMQP and AMQP over WebSockets, as azure-iot-device-amqp is one.
'use strict';

const { Message, NoRetry } = require('azure-iot-common');
const { ModuleClient } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Client: ServiceClient } = require('azure-iothub');
const {
  Arrivals, Module, assert, eventFrom, eventually, main, plain, registry, report, subscribed, test,
} = require('./harness');

async function connect(module, transport, sharedAccessKey) {
  const client = ModuleClient.fromConnectionString(module.connectionString(sharedAccessKey), transport);
  client.setRetryPolicy(new NoRetry());
  await client.open();
  return client;
}

for (const [name, transport] of [['amqp', Amqp], ['amqp_ws', AmqpWs]]) {
  test(`${name}_telemetry_is_that_of_the_module`, async () => {
    const module = await Module.create();
    const client = await connect(module, transport);
    await client.sendEvent(new Message('plain'));
    const event = await eventFrom(module.device.id);
    const system = event.systemProperties;
    assert.equal(event.body.toString(), 'plain');
    assert.equal(system['iothub-connection-module-id'], module.id);
    assert.deepEqual(JSON.parse(system['iothub-connection-auth-method']), {
      scope: 'module',
      type: 'sas',
      issuer: 'iothub',
      acceptingIpFilterRule: null,
    });
    assert.equal((await module.twin()).connectionState, 'Connected');
    await client.close();
    await eventually(
      async () => (await module.twin()).connectionState === 'Disconnected', 'the end of the connection',
    );
  });

  test(`${name}_outputs_are_taken_and_inputs_can_be_waited_for`, async () => {
    const module = await Module.create();
    const client = await connect(module, transport);
    client.on('inputMessage', () => {});
    await client.sendOutputEvent('alerts', new Message('hot'));
    assert.equal((await eventFrom(module.device.id)).body.toString(), 'hot');
    await client.close();
  });

  test(`${name}_twin_is_shared_by_module_and_back_end`, async () => {
    const module = await Module.create();
    const client = await connect(module, transport);
    const twin = await client.getTwin();
    await report(twin, { rate: 5 });
    assert.deepEqual(plain((await module.twin()).properties.reported), { rate: 5 });
    const changes = new Arrivals();
    twin.on('properties.desired', (change) => changes.put({ ...change }));
    assert.equal((await changes.take('what is there already')).$version, 1);
    await subscribed(module.device.id, 'desiredProperties', module.id);
    const patch = { properties: { desired: { rate: 7 } } };
    await registry().updateModuleTwin(module.device.id, module.id, patch, '*');
    assert.deepEqual(await changes.take('the change'), { rate: 7, $version: 2 });
    assert.deepEqual(plain((await module.device.twin()).properties.desired), {});
    await client.close();
  });

  test(`${name}_methods_are_answered`, async () => {
    const module = await Module.create();
    const client = await connect(module, transport);
    client.onMethod('reboot', (request, response) => {
      response.send(200, { in: request.payload.seconds });
    });
    const back = ServiceClient.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);
    const call = { methodName: 'reboot', payload: { seconds: 3 }, connectTimeoutInSeconds: 100 };
    const { result } = await back.invokeDeviceMethod(module.device.id, module.id, call);
    assert.deepEqual(result, { status: 200, payload: { in: 3 } });
    await client.close();
  });

  test(`${name}_a_wrong_key_is_refused`, async () => {
    const module = await Module.create();
    const wrong = Buffer.alloc(32, 9).toString('base64');
    await assert.rejects(connect(module, transport, wrong), { name: 'UnauthorizedError' });
  });
}

main();
