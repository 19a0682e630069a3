"""What the cases share: the hub under test, devices of their own, waiting without sleeping long.

A script registers its cases with `@case` and ends with `main()`. Each case that holds prints
`ok <name>`; the exit code is 0 only if all of them hold. Names given as arguments select cases.

The hub comes from the environment alone, as it would for a user:
`IOTHUB_CONNECTION_STRING`, `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`.
"""

import asyncio
import base64
import faulthandler
import gc
import inspect
import os
import queue
import socket
import ssl
import sys
import time
import traceback
import uuid

from azure.iot.device import IoTHubDeviceClient
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import Twin, TwinProperties
from msrest.exceptions import HttpOperationError

CONNECTION_STRING = os.environ["IOTHUB_CONNECTION_STRING"]
HOST = dict(part.split("=", 1) for part in CONNECTION_STRING.split(";"))["HostName"]
# No case needs a tenth of it on an idle machine.
PATIENCE = 60

_cases = []


def case(function):
    """Registers a case, in the order of the file."""
    _cases.append(function)
    return function


def main():
    """Runs the cases that were asked for, or all, and ends the program."""
    wanted = sys.argv[1:]
    failed = 0
    for function in _cases:
        if wanted and function.__name__ not in wanted:
            continue
        # Calls of the SDKs have no end of their own; this one says where they are, and ends the program.
        faulthandler.dump_traceback_later(4 * PATIENCE, exit=True)
        try:
            outcome = function()
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)
            print("ok", function.__name__, flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print("FAILED", function.__name__, flush=True)
    # The SDKs leave threads behind after a failure; the verdict does not wait for them.
    sys.stdout.flush()
    os._exit(1 if failed else 0)


def registry(shared_access_key=None):
    """The back end's client, with another key than the right one if one is given."""
    parts = dict(part.split("=", 1) for part in CONNECTION_STRING.split(";"))
    parts["SharedAccessKey"] = shared_access_key or parts["SharedAccessKey"]
    text = ";".join("=".join(part) for part in parts.items())
    return IoTHubRegistryManager.from_connection_string(text)


def key(fill):
    """A key of 32 equal bytes, so that a failure shows which one it was."""
    return base64.b64encode(bytes([fill]) * 32).decode()


class Device:
    """A device that was created for one case."""

    def __init__(self, status="enabled", name=None):
        self.id = name or "py-" + uuid.uuid4().hex[:12]
        self.primary, self.secondary = key(1), key(2)
        self.identity = registry().create_device_with_sas(
            self.id, self.primary, self.secondary, status
        )

    def connection_string(self, device_key=None):
        """What the device connects with; by default with its primary key."""
        return "HostName={};DeviceId={};SharedAccessKey={}".format(
            HOST, self.id, device_key or self.primary
        )

    def twin(self):
        """The twin as the back end sees it now."""
        return registry().get_twin(self.id)

    def desire(self, desired, etag=None):
        """Patches the desired properties."""
        patch = Twin(properties=TwinProperties(desired=desired))
        return registry().update_twin(self.id, patch, etag)


def listening(device):
    """A client that is connected, and the cloud-to-device messages that come to it."""
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    messages = queue.Queue()
    client.on_message_received = messages.put
    client.connect()
    return client, messages


def plain(properties):
    """Properties without `$metadata` and `$version`."""
    return {name: value for name, value in properties.items() if not name.startswith("$")}


def equal(actual, expected, what="value"):
    """Fails, showing both, unless they are equal."""
    assert actual == expected, "{} is {!r}, expected {!r}".format(what, actual, expected)


def eventually(condition, what):
    """Waits until `condition()` is true, and returns what it gave."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        outcome = condition()
        if outcome:
            return outcome
        time.sleep(0.02)
    raise AssertionError("waited {} s for: {}".format(PATIENCE, what))


def take(items, what):
    """The next item of a queue."""
    try:
        return items.get(timeout=PATIENCE)
    except queue.Empty:
        raise AssertionError("waited {} s for: {}".format(PATIENCE, what)) from None


def empty(items, seconds, what):
    """Fails if something arrives in that time."""
    try:
        item = items.get(timeout=seconds)
    except queue.Empty:
        return
    raise AssertionError("{}: got {!r}".format(what, item))


def refused(status, code, call, *arguments, **named):
    """Makes a registry call that must fail with this status and error code, in the service's shape."""
    try:
        outcome = call(*arguments, **named)
    except HttpOperationError as error:
        response = error.response
        equal(response.status_code, status, "status")
        equal(response.headers.get("iothub-errorcode"), code, "header iothub-errorcode")
        body = response.json()
        assert body["Message"].startswith("ErrorCode:{};".format(code)), body
        assert body["ExceptionMessage"].startswith("Tracking ID:"), body
        return body
    raise AssertionError("answered {!r}, expected status {} {}".format(outcome, status, code))


def raises(kind, call, *arguments):
    """Makes a call that must raise exactly `kind`, and returns the error."""
    try:
        outcome = call(*arguments)
    except kind as error:
        assert type(error) is kind, "raised {!r}, expected {}".format(error, kind.__name__)
        return error
    raise AssertionError("returned {!r}, expected {}".format(outcome, kind.__name__))


def cut_connections(port=8883):
    """Cuts every connection of this process to a port as a network would: no DISCONNECT is sent.

    The SDK has no such call, so the sockets are looked up where every live object is.
    """
    cut = 0
    for candidate in gc.get_objects():
        # not isinstance: that would wake every lazy proxy among them
        if type(candidate) is ssl.SSLSocket and candidate.fileno() >= 0:
            try:
                if candidate.getpeername()[1] == port:
                    candidate.shutdown(socket.SHUT_RDWR)
                    cut += 1
            except OSError:
                continue
    assert cut, "there is no connection to cut"
