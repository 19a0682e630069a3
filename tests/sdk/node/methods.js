// Direct methods through azure-iothub and azure-iot-device, both sides.
'use strict';

const { Client: ServiceClient } = require('azure-iothub');

const { Arrivals, Device, assert, main, test } = require('./harness');

const service = ServiceClient.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);

async function invoke(id, parameters) {
  return (await service.invokeDeviceMethod(id, parameters)).result;
}

/** Answers every call of this method with what it got. */
function echo(client, name) {
  client.onDeviceMethod(name, (request, response) => {
    response.send(200, { name: request.methodName, payload: request.payload ?? null }, (error) => {
      if (error) throw error;
    });
  });
}

/** What a failed call was answered with, from inside the nested body. */
async function refused(status, promise) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    const found = `${error.name}: ${error.message} ${error.responseBody}`;
    assert.equal(error.response?.statusCode, status, found);
    return { name: error.name, inner: JSON.parse(JSON.parse(error.responseBody).Message) };
  }
  throw new Error(`answered ${JSON.stringify(answer)}, expected ${status}`);
}

/** Waits until the hub knows that the device listens: the SDK does not say when that is. */
function listening(device, name) {
  return invoke(device.id, { methodName: name, payload: 'ready?', connectTimeoutInSeconds: 100 });
}

test('a_device_answers_a_call', async () => {
  const device = await Device.create();
  const client = await device.connect();
  echo(client, 'lockDoor');
  await listening(device, 'lockDoor');
  for (const payload of [{ a: [1, { b: null }] }, 'text', 7, [1, 2], true, null]) {
    const result = await invoke(device.id, { methodName: 'lockDoor', payload });
    assert.deepEqual(result, { status: 200, payload: { name: 'lockDoor', payload } });
  }
  await client.close();
});

test('a_call_without_payload', async () => {
  const device = await Device.create();
  const client = await device.connect();
  echo(client, 'm');
  const result = await invoke(device.id, { methodName: 'm', connectTimeoutInSeconds: 100 });
  assert.deepEqual(result.payload, { name: 'm', payload: null });
  await client.close();
});

test('a_device_that_is_not_there_is_not_online', async () => {
  const device = await Device.create();
  const { name, inner } = await refused(404, invoke(device.id, { methodName: 'm' }));
  assert.equal(inner.errorCode, 404103);
  assert.deepEqual(inner.info, { timeout: '00:00:00' });
  assert.ok(name.endsWith('Error'), name);
});

test('a_device_that_does_not_answer_times_out', async () => {
  const device = await Device.create();
  const client = await device.connect();
  const calls = new Arrivals();
  client.onDeviceMethod('m', (request) => calls.put(request));
  const parameters = { methodName: 'm', responseTimeoutInSeconds: 5, connectTimeoutInSeconds: 100 };
  const { name, inner } = await refused(504, invoke(device.id, parameters));
  assert.equal(name, 'GatewayTimeoutError');
  assert.equal(inner.errorCode, 504101);
  assert.equal((await calls.take('the call')).methodName, 'm');
  await client.close();
});

test('a_time_out_of_a_second_is_too_short', async () => {
  const device = await Device.create();
  const parameters = { methodName: 'm', responseTimeoutInSeconds: 1 };
  const { inner } = await refused(400, invoke(device.id, parameters));
  assert.equal(inner.message, 'responseTimeoutInSeconds must be within [5; 300].');
});

main();
