"""The example of docker-compose.python.yml: its back end, run as its container runs it."""

import os
import subprocess
import sys
import threading

from azure.iot.device import IoTHubDeviceClient
from harness import Device, case, equal, main, plain

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
FOLDER = os.path.join(ROOT, "examples", "python-back-end")


def back_end(device, **variables):
    """Starts the back end."""
    environment = dict(os.environ, DEVICE_ID=device.id, **variables)
    command = [sys.executable, "-u", os.path.join(FOLDER, "back_end.py")]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def agreeing(device):
    """A device that applies whatever is desired."""
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.connect()

    def apply(patch):
        client.patch_twin_reported_properties(plain(patch))

    client.on_twin_desired_properties_patch_received = apply
    return client


@case
def the_back_end_waits_until_the_device_agrees():
    device = Device()
    client = agreeing(device)
    for config_id, frequency in [(1, "5m"), (2, "1m")]:
        said, _ = back_end(device, SEND_FREQUENCY=frequency).communicate(timeout=60)
        lines = said.splitlines()
        wanted = {"configId": config_id, "sendFrequency": frequency}
        equal(lines[0], "asked {} for {}".format(device.id, wanted), "first line")
        equal(lines[-2], "{} reports {}".format(device.id, wanted), "last report")
        equal(lines[-1], "agreed", "last line")
        equal(plain(device.twin().properties.reported), wanted, "reported")
    client.shutdown()


@case
def the_back_end_waits_for_a_device_that_comes_later():
    device = Device()
    waiting = back_end(device)
    first = waiting.stdout.readline()
    assert first.startswith("asked {} for".format(device.id)), first
    equal(waiting.stdout.readline(), "{} reports {{}}\n".format(device.id), "report")
    client = agreeing(device)
    client.patch_twin_reported_properties(plain(client.get_twin()["desired"]))
    threading.Timer(60, waiting.kill).start()
    assert waiting.stdout.read().endswith("agreed\n")
    equal(waiting.wait(), 0, "exit code")
    client.shutdown()


@case
def the_packages_are_those_that_the_sdks_are_tested_with():
    def pins(*path):
        with open(os.path.join(*path)) as file:
            return {line.strip() for line in file if line.strip() and not line.startswith("#")}

    example = pins(FOLDER, "requirements.txt")
    assert example and example <= pins(ROOT, "tests", "sdk", "python", "requirements.txt"), example


main()
