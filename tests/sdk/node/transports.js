// One message over every transport: what a reader of events gets is the same, but for the case of names
// over HTTPS (docs/compat.md).
'use strict';

const { Client, Message } = require('azure-iot-device');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');
const { Http } = require('azure-iot-device-http');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');
const { Device, assert, eventFrom, main, test } = require('./harness');

async function send(device, transport) {
  const client = Client.fromConnectionString(device.connectionString(), transport);
  client.setRetryPolicy(new NoRetry());
  await client.open();
  const message = new Message('{"ü":[1,null]}');
  message.messageId = 'm 1/2';
  message.correlationId = 'c&1';
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('color', 'dark red & more');
  message.properties.add('level', '3');
  message.properties.add('roomName', 'a');
  await client.sendEvent(message);
  await client.close();
}

const TRANSPORTS = { mqtt: Mqtt, mqtt_ws: MqttWs, amqp: Amqp, amqp_ws: AmqpWs, http: Http };

for (const [name, transport] of Object.entries(TRANSPORTS)) {
  test(`${name}_carries_every_property`, async () => {
    const device = await Device.create();
    await send(device, transport);
    const event = await eventFrom(device.id);
    const system = event.systemProperties;
    assert.deepEqual(event.body, { ü: [1, null] });
    // over HTTPS the name is that of a header, which has no case
    const roomName = name === 'http' ? 'roomname' : 'roomName';
    assert.deepEqual(event.properties, { color: 'dark red & more', level: '3', [roomName]: 'a' });
    assert.equal(system.messageId, 'm 1/2');
    assert.equal(system.correlationId, 'c&1');
    assert.equal(system.contentType, 'application/json');
    assert.equal(system.contentEncoding, 'utf-8');
    assert.equal(system.to, `/devices/${device.id}/messages/events`);
    assert.equal(system['iothub-message-source'], 'Telemetry');
    assert.deepEqual(JSON.parse(system['iothub-connection-auth-method']), {
      scope: 'device',
      type: 'sas',
      issuer: 'iothub',
      acceptingIpFilterRule: null,
    });
  });
}

main();
