"""A running emulator: one that is started here, or one that runs already."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional

from .hub import Hub

START_SECONDS = 30
STOP_SECONDS = 10
ANSWER_SECONDS = 30
#: What Python's and Node's TLS, requests and gRPC look at to learn whom to trust.
TRUST_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


class EmulatorError(Exception):
    """The emulator does not start, or does not do what was asked."""


class Emulator:
    """An emulator. Use it in a ``with`` block, or call :meth:`stop`."""

    def __init__(self, url: str, token: Optional[str] = None) -> None:
        """An emulator that runs already, by the address of its harness API."""
        self.url = url.rstrip("/")
        self._token = token
        self._process: Optional["subprocess.Popen[str]"] = None
        self._folder = tempfile.mkdtemp(prefix="iothub-emulator-")
        self.ca_file = str(Path(self._folder) / "ca.pem")

    @classmethod
    def start(cls, binary: Optional[str] = None) -> "Emulator":
        """Starts an emulator on free ports; it ends with this object.

        The program is ``binary``, or what the variable ``IOTHUB_EMULATOR_BINARY`` names, or
        ``iothub-emulator`` on the path.
        """
        named = binary or os.environ.get("IOTHUB_EMULATOR_BINARY") or "iothub-emulator"
        program = shutil.which(named)
        if program is None:
            raise EmulatorError(
                f"there is no program {named!r}: install the emulator, or name it with "
                "IOTHUB_EMULATOR_BINARY"
            )
        emulator = cls("")
        try:
            emulator._launch(program)
        except BaseException:
            emulator.stop()
            raise
        return emulator

    def _launch(self, program: str) -> None:
        ports = [f"--{name}-port=0" for name in ("mqtts", "amqps", "https", "admin")]
        state = str(Path(self._folder) / "state")
        # What is set for people's own emulators must not change this one.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("IOTHUB_")}
        self._process = subprocess.Popen(
            [program, "run", *ports, "--state-dir", state],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        found: List[str] = []

        def read(lines: Any) -> None:
            # To the end, so that the program never waits for a reader.
            for line in lines:
                match = re.match(r"\s*Harness\s+(http://\S+)", line)
                if match:
                    found.append(match.group(1))
                    known.set()
            known.set()

        known = threading.Event()
        threading.Thread(target=read, args=(self._process.stdout,), daemon=True).start()
        if not known.wait(START_SECONDS) or not found:
            raise EmulatorError(f"{program} does not start; what it wrote to stderr says why")
        self.url = found[0]

    def stop(self) -> None:
        """Ends the emulator if it was started here."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create_hub(
        self,
        name: Optional[str] = None,
        keys: str = "random",
        seed: Optional[Mapping[str, Any]] = None,
        routing: Optional[Mapping[str, Any]] = None,
    ) -> Hub:
        """Makes a hub at an address of its own (on Linux) so that every SDK finds it; empty, or with
        what a snapshot says; with routes, as ``routing`` in a snapshot has them."""
        wanted = {"name": name, "keys": keys, "seed": seed, "routing": routing}
        said = {field: value for field, value in wanted.items() if value is not None}
        return Hub(self, self.ask("POST", "/hubs", said))

    def hubs(self) -> List[Hub]:
        """All hubs."""
        return [Hub(self, facts) for facts in self.ask("GET", "/hubs")]

    @contextlib.contextmanager
    def trusted(self) -> Iterator[str]:
        """Makes the SDKs in this process, and those it starts, trust the emulator meanwhile.

        They trust nobody else then. Gives the file with the certificate, for SDKs that have to be
        told: ``EventHubConsumerClient(…, connection_verify=file)``.
        """
        Path(self.ca_file).write_bytes(self.ca_pem().encode())
        before = {name: os.environ.get(name) for name in TRUST_VARIABLES}
        os.environ.update({name: self.ca_file for name in TRUST_VARIABLES})
        try:
            yield self.ca_file
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def ca_pem(self) -> str:
        """The certificate to trust."""
        return self._send("GET", "/ca.pem", None).decode()

    def ask(
        self, method: str, path: str, body: Any = None, timeout: float = ANSWER_SECONDS
    ) -> Any:
        """A request to the harness API, for what has no method here."""
        answer = self._send(method, path, body, timeout)
        return json.loads(answer) if answer else None

    def _send(
        self, method: str, path: str, body: Any, timeout: float = ANSWER_SECONDS
    ) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        # No proxy stands between a test and its emulator.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise EmulatorError(f"{method} {path}: {_message(error)}") from None
        except urllib.error.URLError as error:
            raise EmulatorError(f"no emulator answers at {self.url}: {error.reason}") from None


def _message(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {text}"
