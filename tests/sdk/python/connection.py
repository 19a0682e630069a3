"""Connections of azure-iot-device: telemetry, take-over, a cut network, the persistent session."""

import queue

from azure.iot.device import IoTHubDeviceClient, Message
from harness import Device, case, cut_connections, empty, equal, eventually, main, plain, take


def connected_client(device, **options):
    """A client that is connected."""
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string(), **options)
    client.connect()
    return client


@case
def telemetry_with_properties_is_acknowledged():
    client = connected_client(Device())
    message = Message('{"temperature": 21.5}', message_id="m-1")
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.correlation_id = "c-1"
    message.custom_properties["alert"] = "yes & no"
    message.custom_properties["größe"] = "4/5=80%"
    client.send_message(message)
    client.send_message("")
    for number in range(50):
        client.send_message("message {}".format(number))
    client.shutdown()


@case
def the_largest_message_is_acknowledged():
    client = connected_client(Device())
    client.send_message("x" * (255 * 1024))
    client.shutdown()


@case
def the_second_connection_of_a_device_wins():
    device = Device()
    first = connected_client(device, connection_retry=False)
    lost = queue.Queue()
    first.on_connection_state_change = lambda: lost.put(first.connected)
    second = connected_client(device, connection_retry=False)
    equal(take(lost, "the first connection to be closed"), False, "connected")
    second.patch_twin_reported_properties({"by": "second"})
    assert second.connected
    equal(device.twin().connection_state, "Connected", "connectionState")
    equal(plain(device.twin().properties.reported), {"by": "second"}, "reported")
    first.shutdown()
    second.shutdown()


@case
def desired_patches_arrive_after_a_cut_without_a_new_subscription():
    device = Device()
    # Without the GET that this SDK does after a reconnect only the hub's own memory of the
    # subscription can bring the patch.
    client = connected_client(device, ensure_desired_properties=False, connection_retry_interval=1)
    patches, changes = queue.Queue(), queue.Queue()
    client.on_twin_desired_properties_patch_received = patches.put
    device.desire({"n": 1})
    equal(take(patches, "the patch before the cut"), {"n": 1, "$version": 2}, "patch")
    client.on_connection_state_change = lambda: changes.put("change")
    cut_connections()
    take(changes, "the client to notice the cut")
    take(changes, "the client to reconnect")
    assert client.connected
    device.desire({"n": 2})
    equal(take(patches, "the patch after the cut"), {"n": 2, "$version": 3}, "patch")
    # twin answers need the other remembered subscription
    client.patch_twin_reported_properties({"n": 2})
    equal(plain(client.get_twin()["reported"]), {"n": 2}, "reported")
    client.shutdown()


@case
def what_was_missed_while_away_is_fetched_not_queued():
    device = Device()
    client = connected_client(device)
    # The SDK gets the twin after a reconnect without having subscribed to the answers; it must
    # have asked for a twin before.
    client.get_twin()
    patches = queue.Queue()
    client.on_twin_desired_properties_patch_received = patches.put
    device.desire({"n": 1})
    equal(take(patches, "the first patch"), {"n": 1, "$version": 2}, "patch")
    client.disconnect()
    device.desire({"n": 2})
    device.desire({"n": 3})
    client.connect()
    # one patch, which the SDK makes from the twin it gets; the hub queues none
    equal(take(patches, "the missed change"), {"n": 3, "$version": 4}, "patch")
    empty(patches, 0.3, "a desired patch was queued for a device that was away")
    client.shutdown()


@case
def a_client_connects_again_and_again():
    device = Device()
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    for number in range(10):
        client.connect()
        client.patch_twin_reported_properties({"n": number})
        client.disconnect()
    equal(device.twin().properties.reported["n"], 9, "n")
    eventually(lambda: device.twin().connection_state == "Disconnected", "Disconnected")
    client.shutdown()


main()
