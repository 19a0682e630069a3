"""Routes and the hub's own events, as azure-eventhub, a folder and a web server get them.

Runs against an emulator that was started with ../routing.toml.
"""

import glob
import http.server
import json
import os
import queue
import threading

from azure.iot.device import IoTHubDeviceClient, Message

from harness import Device, case, empty, equal, eventually, main, registry, take
from reading import CA, STRING, Reading, consumer, now

HOST = STRING.split("sb://")[1].split("/")[0]
ARCHIVE = os.path.join(os.path.dirname(CA), "archive")
ALERTS = STRING.rsplit("EntityPath=", 1)[0] + "EntityPath=alerts"
POSTED = queue.Queue()


class Web(http.server.BaseHTTPRequestHandler):
    """Refuses the first request, as a server does that is just being started."""

    refused = False

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 200 if Web.refused else 503
        Web.refused = True
        if status == 200:
            for event in json.loads(body):
                POSTED.put((self.path, self.headers["Content-Type"], event))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((HOST, 9090), Web)
threading.Thread(target=server.serve_forever, daemon=True).start()


def connected(device, **options):
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string(), **options)
    client.connect()
    return client


def told(reading, operation, predicate=lambda body: True):
    """The next event of that operation."""
    while True:
        (_, event), = reading.take(1)
        body = json.loads(event.body_as_str())
        if event.properties.get(b"opType") == operation.encode() and predicate(body):
            return event, body


@case
def a_message_takes_its_route_to_every_endpoint_and_no_other():
    start, device = now(), Device()
    twin = registry().get_twin(device.id)
    twin.tags = {"floor": 3}
    registry().update_twin(device.id, twin, "*")
    alerts = Reading(start, device.id, consumer(ALERTS, group="team"))
    built_in = Reading(start, device.id)
    client = connected(device)
    for number, level in ((31, "alert"), (29, "alert"), (35, "quiet")):
        message = Message(json.dumps({"t": number}))
        message.content_type, message.content_encoding = "application/json", "utf-8"
        message.custom_properties["level"] = level
        client.send_message(message)
    (_, event), = alerts.take(1)
    equal(json.loads(event.body_as_str()), {"t": 31})
    equal(event.properties, {b"level": b"alert", b"floor": b"3"})
    empty(alerts.events, 1, "another alert")
    rest = []
    while len(rest) < 2:
        (_, event), = built_in.take(1)
        if event.system_properties[b"iothub-message-source"] == b"Telemetry":
            rest.append(json.loads(event.body_as_str())["t"])
            equal(b"floor" in event.properties, False)
    equal(rest, [29, 35])
    path, kind, posted = take(POSTED, "the post")
    equal((path, kind, posted["Body"]), ("/events", "application/json", {"t": 31}))
    equal(posted["Properties"], {"level": "alert"})

    def lines():
        paths = glob.glob(os.path.join(ARCHIVE, "emulator", "*", "*", "*", "*", "*", "*.json"))
        return [json.loads(line) for path in paths for line in open(path)]

    eventually(lambda: len(lines()) == 1, "the line in the folder")
    (line,) = lines()
    equal(line["Properties"], {"level": "alert", "floor": "3"})
    equal(line["SystemProperties"]["connectionDeviceId"], device.id)
    client.shutdown()
    alerts.close()
    built_in.close()


@case
def changes_of_twins_are_events():
    start, device = now(), Device()
    events = Reading(start, device.id)
    client = connected(device)
    client.patch_twin_reported_properties({"battery": 80})
    event, body = told(events, "updateTwin")
    equal(body["properties"]["reported"]["battery"], 80)
    equal(body["properties"]["reported"]["$version"], 2)
    equal("battery" in body["properties"]["reported"]["$metadata"], True)
    system = event.system_properties
    equal(system[b"iothub-message-source"], b"twinChangeEvents")
    equal(system[b"content-type"], b"application/json")
    equal(system[b"content-encoding"], b"utf-8")
    equal(system[b"user-id"], b"emulator")
    equal(b"iothub-connection-auth-method" in system, False)
    equal(event.properties[b"hubName"], b"emulator")
    equal(event.properties[b"deviceId"], device.id.encode())
    equal(event.properties[b"iothub-message-schema"], b"twinChangeNotification")
    device.desire({"configId": 7})
    _, body = told(events, "updateTwin", lambda body: "desired" in body.get("properties", {}))
    equal(body["properties"]["desired"]["configId"], 7)
    twin = registry().get_twin(device.id)
    registry().replace_twin(device.id, twin, "*")
    _, body = told(events, "replaceTwin")
    equal(body["deviceId"], device.id)
    client.shutdown()
    events.close()


@case
def identities_and_connections_are_events():
    start, device = now(), Device()
    events = Reading(start, device.id)
    event, body = told(events, "createDeviceIdentity")
    equal(event.system_properties[b"iothub-message-source"], b"deviceLifecycleEvents")
    equal((body["deviceId"], body["version"]), (device.id, 2))
    connected(device).shutdown()
    event, first = told(events, "deviceConnected")
    equal(event.system_properties[b"iothub-message-source"], b"deviceConnectionStateEvents")
    _, second = told(events, "deviceDisconnected")
    equal(first["sequenceNumber"] < second["sequenceNumber"], True)
    equal(len(first["sequenceNumber"]), 64)
    registry().delete_device(device.id)
    told(events, "deleteDeviceIdentity")
    events.close()


@case
def digital_twins_are_events():
    start, device = now(), Device()
    events = Reading(start, device.id)
    client = connected(device, product_info="dtmi:com:example:Thermostat;1")
    client.patch_twin_reported_properties({"maxTemp": 34.9})
    while True:
        (_, event), = events.take(1)
        if event.system_properties[b"iothub-message-source"] == b"digitalTwinChangeEvents":
            break
    equal(event.system_properties[b"content-type"], b"application/json-patch+json")
    operations = json.loads(event.body_as_str())
    equal({"op": "add", "path": "/maxTemp", "value": 34.9} in operations, True)
    client.shutdown()
    events.close()


main()
