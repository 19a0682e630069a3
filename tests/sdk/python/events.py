"""The Event Hubs-compatible endpoint as azure-eventhub reads it, with telemetry of azure-iot-device."""

import asyncio
import datetime
import json
import threading
import time

from azure.eventhub import EventData, EventHubProducerClient, TransportType
from azure.eventhub._eventprocessor.in_memory_checkpoint_store import InMemoryCheckpointStore
from azure.eventhub.aio import EventHubConsumerClient as AsyncConsumer
from azure.eventhub.exceptions import AuthenticationError, ConnectError, EventHubError
from azure.iot.device import IoTHubDeviceClient, Message

from harness import Device, PATIENCE, case, equal, main, take
from reading import CA, STRING, Reading, consumer, now


def send(device, *bodies):
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.connect()
    for body in bodies:
        message = Message(json.dumps(body))
        message.message_id = f"m-{body}"
        message.correlation_id = "c 1"
        message.content_type = "application/json"
        message.content_encoding = "utf-8"
        message.custom_properties["color"] = "dark red & more"
        client.send_message(message)
    client.disconnect()


@case
def the_hub_and_its_partitions_are_described():
    device = Device()
    send(device, 1)
    client = consumer()
    properties = client.get_eventhub_properties()
    equal(properties["partition_ids"], ["0", "1", "2", "3"], "partition ids")
    assert STRING.endswith("EntityPath=" + properties["eventhub_name"])
    partitions = [client.get_partition_properties(str(number)) for number in range(4)]
    used = [partition for partition in partitions if not partition["is_empty"]]
    assert used and all(one["last_enqueued_sequence_number"] >= 0 for one in used), partitions
    age = datetime.datetime.now(datetime.timezone.utc) - used[0]["last_enqueued_time_utc"]
    assert abs(age.total_seconds()) < 3600, age
    client.close()


@case
def telemetry_has_every_property():
    device = Device()
    send(device, 1)
    reading = Reading("-1", device.id)
    partition, event = reading.take(1)[0]
    equal(event.body_as_json(), 1, "body")
    equal(event.message_id, "m-1", "message id")
    equal(event.correlation_id, "c 1", "correlation id")
    equal(event.content_type, "application/json", "content type")
    equal(event.properties, {b"color": b"dark red & more"}, "properties")
    system = {name.decode(): value for name, value in event.system_properties.items()}
    equal(system["content-encoding"], b"utf-8", "content encoding")
    equal(system["to"], f"/devices/{device.id}/messages/events".encode(), "to")
    equal(system["iothub-connection-device-id"].decode(), device.id, "device")
    equal(system["iothub-message-source"], b"Telemetry", "source")
    equal(
        json.loads(system["iothub-connection-auth-method"]),
        {"scope": "device", "type": "sas", "issuer": "iothub", "acceptingIpFilterRule": None},
        "authentication",
    )
    assert system["iothub-connection-auth-generation-id"].isdigit()
    equal(system["iothub-enqueuedtime"], system["x-opt-enqueued-time"], "enqueued time")
    equal(event.sequence_number, system["x-opt-sequence-number"], "sequence number")
    equal(event.offset.encode(), system["x-opt-offset"], "offset")
    reading.close()


@case
def a_reader_begins_where_it_says():
    device = Device()
    send(device, 1, 2, 3)
    reading = Reading("-1", device.id)
    found = reading.take(3)
    reading.close()
    equal([event.body_as_json() for _, event in found], [1, 2, 3], "order")
    partition, second = found[1]
    positions = [
        (second.offset, False, [3]),
        (second.offset, True, [2, 3]),
        (second.sequence_number, False, [3]),
        (second.sequence_number, True, [2, 3]),
        (second.enqueued_time - datetime.timedelta(seconds=60), False, [1, 2, 3]),
    ]
    for position, inclusive, expected in positions:
        reading = Reading(
            {partition: position},
            device.id,
            partition_id=partition,
            starting_position_inclusive={partition: inclusive},
        )
        bodies = [event.body_as_json() for _, event in reading.take(len(expected))]
        equal(bodies, expected, f"from {position}, inclusive {inclusive}")
        reading.close()


@case
def events_come_over_websockets():
    start, device = now(), Device()
    send(device, 7)
    partition, event = the_event_of(device, start)
    client = consumer(transport_type=TransportType.AmqpOverWebsocket)
    reading = Reading(
        {partition: event.sequence_number},
        device.id,
        client,
        partition_id=partition,
        starting_position_inclusive={partition: True},
    )
    equal(reading.take(1)[0][1].body_as_json(), 7, "body")
    reading.close()


