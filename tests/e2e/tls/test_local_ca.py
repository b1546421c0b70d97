# SPDX-License-Identifier: MIT
"""The local CA as verified by OpenSSL, GnuTLS, Java and NSS, in real handshakes.

Each trusts ragnarok-ca.crt, like users who installed it. The thief has ragnarok-ca.pem.

OPENSSL  openssl(1); default: openssl
"""
import contextlib
import datetime
import functools
import ipaddress
import os
import re
import socket
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from helpers import PATIENCE, SCALE, Raw, Server, request

OPENSSL = os.environ.get("OPENSSL", "openssl")
JVM_PATIENCE = 60 * max(SCALE, 1)
HOST = socket.gethostname().partition(".")[0]


# ---- Clients ---------------------------------------------------------------------------------------


def run(*command, patience=PATIENCE, text=b""):
    done = subprocess.run(
        command,
        input=text.decode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patience,
        check=False,
    )
    return done.returncode, done.stdout


def is_address(host):
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def openssl(root, targets):
    for host, port in targets:
        kind = "-verify_ip" if is_address(host) else "-verify_hostname"
        status, said = run(
            OPENSSL, "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", root, "-x509_strict",
            "-verify_return_error", kind, host,
        )  # fmt: skip
        yield status == 0 and "Verify return code: 0 (ok)" in said, said


def gnutls(root, targets):
    for host, port in targets:
        status, said = run(
            "gnutls-cli", "--x509cafile", root, "--verify-hostname", host, "--port", str(port),
            "127.0.0.1",
        )  # fmt: skip
        yield status == 0 and "- Handshake was completed" in said, said


def java(root, targets):
    arguments = [text for host, port in targets for text in (host, str(port))]
    program = str(Path(__file__).with_name("Handshake.java"))
    _, said = run("java", program, root, *arguments, patience=JVM_PATIENCE)
    lines = said.splitlines()
    assert len(lines) == len(targets), said
    for line in lines:
        yield line == "ok", line


