// The Event Hubs-compatible endpoint as @azure/event-hubs reads it.
'use strict';

const {
  EventHubConsumerClient,
  EventHubProducerClient,
  earliestEventPosition,
  latestEventPosition,
} = require('@azure/event-hubs');
const { Message } = require('azure-iot-device');
const { Arrivals, Device, PATIENCE, assert, main, test } = require('./harness');

const STRING = process.env.EVENTHUB_CONNECTION_STRING;

function reading(device, startPosition, client = new EventHubConsumerClient('$Default', STRING)) {
  const events = new Arrivals();
  const errors = new Arrivals();
  const subscription = client.subscribe(
    {
      processEvents: async (batch) => {
        for (const event of batch) {
          if (event.systemProperties['iothub-connection-device-id'] === device.id) events.put(event);
        }
      },
      processError: async (error) => errors.put(error),
    },
    { startPosition },
  );
  const close = async () => {
    await subscription.close();
    await client.close();
  };
  return { events, errors, close };
}

async function send(device, text) {
  const client = await device.connect();
  const message = new Message(text);
  message.messageId = 'm1';
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('color', 'dark red & more');
  await client.sendEvent(message);
  await client.close();
}

test('the_hub_and_its_partitions_are_described', async () => {
  const client = new EventHubConsumerClient('$Default', STRING);
  const properties = await client.getEventHubProperties();
  assert.deepEqual(properties.partitionIds, ['0', '1', '2', '3']);
  assert.ok(STRING.endsWith(`EntityPath=${properties.name}`));
  const partition = await client.getPartitionProperties('3');
  assert.equal(partition.partitionId, '3');
  await client.close();
});

test('telemetry_has_its_properties', async () => {
  const device = await Device.create();
  await send(device, '{"n":1}');
  const { events, close } = reading(device, earliestEventPosition);
  const event = await events.take('the event');
  assert.deepEqual(event.body, { n: 1 });
  assert.deepEqual(event.properties, { color: 'dark red & more' });
  assert.equal(event.systemProperties.messageId, 'm1');
  assert.equal(event.systemProperties['iothub-message-source'], 'Telemetry');
  assert.equal(typeof event.sequenceNumber, 'number');
  assert.ok(Math.abs(Date.now() - event.enqueuedTimeUtc.getTime()) < 3_600_000);
  await close();
});

test('a_reader_of_the_latest_sees_only_what_comes', async () => {
  const device = await Device.create();
  await send(device, '0');
  const { events, close } = reading(device, latestEventPosition);
  // nothing tells when the links are there; what is sent until then is none of its business
  const deadline = Date.now() + PATIENCE;
  for (let number = 1; Date.now() < deadline && events.items.length === 0; number += 1) {
    await send(device, String(number));
  }
  const event = await events.take('an event');
  assert.ok(event.body > 0, JSON.stringify(event.body));
  await close();
});

test('an_unknown_consumer_group_is_refused', async () => {
  const device = await Device.create();
  const client = new EventHubConsumerClient('nobody', STRING, { retryOptions: { maxRetries: 0 } });
  const { errors, close } = reading(device, earliestEventPosition, client);
  const error = await errors.take('the refusal');
  assert.equal(error.code, 'MessagingEntityNotFoundError');
  assert.match(error.message, /nobody/);
  await close();
});

test('an_unknown_event_hub_is_refused', async () => {
  const string = STRING.replace(/EntityPath=.*/, 'EntityPath=nothing');
  const retryOptions = { maxRetries: 0 };
  const code = 'MessagingEntityNotFoundError';
  const consumer = new EventHubConsumerClient('$Default', string, { retryOptions });
  await assert.rejects(consumer.getPartitionIds(), { code });
  await consumer.close();
  const producer = new EventHubProducerClient(string, { retryOptions });
  await assert.rejects(producer.sendBatch([{ body: 'x' }]), { code });
  await producer.close();
});

test('a_reader_that_begins_behind_what_is_yet_to_come_is_told', async () => {
  const { errors, close } = reading({ id: 'nobody' }, { sequenceNumber: 1000000000 });
  const error = await errors.take('the refusal');
  assert.equal(error.code, 'ArgumentError');
  assert.match(error.message, /The supplied sequence number '1000000000' is invalid/);
  await close();
});

main();
