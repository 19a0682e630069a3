"""azure-iot-device with certificates: thumbprints, authorities, and what is refused."""

import os
import re
import subprocess

from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient, X509
from azure.iot.device.exceptions import CredentialError
from certificates import Workshop
from harness import HOST, Device, case, equal, main, plain, raises, registry

workshop = Workshop()
root = workshop.self_signed("root")


def emulator(*arguments):
    """Runs the emulator's own command line, which stands for Azure's management plane."""
    command = (os.environ["IOTHUB_EMULATOR"],) + arguments
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def client(device_id, party, **options):
    """A client that shows a certificate."""
    return IoTHubDeviceClient.create_from_x509_certificate(
        x509=X509(cert_file=party.certificate, key_file=party.key),
        hostname=HOST,
        device_id=device_id,
        connection_retry=False,
        **options
    )


def report(client):
    """Connects, reports something, and gives what the twin says of it."""
    client.connect()
    client.send_message("hello")
    client.patch_twin_reported_properties({"by": "certificate"})
    reported = plain(client.get_twin()["reported"])
    client.shutdown()
    return reported


def by_thumbprint(name, primary, secondary):
    registry().create_device_with_x509(name, primary, secondary, "enabled")


def by_authority(name):
    registry().create_device_with_certificate_authority(name, "enabled")


@case
def thumbprints_let_a_device_in():
    one, other = workshop.self_signed("one"), workshop.self_signed("other")
    by_thumbprint("thumb-1", one.thumbprint("sha1"), other.thumbprint("sha1"))
    by_thumbprint("thumb-256", one.thumbprint("sha256").lower(), other.thumbprint("sha256"))
    for name in ("thumb-1", "thumb-256"):
        for party in (one, other):
            for websockets in (False, True):
                reported = report(client(name, party, websockets=websockets))
                equal(reported, {"by": "certificate"}, "reported")
    raises(CredentialError, client("thumb-1", root).connect)


@case
def an_authority_is_verified_and_lets_its_devices_in():
    by_authority("ca-1")
    party = workshop.issued(root, "ca-1")
    raises(CredentialError, client("ca-1", party).connect)
    told = emulator("x509", "ca", "add", root.certificate, "--name", "root")
    raises(CredentialError, client("ca-1", party).connect)
    code = re.search("verification code: ([0-9A-F]+)", told).group(1)
    proof = workshop.issued(root, code)
    emulator("x509", "ca", "verify", "root", proof.certificate)
    for websockets in (False, True):
        equal(report(client("ca-1", party, websockets=websockets)), {"by": "certificate"}, "reported")


@case
def certificates_that_do_not_fit_are_refused():
    by_authority("ca-2")
    stranger = workshop.self_signed("root")
    for party in (
        workshop.issued(root, "ca-1"),
        workshop.issued(root, "ca-2", days=-1),
        workshop.issued(stranger, "ca-2"),
        workshop.self_signed("ca-2"),
    ):
        raises(CredentialError, client("ca-2", party).connect)
    equal(report(client("ca-2", workshop.issued(root, "ca-2"))), {"by": "certificate"}, "reported")


@case
def a_key_does_not_open_a_device_with_a_certificate():
    by_authority("ca-3")
    device = Device()
    text = "HostName={};DeviceId=ca-3;SharedAccessKey={}".format(HOST, device.primary)
    with_key = IoTHubDeviceClient.create_from_connection_string(text, connection_retry=False)
    raises(CredentialError, with_key.connect)
    # and the other way round
    raises(CredentialError, client(device.id, workshop.issued(root, device.id)).connect)


@case
def a_module_has_a_certificate_of_its_own():
    by_authority("ca-4")
    registry().create_module_with_certificate_authority("ca-4", "mod", "test")
    party = workshop.issued(root, "ca-4/mod")
    module = IoTHubModuleClient.create_from_x509_certificate(
        x509=X509(cert_file=party.certificate, key_file=party.key),
        hostname=HOST,
        device_id="ca-4",
        module_id="mod",
        connection_retry=False,
    )
    equal(report(module), {"by": "certificate"}, "reported")
    raises(CredentialError, client("ca-4", party).connect)


main()
