"""The tutorial with the asyncio clients."""

import asyncio

from azure.iot.device.aio import IoTHubDeviceClient
from harness import PATIENCE, Device, case, equal, main, plain

WANTED = {"configId": 3, "sendFrequency": "5m"}


async def in_thread(function, *arguments):
    """The back end's client is synchronous."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


@case
async def device_and_back_end_agree_on_a_configuration():
    device = await in_thread(Device)
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    await client.connect()
    await client.patch_twin_reported_properties({"configId": 1, "sendFrequency": "24h"})
    applied = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    async def on_patch(patch):
        if "configId" not in patch:
            return
        await client.patch_twin_reported_properties(plain(patch))
        loop.call_soon_threadsafe(applied.set_result, patch)

    client.on_twin_desired_properties_patch_received = on_patch
    before = await in_thread(device.twin)
    await in_thread(device.desire, WANTED, before.etag)
    patch = await asyncio.wait_for(applied, PATIENCE)
    equal(patch, dict(WANTED, **{"$version": 2}), "patch")

    after = await in_thread(device.twin)
    equal(plain(after.properties.desired), WANTED, "desired")
    equal(plain(after.properties.reported), WANTED, "reported")
    await client.shutdown()


@case
async def requests_in_flight_together_get_their_own_answers():
    device = await in_thread(Device)
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    await client.connect()
    reports = [client.patch_twin_reported_properties({"n{}".format(n): n}) for n in range(20)]
    twins = [client.get_twin() for _ in range(5)]
    messages = [client.send_message("message {}".format(n)) for n in range(20)]
    await asyncio.wait_for(asyncio.gather(*reports, *twins, *messages), PATIENCE)
    twin = await client.get_twin()
    equal(plain(twin["reported"]), {"n{}".format(n): n for n in range(20)}, "reported")
    equal(twin["reported"]["$version"], 21, "reported $version")
    await client.shutdown()


main()
