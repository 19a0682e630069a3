"""Messages that ask for faults: azure-iot-device notices, comes back and goes on."""

import threading

from azure.iot.device import IoTHubDeviceClient, Message
from harness import PATIENCE, Device, case, equal, eventually, main


def order(kind, reason, delay="0.2", duration="1"):
    """A message that asks for a fault, as Microsoft's end-to-end tests make it."""
    message = Message("fault")
    message.custom_properties.update(
        {
            "AzIoTHub_FaultOperationType": kind,
            "AzIoTHub_FaultOperationCloseReason": reason,
            "AzIoTHub_FaultOperationDelayInSecs": delay,
            "AzIoTHub_FaultOperationDurationInSecs": duration,
        }
    )
    return message


def survives(kind, reason, **options):
    device = Device()
    client = IoTHubDeviceClient.create_from_connection_string(
        device.connection_string(), connection_retry_interval=1, **options
    )
    client.connect()
    lost = threading.Event()
    client.on_connection_state_change = lambda: client.connected or lost.set()
    # It is acknowledged when the client has sent it again.
    sending = threading.Thread(target=client.send_message, args=(order(kind, reason),))
    sending.start()
    assert lost.wait(PATIENCE), "the client did not notice its end"
    sending.join(PATIENCE)
    assert not sending.is_alive(), "the message was never acknowledged"
    for number in range(5):
        client.send_message("message {}".format(number))
    client.patch_twin_reported_properties({"alive": True})
    equal(device.twin().properties.reported["alive"], True, "alive")
    client.shutdown()


@case
def a_reset_connection_comes_back():
    survives("KillTcp", "boom")


@case
def a_reset_connection_comes_back_over_websockets():
    survives("KillTcp", "boom", websockets=True)


@case
def a_shut_down_connection_comes_back():
    survives("ShutDownMqtt", "byebye")


@case
def events_that_are_throttled_arrive_in_the_end():
    device = Device()
    client = IoTHubDeviceClient.create_from_connection_string(
        device.connection_string(), connection_retry_interval=1
    )
    client.connect()
    client.send_message(order("InvokeThrottling", "boom", delay="0"))
    client.send_message("throttled")
    eventually(lambda: client.connected, "the client to be connected")
    client.shutdown()


main()
