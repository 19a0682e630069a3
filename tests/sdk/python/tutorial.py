"""The tutorial with the synchronous clients: the back end asks for a configuration, the device
sees it, applies it and reports it, and both read the same twin at the end."""

import queue

from azure.iot.device import IoTHubDeviceClient
from harness import Device, case, equal, eventually, main, plain, registry, take

WANTED = {"configId": 3, "sendFrequency": "5m"}


class ConfiguredDevice:
    """The tutorial's device: reports what it runs with and applies what is desired."""

    def __init__(self, device):
        self.patches = queue.Queue()
        self.applied = queue.Queue()
        self.client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
        self.client.connect()
        self.client.patch_twin_reported_properties({"configId": 1, "sendFrequency": "24h"})
        self.client.on_twin_desired_properties_patch_received = self.on_patch

    def on_patch(self, patch):
        self.patches.put(patch)
        if "configId" not in patch:
            return
        self.client.patch_twin_reported_properties({"status": "pending"})
        self.client.patch_twin_reported_properties(dict(plain(patch), status=None))
        self.applied.put(patch["configId"])


@case
def device_and_back_end_agree_on_a_configuration():
    device = Device()
    simulated = ConfiguredDevice(device)
    before = device.twin()
    equal(plain(before.properties.reported), {"configId": 1, "sendFrequency": "24h"}, "reported")
    equal(before.properties.desired["$version"], 1, "desired $version")

    device.desire(WANTED, before.etag)
    equal(take(simulated.applied, "the device to apply the configuration"), 3, "configId")

    after = device.twin()
    equal(plain(after.properties.desired), WANTED, "desired")
    equal(plain(after.properties.reported), WANTED, "reported")
    equal(after.properties.desired["$version"], 2, "desired $version")
    # three patches: the first configuration, pending, applied
    equal(after.properties.reported["$version"], 4, "reported $version")
    # a new twin is version 2, and each write adds one
    equal(after.version, 6, "version")
    simulated.client.shutdown()


@case
def the_device_reads_the_same_twin():
    device = Device()
    device.desire(WANTED)
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.patch_twin_reported_properties({"configId": 1})
    equal(
        client.get_twin(),
        {"desired": dict(WANTED, **{"$version": 2}), "reported": {"configId": 1, "$version": 2}},
        "twin",
    )
    client.shutdown()


@case
def each_change_arrives_once_and_in_order():
    device = Device()
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.connect()
    patches = queue.Queue()
    client.on_twin_desired_properties_patch_received = patches.put
    for number in range(1, 21):
        device.desire({"number": number})
    for number in range(1, 21):
        patch = take(patches, "patch {}".format(number))
        equal(patch, {"number": number, "$version": number + 1}, "patch")
    client.shutdown()


@case
def the_back_end_sees_the_device_come_and_go():
    device = Device()
    equal(device.twin().connection_state, "Disconnected", "connectionState")
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.connect()
    equal(device.twin().connection_state, "Connected", "connectionState")
    equal(registry().get_device(device.id).connection_state, "Connected", "connectionState")
    assert registry().get_device(device.id).last_activity_time.year > 2000
    client.disconnect()
    eventually(
        lambda: device.twin().connection_state == "Disconnected", "connectionState Disconnected"
    )
    client.shutdown()


main()
