"""A hub that the emulator serves, and its devices."""

import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional

if TYPE_CHECKING:
    from .emulator import Emulator

API_VERSION = "2021-04-12"
TOKEN_SECONDS = 3600
ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Device:
    """A device in the identity registry."""

    id: str
    connection_string: str


class Hub:
    """A hub. Use it in a ``with`` block, or call :meth:`delete`."""

    def __init__(self, emulator: "Emulator", facts: Mapping[str, Any]) -> None:
        self._emulator = emulator
        self.name: str = facts["name"]
        #: What clients call it, without a port.
        self.host_name: str = facts["hostName"]
        #: ``mqtts``, ``amqps``, ``https``.
        self.ports: Dict[str, int] = dict(facts["ports"])
        #: By the name of the policy.
        self.connection_strings: Dict[str, str] = dict(facts["connectionStrings"])
        self.event_hub_connection_string: str = facts["eventHubConnectionString"]
        #: Of the further event hubs that its routes go to, by their names, as it was made.
        self.event_hub_connection_strings: Dict[str, str] = dict(
            facts["eventHubConnectionStrings"]
        )

    @property
    def connection_string(self) -> str:
        """That of the policy ``iothubowner``, which may do everything."""
        return self.connection_strings["iothubowner"]

    def reset(self) -> None:
        """Makes the hub what it was in the beginning; address and keys stay."""
        self._emulator.ask("POST", f"/hubs/{self.name}/reset")

    def snapshot(self) -> Dict[str, Any]:
        """All that the hub holds: its devices, twins, modules, configurations and routes."""
        taken: Dict[str, Any] = self._emulator.ask("GET", f"/hubs/{self.name}/snapshot")
        return taken

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Makes the hub hold what a snapshot says, of this hub or another, or one written by hand;
        its connections end, address and keys stay."""
        self._emulator.ask("POST", f"/hubs/{self.name}/restore", snapshot)

    def advance(self, seconds: float) -> None:
        """Moves the hub's clock on; what is due until then has happened when this returns."""
        self._emulator.ask("POST", f"/hubs/{self.name}/clock", {"advance": seconds})

    def freeze(self, frozen: bool = True) -> None:
        """Stops the hub's clock, or lets it run on."""
        self._emulator.ask("POST", f"/hubs/{self.name}/clock", {"frozen": frozen})

    def connections(self) -> List[Dict[str, Any]]:
        """Who is connected: ``deviceId``, ``protocol``, ``since``, ``subscriptions`` and so on."""
        found: List[Dict[str, Any]] = self._emulator.ask("GET", f"/hubs/{self.name}/connections")
        return found

    def disconnect(self, device_id: str) -> None:
        """Ends the connection of a device, which may come back at once."""
        path = urllib.parse.quote(device_id, safe="")
        self._emulator.ask("DELETE", f"/hubs/{self.name}/connections/{path}")

    def send(self, device_id: str, body: Any = "", **message: Any) -> None:
        """Sends a cloud-to-device message; a text as it is, everything else as JSON. More of it:
        ``properties``, ``messageId``, ``contentType``, ``ack``, ``expiry`` and so on."""
        path = f"/hubs/{self.name}/devicebound/{urllib.parse.quote(device_id, safe='')}"
        self._emulator.ask("POST", path, {"body": body, **message})

    def show_certificate(self, kind: str = "good") -> None:
        """Shows another certificate from the next TLS handshake on: ``expired``, ``notYetValid``,
        ``selfSigned``, ``wrongName``, ``wrongAuthority``, or ``good`` again."""
        self._emulator.ask("POST", f"/hubs/{self.name}/certificate", {"kind": kind})

    @contextlib.contextmanager
    def fault(self, **fault: Any) -> Iterator[int]:
        """Lets operations fail or take long in this block: ``operation``, ``protocol``, ``device``,
        ``route``, ``error``, ``status``, ``delay``, ``after``, ``duration``, ``count``,
        ``percent``, ``seed``. Gives the number of the fault."""
        added = self._emulator.ask("POST", f"/hubs/{self.name}/faults", fault)
        try:
            yield added["id"]
        finally:
            self._emulator.ask("DELETE", f"/hubs/{self.name}/faults/{added['id']}")

    @contextlib.contextmanager
    def preset(self, name: str, seed: int = 0) -> Iterator[List[int]]:
        """Adds the faults of a preset in this block: ``flaky-network``, ``throttled-s1``,
        ``hub-failover``. Gives their numbers."""
        body = {"preset": name, "seed": seed}
        added = self._emulator.ask("POST", f"/hubs/{self.name}/faults", body)
        try:
            yield [fault["id"] for fault in added]
        finally:
            for fault in added:
                self._emulator.ask("DELETE", f"/hubs/{self.name}/faults/{fault['id']}")

    def faults(self) -> List[Dict[str, Any]]:
        """The faults, and how many operations each has struck: ``hits``."""
        found: List[Dict[str, Any]] = self._emulator.ask("GET", f"/hubs/{self.name}/faults")
        return found

    def journal(self, after: int = 0) -> List[Dict[str, Any]]:
        """What arrived and what was decided, behind the entry with the number ``after``."""
        path, found = f"/hubs/{self.name}/journal?after=", []
        while True:
            page = self._emulator.ask("GET", f"{path}{after}")
            found.extend(page["entries"])
            if not page["more"]:
                return found
            after = page["last"]

    def expect(self, timeout: float = 10, after: int = 0, **match: Any) -> Dict[str, Any]:
        """Waits until the journal has an entry that has all of this, and gives it::

            hub.expect(kind="event", deviceId="dev1", body={"t": 31})

        If none comes in time, the error shows the last entries instead.
        """
        wanted = {"match": match, "timeout": timeout, "after": after}
        path = f"/hubs/{self.name}/journal/expect"
        patience = timeout + ANSWER_SECONDS
        entry: Dict[str, Any] = self._emulator.ask("POST", path, wanted, patience)
        return entry

    def delete(self) -> None:
        """Ends the hub and its connections."""
        self._emulator.ask("DELETE", f"/hubs/{self.name}")

    def __enter__(self) -> "Hub":
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    def create_device(self, device_id: str) -> Device:
        """Puts a device with a key into the registry."""
        identity = {"deviceId": device_id, "authentication": {"type": "sas"}}
        path = f"/devices/{urllib.parse.quote(device_id, safe='')}"
        key = self._put(path, identity)["authentication"]["symmetricKey"]["primaryKey"]
        text = f"HostName={self.host_name};DeviceId={device_id};SharedAccessKey={key}"
        return Device(device_id, text)

    def _put(self, path: str, body: Any) -> Any:
        url = f"https://{self.host_name}:{self.ports['https']}{path}?api-version={API_VERSION}"
        request = urllib.request.Request(url, data=json.dumps(body).encode(), method="PUT")
        request.add_header("Authorization", self._token())
        request.add_header("Content-Type", "application/json")
        trust = ssl.create_default_context(cadata=self._emulator.ca_pem())
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            return json.loads(answer.read())

    def _token(self, now: Optional[float] = None) -> str:
        fields = dict(part.split("=", 1) for part in self.connection_string.split(";"))
        expiry = int(time.time() if now is None else now) + TOKEN_SECONDS
        resource = urllib.parse.quote(self.host_name, safe="")
        key = base64.b64decode(fields["SharedAccessKey"])
        digest = hmac.new(key, f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
        signature = urllib.parse.quote(base64.b64encode(digest), safe="")
        policy = fields["SharedAccessKeyName"]
        return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={policy}"
