"""The back end of the tutorial with Microsoft's SDK: asks a device for a configuration, and waits
until the device reports it.

Which hub, device and configuration: IOTHUB_CONNECTION_STRING, DEVICE_ID, SEND_FREQUENCY. The
certificate to trust: REQUESTS_CA_BUNDLE.
"""

import os
import sys
import time

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import Twin, TwinProperties

PATIENCE = 60


def ask(hub, device, send_frequency):
    """Desires a configuration with the next id, and gives it."""
    twin = hub.get_twin(device)
    config_id = twin.properties.desired.get("configId", 0) + 1
    wanted = {"configId": config_id, "sendFrequency": send_frequency}
    # Only if nobody else has asked meanwhile.
    hub.update_twin(device, Twin(properties=TwinProperties(desired=wanted)), twin.etag)
    return wanted


def wait(hub, device, wanted):
    """Tells what the device reports, until it is what was wanted; whether it came to that."""
    last = None
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        reported = hub.get_twin(device).properties.reported
        now = {name: value for name, value in reported.items() if not name.startswith("$")}
        if now != last:
            print(device, "reports", now)
        if all(now.get(name) == value for name, value in wanted.items()):
            return True
        last = now
        time.sleep(0.5)
    return False


def main():
    hub = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])
    device = os.environ.get("DEVICE_ID", "tutorial")
    wanted = ask(hub, device, os.environ.get("SEND_FREQUENCY", "5m"))
    print("asked", device, "for", wanted)
    if not wait(hub, device, wanted):
        print("not agreed after", PATIENCE, "s")
        return 1
    print("agreed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
