// Twins through azure-iothub and azure-iot-device: merge, replace, nulls, tags, etags, limits.
'use strict';

const {
  Arrivals, Device, assert, body, main, plain, refused, registry, replaceTwin, report, test,
} = require('./harness');

test('a_new_twin_is_empty', async () => {
  const device = await Device.create();
  const twin = await device.twin();
  assert.equal(twin.etag, 'AAAAAAAAAAE=');
  assert.equal(twin.deviceEtag, device.identity.etag);
  assert.equal(twin.version, 2);
  assert.equal(twin.status, 'enabled');
  assert.equal(twin.authenticationType, 'sas');
  assert.deepEqual(plain(twin.properties.desired), {});
  assert.deepEqual(plain(twin.properties.reported), {});
});

test('a_patch_merges_and_null_deletes', async () => {
  const device = await Device.create();
  await device.desire({ a: { b: 1, c: [1, 2] }, d: 'x' });
  const twin = await device.desire({ a: { b: null, e: true }, d: null });
  assert.deepEqual(plain(twin.properties.desired), { a: { c: [1, 2], e: true } });
  assert.equal(twin.properties.desired.$version, 3);
  assert.deepEqual(Object.keys(twin.properties.desired.$metadata.a).sort(), [
    '$lastUpdated', '$lastUpdatedVersion', 'c', 'e',
  ]);
});

test('the_twin_object_updates_itself', async () => {
  const device = await Device.create();
  const twin = await device.twin();
  await twin.update({ tags: { plant: 43 } });
  assert.deepEqual(twin.tags, { plant: 43 });
  // its etag followed, so a second update is not stale
  await twin.update({ tags: { plant: null, floor: 2 } });
  assert.deepEqual(twin.tags, { floor: 2 });
  assert.equal(twin.etag, 'AAAAAAAAAAM=');
});

test('replace_drops_what_is_not_there', async () => {
  const device = await Device.create();
  await body(registry().updateTwin(device.id, { tags: { old: 1 }, properties: { desired: { a: 1, b: 2 } } }, '*'));
  const client = await device.connect();
  const twin = await client.getTwin();
  const patches = new Arrivals();
  twin.on('properties.desired', (patch) => patches.put(patch));
  // a listener is told at once what is there already
  await patches.take('what is desired already');
  await report(twin, { listening: true });
  const replaced = await replaceTwin(device.id, { tags: { new: 2 }, properties: { desired: { a: 1, c: 100 } } });
  assert.deepEqual(replaced.tags, { new: 2 });
  assert.deepEqual(plain(replaced.properties.desired), { a: 1, c: 100 });
  assert.deepEqual(await patches.take('the replacement'), { a: 1, b: null, c: 100, $version: 3 });
  assert.deepEqual(plain(twin.properties.desired), { a: 1, c: 100 });
  await client.close();
});

test('a_null_in_a_replacement_is_refused_or_dropped_but_never_kept', async () => {
  const device = await Device.create();
  await replaceTwin(device.id, { properties: { desired: { a: 1, b: null } } }).catch((error) => {
    assert.equal(error.name, 'ArgumentError');
  });
  assert.equal('b' in (await device.twin()).properties.desired, false);
});

test('a_stale_etag_changes_nothing', async () => {
  const device = await Device.create();
  const { etag } = await device.twin();
  await device.desire({ a: 1 }, etag);
  await refused('InvalidEtagError', 412, device.desire({ a: 2 }, etag));
  await refused('InvalidEtagError', 412, replaceTwin(device.id, { tags: {} }, `"${etag}"`));
  assert.deepEqual(plain((await device.twin()).properties.desired), { a: 1 });
});

test('a_refused_report_says_why_and_the_connection_lives', async () => {
  const device = await Device.create();
  const client = await device.connect();
  const twin = await client.getTwin();
  const section = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`p${n}`, 'x'.repeat(4000)]));
  // This SDK looks at no status: only `errorCode` in the body tells it of a failure, and its
  // `message` becomes the error's.
  for (const patch of [{ long: 'x'.repeat(4097) }, { 'a.b': 1 }, { list: [null] }, { n: 2 ** 52 }, section]) {
    const error = await refused('Error', undefined, report(twin, patch));
    assert.notEqual(error.message, '');
    assert.notEqual(error.message, 'undefined');
  }
  await report(twin, { fits: 'x'.repeat(4096) });
  assert.equal((await device.twin()).properties.reported.fits.length, 4096);
  await client.close();
});

test('a_refused_patch_says_why', async () => {
  const device = await Device.create();
  for (const desired of [{ long: 'x'.repeat(4097) }, { 'a b': 1 }, { list: [null] }, { n: 2 ** 52 }]) {
    const error = await refused('ArgumentError', 400, device.desire(desired));
    assert.equal(error.response.headers['iothub-errorcode'], 'ArgumentInvalid');
    assert.notEqual(error.message, '');
  }
  assert.equal((await device.twin()).version, 2);
});

main();
