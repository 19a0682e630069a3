"""Cloud-to-device messages as azure-iot-hub sends them over AMQP, and azure-iot-device gets them."""

import queue

from harness import Device, case, equal, eventually, listening, main, registry, take


@case
def a_message_arrives_with_its_properties():
    device = Device()
    client, messages = listening(device)
    properties = {
        "messageId": "m-1",
        "correlationId": "c 1",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "iothub-ack": "full",
        "color": "dark red & more",
    }
    # the subscription may still be on its way, and what was sent before it is not for the device
    eventually(lambda: registry().get_device(device.id).connection_state == "Connected", "device")
    first = sent_until_it_arrives(device, messages, properties)
    equal(first.data, b'{"a": 1}', "data")
    equal(first.message_id, "m-1", "message id")
    equal(first.correlation_id, "c 1", "correlation id")
    equal(first.content_type, "application/json", "content type")
    equal(first.ack, "full", "ack")
    equal(first.custom_properties["color"], "dark red & more", "color")
    client.disconnect()


def sent_until_it_arrives(device, messages, properties):
    for _ in range(20):
        registry().send_c2d_message(device.id, '{"a": 1}', properties)
        try:
            return messages.get(timeout=0.5)
        except queue.Empty:
            continue
    return take(messages, "the message")


@case
def a_device_that_is_not_there_is_an_error():
    try:
        registry().send_c2d_message("nobody", "x")
    except Exception as error:
        assert "C2D message send failure" in str(error), error
        return
    raise AssertionError("there is no such device")


@case
def a_queue_holds_fifty():
    device = Device()
    for _ in range(50):
        registry().send_c2d_message(device.id, "x")
    equal(registry().get_device(device.id).cloud_to_device_message_count, 50, "waiting")
    try:
        registry().send_c2d_message(device.id, "x")
    except Exception as error:
        assert "C2D message send failure" in str(error), error
        return
    raise AssertionError("the queue is full")


main()
