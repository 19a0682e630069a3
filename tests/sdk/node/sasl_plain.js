// Devices and modules that prove who they are with SASL PLAIN, as plain AMQP libraries do: rhea here.
'use strict';

const rhea = require('rhea');
const { Message, SharedAccessSignature } = require('azure-iot-common');
const { Client: ServiceClient } = require('azure-iothub');
const { Device, HOST, Module, assert, eventFrom, key, main, test, within } = require('./harness');

const UNAUTHORIZED = { condition: 'amqp:unauthorized-access' };
const EXPIRY = Math.floor(Date.now() / 1000) + 3600;

function token(resource, sharedAccessKey) {
  return SharedAccessSignature.create(HOST + resource, null, sharedAccessKey, EXPIRY).toString();
}

/** What happens next, or why it does not. */
function next(emitter, event, connection) {
  return within(
    new Promise((resolve, reject) => {
      emitter.once(event, resolve);
      for (const bad of ['connection_error', 'disconnected', 'sender_error', 'receiver_error']) {
        connection.once(bad, (context) => {
          const { error, sender, receiver, connection: { error: closing } } = context;
          reject(error ?? sender?.error ?? receiver?.error ?? closing ?? new Error(bad));
        });
      }
    }),
    event,
  );
}

async function connect(user, password) {
  const connection = rhea.create_container().connect({
    host: HOST,
    port: 5671,
    transport: 'tls',
    servername: '',
    username: user,
    password,
    reconnect: false,
  });
  await next(connection, 'connection_open', connection);
  return connection;
}

async function send(connection, address, body) {
  const sender = connection.open_sender(address);
  await next(sender, 'sendable', connection);
  const accepted = next(sender, 'accepted', connection);
  sender.send({ body: rhea.message.data_section(Buffer.from(body)) });
  await accepted;
}

async function closed(connection) {
  const done = within(new Promise((resolve) => connection.once('connection_close', resolve)), 'close');
  connection.close();
  await done;
}

test('a_device_sends_and_receives', async () => {
  const device = await Device.create();
  const path = `/devices/${device.id}`;
  const connection = await connect(`${device.id}@sas.hub`, token(path, device.primary));
  await send(connection, `${path}/messages/events`, 'hello');
  assert.equal((await eventFrom(device.id)).body.toString(), 'hello');

  const receiver = connection.open_receiver(`${path}/messages/devicebound`);
  const arrived = next(receiver, 'message', connection);
  const back = ServiceClient.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);
  await back.open();
  await back.send(device.id, new Message('hi'));
  const { message } = await arrived;
  assert.equal(message.body.content.toString(), 'hi');
  await back.close();
  await closed(connection);
});

test('a_module_sends', async () => {
  const module = await Module.create();
  const path = `/devices/${module.device.id}/modules/${module.id}`;
  const user = `${module.device.id}/modules/${module.id}@sas.hub`;
  const connection = await connect(user, token(path, key(5)));
  await send(connection, `${path}/messages/events`, 'hello');
  const event = await eventFrom(module.device.id);
  assert.equal(event.systemProperties['iothub-connection-module-id'], module.id);
  await closed(connection);
});

test('a_device_is_let_in_at_its_own_links_only', async () => {
  const [device, other] = [await Device.create(), await Device.create()];
  const connection = await connect(`${device.id}@sas.hub`, token(`/devices/${device.id}`, device.primary));
  for (const address of [`/devices/${other.id}/messages/events`, '/messages/devicebound']) {
    await assert.rejects(send(connection, address, 'x'), UNAUTHORIZED);
  }
  await closed(connection);
});

test('a_token_of_another_key_or_device_is_refused', async () => {
  const [device, other] = [await Device.create(), await Device.create()];
  const path = `/devices/${device.id}`;
  for (const password of [token(path, key(9)), token(`/devices/${other.id}`, other.primary), 'secret']) {
    await assert.rejects(connect(`${device.id}@sas.hub`, password), UNAUTHORIZED);
  }
});

main();
