// The package in clients/node with the real SDKs: hubs of their own, side by side.
'use strict';

// What this script was given must not help: neither an emulator nor whom to trust.
if (process.env.NODE_EXTRA_CA_CERTS) {
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const { spawnSync } = require('node:child_process');
  process.exit(spawnSync(process.execPath, process.argv.slice(1), { env, stdio: 'inherit' }).status);
}

const path = require('node:path');
const { Message, Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { Registry } = require('azure-iothub');
const { EventHubConsumerClient, earliestEventPosition } = require('@azure/event-hubs');

const { assert, eventually, main, test } = require('./harness');
const { Emulator, EmulatorError } = require(path.join(__dirname, '../../../clients/node'));

const started = (async () => {
  const emulator = await Emulator.start({ binary: process.env.IOTHUB_EMULATOR });
  await emulator.trust();
  return emulator;
})();

test('hubs_side_by_side_each_have_their_device', async () => {
  const emulator = await started;
  await Promise.all(
    Array.from({ length: 8 }, async (_, number) => {
      const hub = await emulator.createHub();
      const device = await hub.createDevice('dev1');
      const client = Client.fromConnectionString(device.connectionString, Mqtt);
      await client.open();
      const twin = await client.getTwin();
      await new Promise((resolve, reject) => {
        twin.properties.reported.update({ number }, (error) => (error ? reject(error) : resolve()));
      });
      const registry = Registry.fromConnectionString(hub.connectionString);
      const { responseBody } = await registry.getTwin('dev1');
      assert.equal(responseBody.properties.reported.number, number);
      await client.close();
      await hub.delete();
    }),
  );
});

async function firstEvent(connectionString) {
  const reader = new EventHubConsumerClient('$Default', connectionString);
  const body = await new Promise((resolve, reject) => {
    reader.subscribe(
      {
        processEvents: async (events) => events.length > 0 && resolve(events[0].body),
        processError: async (error) => reject(error),
      },
      { startPosition: earliestEventPosition, skipParsingBodyAsJson: true },
    );
  });
  await reader.close();
  return body.toString();
}

test('events_are_read', async () => {
  const hub = await (await started).createHub();
  const device = await hub.createDevice('dev1');
  const client = Client.fromConnectionString(device.connectionString, Mqtt);
  await client.sendEvent(new Message('hello'));
  assert.equal(await firstEvent(hub.eventHubConnectionString), 'hello');
  await client.close();
  await hub.delete();
});

test('a_hub_has_routes_of_its_own', async () => {
  const routing = {
    endpoints: [{ name: 'alerts', type: 'event-hub' }],
    routes: [{ name: 'hot', condition: "level = 'hot'", endpointNames: ['alerts'] }],
  };
  const hub = await (await started).createHub({ routing });
  const device = await hub.createDevice('dev1');
  const client = Client.fromConnectionString(device.connectionString, Mqtt);
  for (const level of ['cold', 'hot']) {
    const message = new Message(level);
    message.properties.add('level', level);
    await client.sendEvent(message);
  }
  assert.equal(await firstEvent(hub.eventHubConnectionStrings.alerts), 'hot');
  assert.equal(await firstEvent(hub.eventHubConnectionString), 'cold');
  await client.close();
  await hub.delete();
});

test('connections_are_seen_and_ended_and_the_clock_is_turned', async () => {
  const hub = await (await started).createHub();
  const device = await hub.createDevice('dev1');
  const client = Client.fromConnectionString(device.connectionString, Mqtt);
  await client.open();
  const message = new Promise((resolve) => client.once('message', resolve));
  await eventually(async () => (await hub.connections())[0].subscriptions.includes('devicebound'), 'the subscription');
  await hub.send('dev1', { on: true }, { messageId: 'm1', properties: { color: 'red' } });
  assert.deepEqual(JSON.parse((await message).data), { on: true });
  await client.complete(await message);
  await hub.expect({ kind: 'devicebound', messageId: 'm1', step: 'Success' }, { timeout: 60 });
  await client.sendEvent(new Message('{"t":31}'));
  const entry = await hub.expect({ kind: 'event', deviceId: 'dev1', body: { t: 31 } });
  assert.deepEqual(entry.endpoints, ['events']);
  const later = await hub.journal({ after: entry.number });
  assert.equal(later.some(({ kind }) => kind === 'event'), false);
  const never = hub.expect({ kind: 'method' }, { timeout: 0.2, after: 1 });
  await assert.rejects(never, /nothing like .*"kind":"connected"/s);
  const [connection] = await hub.connections();
  assert.equal(connection.deviceId, 'dev1');
  await client.close();
  const end = await hub.injectFault({ operation: 'query', error: 'unavailable' });
  assert.deepEqual((await hub.faults()).map(({ hits }) => hits), [0]);
  await end();
  const endAll = await hub.injectPreset('hub-failover');
  assert.equal((await hub.faults()).length, 3);
  await endAll();
  assert.deepEqual(await hub.faults(), []);
  await hub.showCertificate('expired');
  const refused = Registry.fromConnectionString(hub.connectionString).get('dev1');
  await assert.rejects(refused, /certificate has expired/);
  await hub.showCertificate();
  await hub.freeze();
  await hub.advance(60);
  await assert.rejects(hub.disconnect('dev1'), EmulatorError);
  await hub.reset();
  const registry = Registry.fromConnectionString(hub.connectionString);
  await assert.rejects(registry.get('dev1'));
  await hub.delete();
  assert.equal((await (await started).hubs()).some((other) => other.name === hub.name), false);
});

test('a_restored_hub_is_what_it_was', async () => {
  const emulator = await started;
  const hub = await emulator.createHub({ seed: { devices: [{ deviceId: 'seeded' }] } });
  const { connectionString } = await hub.createDevice('dev1');
  const taken = await hub.snapshot();
  assert.deepEqual(taken.devices.map(({ deviceId }) => deviceId), ['dev1', 'seeded']);
  const registry = Registry.fromConnectionString(hub.connectionString);
  await registry.delete('dev1');
  await hub.restore(taken);
  assert.deepEqual(await hub.snapshot(), taken);
  const client = Client.fromConnectionString(connectionString, Mqtt);
  await client.open();
  await client.close();
  await assert.rejects(hub.restore({ devices: [{}] }), /devices\[0\]: deviceId is missing/);
  await hub.delete();
});

test('what_cannot_be_done_is_said', async () => {
  const emulator = await started;
  const hub = await emulator.createHub({ name: 'twice' });
  await assert.rejects(emulator.createHub({ name: 'twice' }), /there is a hub "twice" already/);
  await hub.delete();
  await assert.rejects(Emulator.start({ binary: '/no/such/program' }), /does not start/);
});

test('the_emulator_ends', async () => {
  const emulator = await started;
  await emulator.stop();
  await assert.rejects(emulator.hubs(), /no emulator answers/);
});

main();