@case
def events_come_with_asyncio_and_checkpoints():
    start, device = now(), Device()
    send(device, 1, 2)

    async def read():
        client = AsyncConsumer.from_connection_string(
            STRING, "$Default", connection_verify=CA, retry_total=0
        )
        bodies = []

        async def on_event(context, event):
            if event.system_properties[b"iothub-connection-device-id"].decode() == device.id:
                bodies.append(event.body_as_json())
                await context.update_checkpoint(event)
                if len(bodies) == 2:
                    done.set()

        done = asyncio.Event()
        task = asyncio.create_task(client.receive(on_event, starting_position=start))
        await asyncio.wait_for(done.wait(), PATIENCE)
        # as Microsoft's own samples end it
        task.cancel()
        await client.close()
        return bodies

    equal(asyncio.run(read()), [1, 2], "bodies")


@case
def a_reader_goes_on_where_its_checkpoint_says():
    start, device = now(), Device()
    send(device, 1, 2, 3)
    store = InMemoryCheckpointStore()

    def read(until):
        """Bodies up to that one, after which the reader says how far it came, and ends."""
        pace = {"load_balancing_interval": 1, "partition_ownership_expiration_interval": 3}
        seen, client = [], consumer(checkpoint_store=store, **pace)

        def on_event(context, event):
            sender = event.system_properties[b"iothub-connection-device-id"].decode()
            if sender != device.id or until in seen:
                return
            seen.append(event.body_as_json())
            if seen[-1] == until:
                context.update_checkpoint(event)
                done.set()

        done = threading.Event()
        options = {"on_event": on_event, "starting_position": start}
        thread = threading.Thread(target=client.receive, kwargs=options, daemon=True)
        thread.start()
        assert done.wait(PATIENCE), f"no event {until} came: {seen}"
        client.close()
        return seen

    equal(read(2), [1, 2], "what the first reader saw")
    send(device, 4)
    equal(read(4), [3, 4], "what the second saw")


@case
def a_higher_owner_level_displaces_a_reader():
    start, device = now(), Device()
    send(device, 1)
    partition, _ = the_event_of(device, start)
    low = Reading(start, device.id, owner_level=1, partition_id=partition)
    low.take(1)
    high = Reading(start, device.id, owner_level=2, partition_id=partition)
    high.take(1)
    error = take(low.errors, "the news")
    assert "link:stolen" in str(error), error
    low.close()
    high.close()


def the_event_of(device, start):
    reading = Reading(start, device.id)
    found = reading.take(1)[0]
    reading.close()
    return found


@case
def a_reader_that_begins_behind_what_is_yet_to_come_is_told():
    # without retries: with them this client asks again for ever and tells nobody, as it says itself
    reading = Reading("999999999", client=consumer(retry_total=0), partition_id="0")
    error = take(reading.errors, "a refusal")
    assert isinstance(error, EventHubError), error
    assert "The supplied offset '999999999' is invalid. The last offset" in str(error), error
    reading.close()


@case
def what_is_not_there_is_refused():
    reading = Reading("-1", client=consumer(group="nobody"), partition_id="0")
    error = take(reading.errors, "a refusal")
    assert isinstance(error, EventHubError) and "nobody" in str(error), error
    reading.close()
    client = consumer()
    try:
        client.get_partition_properties("17")
        raise AssertionError("there is no partition 17")
    except EventHubError as error:
        assert "17" in str(error), error
    client.close()


@case
def a_wrong_key_is_refused():
    head, rest = STRING.split("SharedAccessKey=", 1)
    wrong = head + "SharedAccessKey=" + "A" * 43 + "=;" + rest.split(";", 1)[1]
    client = consumer(wrong)
    try:
        client.get_eventhub_properties()
        raise AssertionError("a wrong key lets nobody in")
    except (AuthenticationError, ConnectError, EventHubError) as error:
        assert "signature" in str(error).lower(), error
    client.close()


@case
def producers_are_refused():
    producer = EventHubProducerClient.from_connection_string(
        STRING, connection_verify=CA, retry_total=0
    )
    try:
        producer.send_batch([EventData("x")])
        raise AssertionError("only devices send events")
    except EventHubError as error:
        assert "events are sent by devices" in str(error), error
    producer.close()


@case
def a_reader_of_the_latest_sees_only_what_comes():
    device = Device()
    send(device, 1)
    reading = Reading("@latest", device.id, track_last_enqueued_event_properties=True)
    # nothing tells when all four links are there; what is sent until then is none of its business
    deadline, number = time.monotonic() + PATIENCE, 1
    while reading.events.empty() and time.monotonic() < deadline:
        number += 1
        send(device, number)
        time.sleep(0.5)
    _, event = reading.take(1)[0]
    assert event.body_as_json() > 1, event
    reading.close()


main()
