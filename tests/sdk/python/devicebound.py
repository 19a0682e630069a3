"""Cloud-to-device messages as azure-iot-device receives them over MQTT."""

import json

from harness import Device, case, equal, eventually, listening, main, registry, take


def send(device, body, system=None, properties=None):
    """Has the test that runs this script send a message."""
    order = {"device": device.id, "body": body, "system": system, "properties": properties}
    print("send", json.dumps(order), flush=True)


def waiting(device):
    return registry().get_device(device.id).cloud_to_device_message_count


def eventually_none_waits(device):
    """An acknowledgement is on its way for a moment after the handler has run."""
    eventually(lambda: not waiting(device), "the messages to leave the queue")


@case
def a_message_arrives_with_its_properties():
    device = Device()
    client, messages = listening(device)
    send(
        device,
        '{"a": "ü"}',
        {
            "messageId": "m-1/2",
            "correlationId": "c 1",
            "contentType": "application/json",
            "contentEncoding": "utf-8",
        },
        {"color": "dark red & more", "path": "/a/b?c=d", "iothub-ack": "full"},
    )
    message = take(messages, "the message")
    equal(message.data.decode(), '{"a": "ü"}', "data")
    equal(message.message_id, "m-1/2", "message id")
    equal(message.correlation_id, "c 1", "correlation id")
    equal(message.content_type, "application/json", "content type")
    equal(message.content_encoding, "utf-8", "content encoding")
    equal(message.ack, "full", "ack")
    equal(
        message.custom_properties,
        {"color": "dark red & more", "path": "/a/b?c=d"},
        "properties",
    )
    eventually_none_waits(device)
    client.shutdown()


@case
def messages_arrive_in_their_order():
    device = Device()
    client, messages = listening(device)
    for number in range(40):
        send(device, str(number))
    bodies = [take(messages, "message").data.decode() for _ in range(40)]
    equal(bodies, [str(number) for number in range(40)], "messages")
    eventually_none_waits(device)
    client.shutdown()


@case
def what_was_sent_while_the_device_was_away_arrives_when_it_is_back():
    device = Device()
    client, messages = listening(device)
    send(device, "first")
    equal(take(messages, "the first").data.decode(), "first", "data")
    eventually_none_waits(device)
    client.disconnect()
    for text in ("second", "third"):
        send(device, text)
    eventually(lambda: waiting(device) == 2, "two messages to wait")
    client.connect()
    # The SDK keeps its session and does not subscribe again.
    equal(take(messages, "the second").data.decode(), "second", "data")
    equal(take(messages, "the third").data.decode(), "third", "data")
    eventually_none_waits(device)
    client.shutdown()


main()
