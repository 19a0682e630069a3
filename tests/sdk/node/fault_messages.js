// Messages that ask for faults: azure-iot-device notices, comes back and goes on.
'use strict';

const { ExponentialBackOffWithJitter, Message, NoRetry } = require('azure-iot-common');
const { Client } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Http } = require('azure-iot-device-http');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { Device, assert, journaled, main, test, within } = require('./harness');

/** A message that asks for a fault, as Microsoft's end-to-end tests make it. */
function order(kind, reason, delay = '0.2', duration = '1') {
  const message = new Message('fault');
  message.properties.add('AzIoTHub_FaultOperationType', kind);
  message.properties.add('AzIoTHub_FaultOperationCloseReason', reason);
  message.properties.add('AzIoTHub_FaultOperationDelayInSecs', delay);
  message.properties.add('AzIoTHub_FaultOperationDurationInSecs', duration);
  return message;
}

async function connect(device, transport) {
  const client = Client.fromConnectionString(device.connectionString(), transport);
  client.setRetryPolicy(new ExponentialBackOffWithJitter(false));
  client.on('error', () => {});
  await client.open();
  return client;
}

/**
 * When the fault has struck and the client has noticed, which only its transport says: what it sends
 * into a broken connection is never told of. A link that ends is no disconnect for it, and what it
 * sends there it tries again.
 */
function isOver(client, device, kind) {
  if (kind === 'KillAmqpD2CLink') return journaled({ kind: 'disconnected', deviceId: device.id });
  return new Promise((resolve) => client._transport.once('disconnect', resolve));
}

// A connection that is closed in good order is noticed by this SDK after 45 s only, too late for here.
const table = [
  ['mqtt_kill_tcp', Mqtt, 'KillTcp', 'boom'],
  ['mqtt_ws_kill_tcp', MqttWs, 'KillTcp', 'boom'],
  ['mqtt_shut_down', Mqtt, 'ShutDownMqtt', 'byebye'],
  ['amqp_kill_tcp', Amqp, 'KillTcp', 'boom'],
  ['amqp_ws_kill_tcp', AmqpWs, 'KillTcp', 'boom'],
  ['amqp_kill_session', Amqp, 'KillAmqpSession', 'boom'],
  ['amqp_kill_link_of_events', Amqp, 'KillAmqpD2CLink', 'boom'],
];

for (const [name, transport, kind, reason] of table) {
  test(`${name}_and_the_client_goes_on`, async () => {
    const device = await Device.create();
    const client = await connect(device, transport);
    await client.sendEvent(new Message('before'));
    // Tried again, it would ask again: over MQTT it is never acknowledged.
    client.setRetryPolicy(new NoRetry());
    const over = isOver(client, device, kind);
    client.sendEvent(order(kind, reason)).catch(() => {});
    client.setRetryPolicy(new ExponentialBackOffWithJitter(false));
    await within(over, 'the fault');
    for (let number = 0; number < 5; number += 1) {
      await within(client.sendEvent(new Message(`after ${number}`)), `message ${number}`);
    }
    await client.close();
  });
}

test('http_the_message_itself_is_refused', async () => {
  const device = await Device.create();
  const client = Client.fromConnectionString(device.connectionString(), Http);
  client.setRetryPolicy(new NoRetry());
  for (const [kind, name, status] of [
    // This SDK has no error of its own for 429 here.
    ['InvokeThrottling', 'Error', 429],
    ['InvokeMaxMessageQuota', 'IotHubQuotaExceededError', 403],
    ['InvokeAuthError', 'UnauthorizedError', 401],
  ]) {
    await assert.rejects(client.sendEvent(order(kind, 'boom')), (thrown) => {
      assert.equal(thrown.name, name);
      assert.equal(thrown.response?.statusCode, status);
      return true;
    });
  }
  await client.sendEvent(new Message('after'));
});

main();
