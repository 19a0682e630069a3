"""azure-iot-device over WebSockets: telemetry, twins, refusals, a cut network."""

import queue

from azure.iot.device import IoTHubDeviceClient, Message
from azure.iot.device.exceptions import CredentialError
from harness import Device, case, cut_connections, equal, key, main, plain, raises, take


def client(device, device_key=None, **options):
    """A client that is not connected yet."""
    return IoTHubDeviceClient.create_from_connection_string(
        device.connection_string(device_key), websockets=True, **options
    )


@case
def telemetry_is_acknowledged():
    device = client(Device())
    device.connect()
    message = Message('{"temperature": 21.5}', message_id="m-1")
    message.custom_properties["alert"] = "yes & no"
    device.send_message(message)
    for number in range(50):
        device.send_message("message {}".format(number))
    device.send_message("x" * (255 * 1024))
    device.shutdown()


@case
def twins_work_both_ways():
    device = Device()
    connected = client(device)
    connected.connect()
    equal(device.twin().connection_state, "Connected", "connectionState")
    patches = queue.Queue()
    connected.on_twin_desired_properties_patch_received = patches.put
    large = {"text": "x" * 4000, "n": 1}
    device.desire(large)
    equal(take(patches, "the patch"), dict(large, **{"$version": 2}), "patch")
    connected.patch_twin_reported_properties(large)
    equal(plain(connected.get_twin()["reported"]), large, "reported")
    equal(plain(device.twin().properties.reported), large, "reported")
    connected.shutdown()


@case
def a_wrong_key_is_a_wrong_credential():
    raises(CredentialError, client(Device(), key(9), connection_retry=False).connect)


@case
def the_client_comes_back_after_a_cut():
    device = Device()
    connected = client(device, connection_retry_interval=1)
    connected.connect()
    patches, changes = queue.Queue(), queue.Queue()
    connected.on_twin_desired_properties_patch_received = patches.put
    device.desire({"n": 1})
    equal(take(patches, "the patch before the cut"), {"n": 1, "$version": 2}, "patch")
    connected.on_connection_state_change = lambda: changes.put(connected.connected)
    cut_connections(443)
    equal(take(changes, "the client to notice the cut"), False, "connected")
    equal(take(changes, "the client to reconnect"), True, "connected")
    device.desire({"n": 2})
    equal(take(patches, "the patch after the cut"), {"n": 2, "$version": 3}, "patch")
    connected.shutdown()


main()
