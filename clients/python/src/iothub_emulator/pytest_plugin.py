"""Fixtures for pytest. Each test that asks for ``iothub`` has a hub of its own, also in parallel.

With the variable ``IOTHUB_EMULATOR_URL`` (and ``IOTHUB_EMULATOR_TOKEN`` from another machine) they
use an emulator that runs; without it each process of pytest starts one.
"""

import json
import os
from typing import Any, Generator, Iterator

import pytest

from .emulator import Emulator, EmulatorError
from .hub import Device, Hub


#: How much of the journal is shown of a test that failed.
SHOWN = 30


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Shows of a test that failed what its hub saw."""
    outcome = yield
    report = outcome.get_result()
    hub = getattr(item, "funcargs", {}).get("iothub")
    if report.when == "call" and report.failed and isinstance(hub, Hub):
        try:
            lines = [json.dumps(entry) for entry in hub.journal()[-SHOWN:]]
        except EmulatorError as error:
            lines = [str(error)]
        report.sections.append((f"journal of hub {hub.name}", "\n".join(lines)))


@pytest.fixture(scope="session")
def iothub_emulator() -> Iterator[Emulator]:
    """The emulator; the SDKs in this process trust it as long as the session lasts."""
    url = os.environ.get("IOTHUB_EMULATOR_URL")
    emulator = (
        Emulator(url, os.environ.get("IOTHUB_EMULATOR_TOKEN")) if url else Emulator.start()
    )
    with emulator, emulator.trusted():
        yield emulator


@pytest.fixture
def iothub(iothub_emulator: Emulator) -> Iterator[Hub]:
    """A hub with nothing in it, for this test only."""
    with iothub_emulator.create_hub() as hub:
        yield hub


@pytest.fixture
def iothub_device(iothub: Hub) -> Device:
    """A device of that hub."""
    return iothub.create_device("test-device")


@pytest.fixture
def iothub_connection_string(iothub: Hub) -> str:
    """The hub's connection string for back ends."""
    return iothub.connection_string


@pytest.fixture
def iothub_device_connection_string(iothub_device: Device) -> str:
    """The device's connection string."""
    return iothub_device.connection_string


@pytest.fixture
def iothub_ca_file(iothub_emulator: Emulator) -> str:
    """The certificate to trust, for SDKs that have to be told: azure-eventhub."""
    return iothub_emulator.ca_file
