"""Microsoft's own SDKs, unchanged, each test with a hub of its own."""

import json
import queue
import re
import socket
import ssl
import threading
import time

import pytest
from azure.eventhub import EventHubConsumerClient
from azure.iot.device import IoTHubDeviceClient, Message
from azure.iot.device.exceptions import ClientError
from azure.iot.hub import IoTHubRegistryManager

from iothub_emulator import EmulatorError

pytest_plugins = ["pytester"]

# How long a test waits for what must come: a machine that does much else is slow, not wrong.
PATIENCE = 60


@pytest.fixture
def device(iothub_device_connection_string):
    client = IoTHubDeviceClient.create_from_connection_string(iothub_device_connection_string)
    client.connect()
    yield client
    client.shutdown()


def test_a_device_reports_and_its_back_end_reads(device, iothub_connection_string):
    device.patch_twin_reported_properties({"configId": 7})
    back_end = IoTHubRegistryManager.from_connection_string(iothub_connection_string)
    assert back_end.get_twin("test-device").properties.reported["configId"] == 7


def first_event(connection_string, ca_file):
    seen = []
    reader = EventHubConsumerClient.from_connection_string(
        connection_string, "$Default", connection_verify=ca_file
    )

    def on_event(_, event):
        seen.append(event.body_as_str())
        reader.close()

    worker = threading.Thread(
        target=reader.receive, kwargs={"on_event": on_event, "starting_position": "-1"}
    )
    worker.start()
    worker.join(PATIENCE)
    (body,) = seen
    return body


def test_events_are_read(device, iothub, iothub_ca_file):
    device.send_message(Message("hello"))
    assert first_event(iothub.event_hub_connection_string, iothub_ca_file) == "hello"


def test_a_hub_has_routes_of_its_own(iothub_emulator, iothub_ca_file):
    routing = {
        "endpoints": [{"name": "alerts", "type": "event-hub"}],
        "routes": [{"name": "hot", "condition": "level = 'hot'", "endpointNames": ["alerts"]}],
    }
    with iothub_emulator.create_hub(routing=routing) as hub:
        client = IoTHubDeviceClient.create_from_connection_string(
            hub.create_device("test-device").connection_string
        )
        client.connect()
        for level in ("cold", "hot"):
            message = Message(level)
            message.custom_properties["level"] = level
            client.send_message(message)
        client.shutdown()
        alerts = hub.event_hub_connection_strings["alerts"]
        assert first_event(alerts, iothub_ca_file) == "hot"
        built_in = hub.event_hub_connection_string
        assert first_event(built_in, iothub_ca_file) == "cold"


def test_a_reset_hub_is_empty(iothub, iothub_device):
    back_end = IoTHubRegistryManager.from_connection_string(iothub.connection_string)
    assert back_end.get_device("test-device").device_id == iothub_device.id
    iothub.reset()
    back_end = IoTHubRegistryManager.from_connection_string(iothub.connection_string)
    with pytest.raises(Exception, match="Not Found"):
        back_end.get_device("test-device")


def test_a_restored_hub_is_what_it_was(device, iothub, iothub_emulator):
    device.patch_twin_reported_properties({"configId": 7})
    taken = iothub.snapshot()
    back_end = IoTHubRegistryManager.from_connection_string(iothub.connection_string)
    back_end.delete_device("test-device")
    iothub.restore(taken)
    back_end = IoTHubRegistryManager.from_connection_string(iothub.connection_string)
    assert back_end.get_twin("test-device").properties.reported["configId"] == 7
    assert iothub.snapshot() == taken
    with iothub_emulator.create_hub(seed={"devices": [{"deviceId": "a"}]}) as other:
        assert [device["deviceId"] for device in other.snapshot()["devices"]] == ["a"]
        with pytest.raises(EmulatorError, match="devices.0.: deviceId is missing"):
            other.restore({"devices": [{}]})


def causes(error):
    """An error, and all that it came of."""
    while error is not None:
        yield error
        error = error.__cause__


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("expired", "certificate has expired"),
        ("notYetValid", "certificate is not yet valid"),
        ("selfSigned", "self.signed certificate"),
        ("wrongName", "IP address mismatch"),
        ("wrongAuthority", "unable to get local issuer certificate"),
    ],
)
def test_a_device_refuses_a_bad_certificate(kind, reason, iothub, iothub_device, iothub_ca_file):
    iothub.show_certificate(kind)
    trust = ssl.create_default_context(cafile=iothub_ca_file)
    for port in ("mqtts", "amqps", "https"):
        with socket.create_connection((iothub.host_name, iothub.ports[port])) as plain:
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                trust.wrap_socket(plain, server_hostname=iothub.host_name)
    client = IoTHubDeviceClient.create_from_connection_string(iothub_device.connection_string)
    with pytest.raises(ClientError) as failed:
        client.connect()
    assert any(re.search(reason, str(cause)) for cause in causes(failed.value))
    iothub.show_certificate("good")
    client.connect()
    client.shutdown()


def test_a_message_expires_when_the_clock_is_turned(iothub, iothub_device):
    back_end = IoTHubRegistryManager.from_connection_string(iothub.connection_string)
    in_ten_minutes = int((time.time() + 600) * 1000)
    properties = {"expiryTimeUtc": in_ten_minutes}
    back_end.send_c2d_message(iothub_device.id, "hello", properties)
    assert back_end.get_device(iothub_device.id).cloud_to_device_message_count == 1
    iothub.advance(700)
    assert back_end.get_device(iothub_device.id).cloud_to_device_message_count == 0


