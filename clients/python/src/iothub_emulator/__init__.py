"""An Azure IoT Hub of its own for every test, from the IoT Hub emulator.

    from iothub_emulator import Emulator

    with Emulator.start() as emulator, emulator.trusted():
        with emulator.create_hub() as hub:
            device = hub.create_device("dev1")
            IoTHubDeviceClient.create_from_connection_string(device.connection_string)
"""

from .emulator import Emulator, EmulatorError
from .hub import Device, Hub

__all__ = ["Device", "Emulator", "EmulatorError", "Hub"]
