"""How the scripts read event hubs, with azure-eventhub."""

import datetime
import os
import queue
import threading

from azure.eventhub import EventHubConsumerClient

from harness import PATIENCE, take

STRING = os.environ["EVENTHUB_CONNECTION_STRING"]
CA = os.environ["IOTHUB_EMULATOR_CA"]


def consumer(string=STRING, group="$Default", **options):
    options.setdefault("retry_total", 0)
    return EventHubConsumerClient.from_connection_string(
        string, group, connection_verify=CA, **options
    )


def now():
    """Where to begin for what is yet to be sent: this client takes up to a second for each event."""
    # a second early, as events are told apart by milliseconds
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)


class Reading:
    """Reads in a thread of its own what comes from one device, or from all."""

    def __init__(self, position, device=None, client=None, **options):
        self.events, self.errors = queue.Queue(), queue.Queue()
        self.ready = threading.Event()
        self.client = client or consumer()
        self.device = device

        def run():
            self.client.receive(
                self.on_event,
                on_error=lambda _, error: self.errors.put(error),
                starting_position=position,
                **options,
            )

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def on_event(self, context, event):
        sender = event.system_properties[b"iothub-connection-device-id"].decode()
        if self.device in (None, sender):
            self.events.put((context.partition_id, event))

    def take(self, count):
        return [take(self.events, "an event") for _ in range(count)]

    def close(self):
        self.client.close()
        self.thread.join(PATIENCE)
