"""X.509 certificates for the cases, made as a user makes them: with openssl."""

import hashlib
import ssl
import subprocess
import tempfile
import uuid
from pathlib import Path


class Party:
    """Somebody who has a certificate and its key, in files."""

    def __init__(self, folder):
        name = uuid.uuid4().hex
        self.certificate = str(folder / (name + ".pem"))
        self.key = str(folder / (name + "-key.pem"))

    def thumbprint(self, algorithm):
        """The thumbprint of the certificate, in capitals."""
        with open(self.certificate) as file:
            der = ssl.PEM_cert_to_DER_cert(file.read())
        return hashlib.new(algorithm, der).hexdigest().upper()


class Workshop:
    """Makes certificates in a folder of its own."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="x509-"))

    def self_signed(self, name, days=30):
        """A certificate that names itself as its issuer; openssl makes it one of an authority."""
        party = Party(self.folder)
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + name,
                      "-days", str(days), "-keyout", party.key, "-out", party.certificate)
        return party

    def issued(self, issuer, name, days=30):
        """A certificate by an issuer, without extensions: openssl makes it version 1."""
        party = Party(self.folder)
        request = party.certificate + ".csr"
        self._openssl("req", "-new", "-newkey", "rsa:2048", "-nodes",
                      "-subj", "/CN=" + name.replace("/", "\\/"),
                      "-keyout", party.key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", issuer.certificate,
                      "-CAkey", issuer.key, "-CAcreateserial", "-days", str(days),
                      "-out", party.certificate)
        return party

    def _openssl(self, *arguments):
        subprocess.run(("openssl",) + arguments, check=True, capture_output=True, text=True)