def test_a_device_that_is_cut_off_comes_back(device, iothub):
    (before,) = iothub.connections()
    assert (before["deviceId"], before["protocol"]) == ("test-device", "mqtt")
    iothub.disconnect("test-device")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        after = iothub.connections()
        if after and after[0]["since"] != before["since"]:
            device.send_message("I am back")
            return
        time.sleep(0.1)
    pytest.fail(f"the device did not come back: {after}")


def test_a_device_is_throttled_as_long_as_a_fault_says_so(device, iothub):
    with iothub.fault(operation="readTwin", device="test-*", error="throttled"):
        with pytest.raises(Exception) as failed:
            device.get_twin()
        assert "429" in str(failed.value.__cause__)
        assert [fault["hits"] for fault in iothub.faults()] == [1]
    assert device.get_twin()["desired"] == {"$version": 1}
    assert iothub.faults() == []


def test_a_message_is_sent_over_the_harness(device, iothub):
    messages = queue.Queue()
    device.on_message_received = messages.put
    iothub.send("test-device", {"on": True}, messageId="m1", properties={"color": "red"})
    message = messages.get(timeout=PATIENCE)
    assert json.loads(message.data) == {"on": True}
    assert (message.message_id, message.custom_properties) == ("m1", {"color": "red"})
    iothub.expect(kind="devicebound", messageId="m1", step="Success", timeout=PATIENCE)


def test_the_journal_tells_what_arrived(device, iothub):
    device.send_message(Message('{"t": 31}'))
    entry = iothub.expect(kind="event", deviceId="test-device", body={"t": 31})
    assert entry["endpoints"] == ["events"]
    with pytest.raises(EmulatorError, match='(?s)nothing like .*"kind":"connected"'):
        iothub.expect(kind="event", body="never", timeout=0.2)
    assert "twinRead" not in [entry["kind"] for entry in iothub.journal()]
    device.get_twin()
    assert [seen["kind"] for seen in iothub.journal(after=entry["number"])] == ["twinRead"]


def test_a_test_that_fails_shows_the_journal_of_its_hub(pytester, iothub_emulator, monkeypatch):
    monkeypatch.setenv("IOTHUB_EMULATOR_URL", iothub_emulator.url)
    pytester.makepyfile("def test_it(iothub_device): assert False")
    result = pytester.runpytest_inprocess("-p", "no:xdist")
    result.stdout.fnmatch_lines(["*journal of hub hub-*", '*"kind": "created"*'])


def test_hubs_know_nothing_of_each_other(iothub_emulator, iothub, iothub_device):
    with iothub_emulator.create_hub() as other:
        assert other.host_name != iothub.host_name
        back_end = IoTHubRegistryManager.from_connection_string(other.connection_string)
        with pytest.raises(Exception, match="Not Found"):
            back_end.get_device(iothub_device.id)


def test_what_cannot_be_done_is_said(iothub_emulator, iothub):
    with pytest.raises(EmulatorError, match="there is a hub .* already"):
        iothub_emulator.create_hub(iothub.name)


@pytest.mark.parametrize("number", range(20))
def test_many_in_parallel(number, device, iothub_connection_string):
    device.patch_twin_reported_properties({"number": number})
    back_end = IoTHubRegistryManager.from_connection_string(iothub_connection_string)
    assert back_end.get_twin("test-device").properties.reported["number"] == number


def test_a_device_gets_through_a_flaky_network(iothub, iothub_device_connection_string):
    client = IoTHubDeviceClient.create_from_connection_string(
        iothub_device_connection_string, keep_alive=2, connection_retry_interval=1
    )
    # The connection that is made first is not made again by this SDK.
    client.connect()
    with iothub.preset("flaky-network", seed=2):
        for number in range(20):
            client.send_message(str(number))
        assert sum(fault["hits"] for fault in iothub.faults()) > 0
    assert iothub.faults() == []
    client.shutdown()


@pytest.fixture
def patient_device(iothub_device_connection_string):
    """Notices within seconds that its connection is dead."""
    client = IoTHubDeviceClient.create_from_connection_string(
        iothub_device_connection_string, keep_alive=2, connection_retry_interval=1
    )
    client.connect()
    yield client
    client.shutdown()


@pytest.fixture
def eager_device(iothub_device_connection_string):
    """Comes back within a second, and takes no slow machine for a dead connection."""
    client = IoTHubDeviceClient.create_from_connection_string(
        iothub_device_connection_string, connection_retry_interval=1
    )
    client.connect()
    yield client
    client.shutdown()


def test_a_device_recovers_from_a_connection_that_went_silent(patient_device, iothub):
    with iothub.fault(operation="sendEvent", error="halfOpen", count=1):
        patient_device.send_message("sent again when the keep-alive has found out")
        assert [fault["hits"] for fault in iothub.faults()] == [1]
    iothub.expect(kind="event", body="sent again when the keep-alive has found out")


def test_a_message_is_there_twice_if_its_acknowledgement_is_lost(eager_device, iothub):
    with iothub.fault(operation="sendEvent", error="answerLost", count=1):
        sending = threading.Thread(target=eager_device.send_message, args=("twice",))
        sending.start()
        iothub.expect(kind="event", body="twice", timeout=PATIENCE)
        assert sending.is_alive(), "the message was acknowledged"
        iothub.disconnect("test-device")
        sending.join(PATIENCE)
        assert not sending.is_alive(), "the message was not sent again"
    assert [entry["body"] for entry in iothub.journal() if entry["kind"] == "event"] == ["twice"] * 2
