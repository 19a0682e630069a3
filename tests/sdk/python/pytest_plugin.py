"""The pytest plugin in clients/python: installed by pip, in parallel, with the real SDKs."""

import os
import pathlib
import subprocess
import sys
import tempfile

CLIENT = pathlib.Path(__file__).resolve().parents[3] / "clients" / "python"

environment = dict(os.environ)
# The plugin makes the SDKs trust its own emulator; what this script was given must not help.
for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
    environment.pop(variable, None)
environment["IOTHUB_EMULATOR_BINARY"] = environment.pop("IOTHUB_EMULATOR")

with tempfile.TemporaryDirectory() as folder:
    # Built from a copy: pip leaves traces in the folder that it builds from.
    copy = pathlib.Path(folder) / "client"
    subprocess.run(["cp", "-r", str(CLIENT), str(copy)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    site = pathlib.Path(folder) / "site"
    subprocess.run([*pip, "--no-deps", "--target", str(site), str(copy)], check=True, env=environment)
    environment["PYTHONPATH"] = str(site)
    arguments = ["-m", "pytest", "-n", "2", "-v", "-p", "no:cacheprovider", str(copy / "tests")]
    run = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, cwd=folder
    )

print(run.stdout, file=sys.stderr)
print(run.stderr, file=sys.stderr)
for line in run.stdout.splitlines():
    # [gw0] [ 10%] PASSED client/tests/test_sdks.py::test_events_are_read
    words = line.split()
    for verdict, word in (("PASSED", "ok"), ("FAILED", "FAILED"), ("ERROR", "FAILED")):
        if verdict in words and words[0].startswith("["):
            print(word, words[-1].split("::")[-1])
sys.exit(run.returncode)