def nss(root, targets):
    """NSS's own verifier. Firefox has another one, mozilla::pkix."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"sql:{folder}"
        run("certutil", "-N", "-d", store, "--empty-password")
        run("certutil", "-A", "-d", store, "-n", "root", "-t", "C,,", "-i", root)
        for host, port in targets:
            status, said = run(
                "tstclnt", "-h", "127.0.0.1", "-a", host, "-p", str(port), "-d", store, "-Q",
                text=request(),
            )  # fmt: skip
            yield status == 0 and "failed" not in said, said


# For each: its error for a name outside the constraints, and for a CA below the intermediate.
CLIENTS = {
    openssl: ("permitted subtree violation", "path length constraint exceeded"),
    gnutls: ("violates the signer's constraints", "violates the signer's constraints"),
    java: ("name constraints check failed", "path.*basic constraints|basic constraints.*path"),
    nss: ("CERT_NOT_IN_NAME_SPACE", "PATH_LEN_CONSTRAINT_INVALID"),
}
each_client = pytest.mark.parametrize(
    "client",
    [
        pytest.param(client, marks=pytest.mark.xdist_group(f"authority-{client.__name__}"))
        for client in CLIENTS
    ],
    ids=[client.__name__ for client in CLIENTS],
)


# ---- A thief ---------------------------------------------------------------------------------------


def general_name(host):
    if is_address(host):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


HOUR = datetime.timedelta(hours=1)


def certificate(issuer, issuer_key, key, name, extensions, end=None):
    """A certificate signed by `issuer`; None: self-signed. Valid for an hour, or until `end`."""
    now = datetime.datetime.utcnow()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - HOUR)
        .not_valid_after(end or now + HOUR)
    )
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    mine = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    for extension, critical in [*extensions, (by, False), (mine, False)]:
        made = made.add_extension(extension, critical)
    return made.sign(issuer_key, hashes.SHA256())


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Thief:
    """Has the file ragnarok-ca.pem of a server, and runs servers with it.

    Each of them shows a certificate for `names`. Its common name is one that the CA may sign for,
    because some programs take it for another name of the server."""

    def __init__(self, server, folder):
        stolen = (server.folder / "ragnarok-ca.pem").read_bytes()
        self.signer = x509.load_pem_x509_certificate(stolen)
        self.signer_key = load_pem_private_key(stolen, None)
        self.folder, self.listeners = folder, []

    def leaf(self, names, common="localhost", issuer=None, issuer_key=None):
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        ]
        if names:
            names = x509.SubjectAlternativeName([general_name(name) for name in names])
            extensions.append((names, False))
        issuer, issuer_key = issuer or self.signer, issuer_key or self.signer_key
        return key, certificate(issuer, issuer_key, key, common, extensions)

    def serve(self, names, **options):
        key, leaf = self.leaf(names, **options)
        return self.listen(key, [leaf, self.signer])

    def serve_below(self, name, names):
        """A CA called `name`, which the thief puts below the intermediate."""
        sub_key = ec.generate_private_key(ec.SECP256R1())
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "crl_sign", "encipher_only", "decipher_only"), False
        )  # fmt: skip
        extensions = [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.KeyUsage(key_cert_sign=True, **usage), True),
        ]
        sub = certificate(self.signer, self.signer_key, sub_key, name, extensions)
        key, leaf = self.leaf(names, issuer=sub, issuer_key=sub_key)
        return self.listen(key, [leaf, sub, self.signer])

    def listen(self, key, chain):
        """Shows a chain on a port of 127.0.0.1 until close; returns the port."""
        path = self.folder / f"chain-{len(self.listeners)}.pem"
        shown = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
        path.write_bytes(private_pem(key) + shown)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=self.answer, args=(listener, context))
        thread.start()
        self.listeners.append((listener, thread))
        return listener.getsockname()[1]

    @staticmethod
    def answer(listener, context):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return  # closed
            peer.settimeout(JVM_PATIENCE)
            with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as tls:
                tls.unwrap()

    def close(self):
        for listener, thread in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(PATIENCE)


# ---- An authority that ends soon -------------------------------------------------------------------

DAY = datetime.timedelta(days=1)


def write_authority(folder, end):
    """Two CAs with the constraints that the server expects, in its two files."""
    limits = x509.NameConstraints(
        [general_name(name) for name in ("localhost", "local")]
        + [x509.IPAddress(ipaddress.ip_network(block)) for block in ("127.0.0.0/8", "::1/128")],
        None,
    )
    extensions = [(x509.BasicConstraints(ca=True, path_length=None), True), (limits, True)]
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certificate(None, root_key, root_key, "root", extensions, end)
    signer = certificate(root, root_key, key, "signer", extensions, end)
    (folder / "ragnarok-ca.crt").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "ragnarok-ca.pem").write_bytes(signer.public_bytes(Encoding.PEM) + private_pem(key))
    (folder / "ragnarok-ca.pem").chmod(0o600)


def test_an_authority_that_ends_soon_is_told_at_each_start_and_in_figures(serve, tmp_path):
    end = (datetime.datetime.utcnow() + 60 * DAY).replace(microsecond=0)
    write_authority(tmp_path, end)
    files = {"SSL_Cert": str(tmp_path / "a.crt"), "SSL_Key": str(tmp_path / "a.pem")}
    for _ in range(2):
        server = serve(SSL=True, **files)
        server.wait_printed(f"WARNING: .* ragnarok-ca.crt ends on {end:%Y-%m-%d %H:%M:%S} UTC")
        assert " warn authority warning=" in server.log()
        with Raw(server) as raw:
            figures = raw.exchange(request("/metrics", {"Host": "127.0.0.1"})).body.decode()
        seconds = int(end.replace(tzinfo=datetime.timezone.utc).timestamp())
        for name in ("authority", "certificate"):
            assert f"ragnarok_{name}_end_timestamp_seconds {seconds}\n" in figures
        server.finish()


def test_a_plain_server_has_no_end_of_a_certificate(serve):
    with Raw(serve()) as raw:
        figures = raw.exchange(request("/metrics", {"Host": "127.0.0.1"})).body.decode()
    assert "_end_timestamp_seconds" not in figures


# ---- Verdicts --------------------------------------------------------------------------------------

SITE = "www.example.com"
OURS = ("localhost", "127.0.0.1", f"{HOST}.local")
HOME = ("router.local", "192.168.1.1")
OUTSIDE = {
    "a site": (SITE, [SITE]),
    "an address": ("8.8.8.8", ["8.8.8.8"]),
    "an address of IPv6": ("2001:db8::1", ["2001:db8::1"]),
    "a site beside localhost": ("localhost", ["localhost", SITE]),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"), SSL=True)
    yield server
    server.finish()


@pytest.fixture(scope="module")
def verdicts(server, tmp_path_factory):
    """A client's verdicts on all cases, by name. Each runs once, because a JVM takes seconds to start."""
    thief = Thief(server, tmp_path_factory.mktemp("thief"))
    itself = thief.signer.subject.rfc4514_string().removeprefix("CN=")
    cases = {
        **{host: (host, server.port) for host in OURS},
        **{host: (host, thief.serve([host])) for host in HOME},
        **{case: (host, thief.serve(names)) for case, (host, names) in OUTSIDE.items()},
        "below": ("localhost", thief.serve_below("sub", ["localhost"])),
        "a site below": (SITE, thief.serve_below("sub", [SITE])),
        "a site below itself": (SITE, thief.serve_below(itself, [SITE])),
        "a common name": (SITE, thief.serve([], common=SITE)),
    }

    @functools.lru_cache(maxsize=None)
    def ask(client):
        return dict(zip(cases, client(str(server.root), list(cases.values()))))

    yield ask
    thief.close()


@each_client
@pytest.mark.parametrize("host", OURS)
def test_its_own_server_is_taken_by_each_of_its_names(verdicts, client, host):
    taken, said = verdicts(client)[host]
    assert taken, said


@each_client
@pytest.mark.parametrize("case", [*OUTSIDE, "a site below itself"])
def test_a_stolen_key_certifies_nothing_of_the_internet(verdicts, client, case):
    """Also if the constraints of a trust anchor are ignored (RFC 5280 §6.1.1), and below a CA with the
    issuer's own name, which path lengths do not count (§6.1.4)."""
    taken, said = verdicts(client)[case]
    assert not taken and re.search(CLIENTS[client][0], said), said


@each_client
@pytest.mark.parametrize("case", ["below", "a site below"])
def test_a_stolen_key_certifies_no_other_authority(verdicts, client, case):
    taken, said = verdicts(client)[case]
    assert not taken and re.search("|".join(CLIENTS[client]), said), said


@each_client
def test_a_stolen_key_certifies_nothing_by_a_common_name(verdicts, client):
    taken, said = verdicts(client)["a common name"]
    assert not taken, said


@each_client
@pytest.mark.parametrize("host", HOME)
def test_what_is_left_to_a_thief_is_the_home_network(verdicts, client, host):
    """So the other forgeries are not refused because they are badly made."""
    taken, said = verdicts(client)[host]
    assert taken, said
