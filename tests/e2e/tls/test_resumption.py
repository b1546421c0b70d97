# SPDX-License-Identifier: MIT
"""TLS sessions that are resumed with a ticket (RFC 8446 §2.2), and those that are not."""
import socket
import ssl
import subprocess

import pytest

from helpers import PATIENCE, UPGRADE, request
from page_files import served
from server_control import reload

ASK = request(served("icon.svg"), {"Host": "127.0.0.1"})
LAST = request("/", {"Host": "127.0.0.1", "Connection": "close"})


@pytest.fixture
def context():
    """One browser: tickets belong to a context."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def visit(server, context, session=None, ask=ASK, status=b"200"):
    """Whether the session was resumed, the next session, and the certificate that was shown."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as client:
            client.sendall(ask)
            assert client.recv(100).startswith(b"HTTP/1.1 " + status)  # the ticket came before it
            return client.session_reused, client.session, client.getpeercert(True)


def test_a_websocket_resumes_the_session_of_the_page(serve, context):
    """And each connection gets a new ticket, for the next one."""
    server = serve(SSL=True)
    reused, session, _ = visit(server, context)
    assert not reused
    for _ in range(3):
        reused, next_one, _ = visit(server, context, session, request("/", UPGRADE), b"101")
        assert reused
        assert next_one.id != session.id
        session = next_one


def test_nobody_resumes_under_another_certificate(serve, context):
    """A reload makes new keys, even with the same certificate; the handshake is a full one then."""
    server = serve(SSL=True)
    _, session, first = visit(server, context)
    reload(server, max_clients=99)
    reused, session, second = visit(server, context, session)
    assert not reused and first == second
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    files = ["-keyout", str(server.folder / "k.pem"), "-out", str(server.folder / "c.crt")]
    subprocess.run([*make.split(), *files], check=True, capture_output=True, timeout=PATIENCE)
    reload(server, SSL_Cert="c.crt", SSL_Key="k.pem")
    reused, session, third = visit(server, context, session)
    assert not reused and third != second
    assert visit(server, context, session)[0], "the new one can be resumed"


def test_a_ticket_of_another_server_is_worth_nothing(serve, context):
    _, session, _ = visit(serve(SSL=True), context)
    assert not visit(serve(SSL=True), context, session)[0]


def s_client(server, *arguments):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *arguments]
    done = subprocess.run(
        command, input=LAST, capture_output=True, timeout=PATIENCE, check=False
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def test_no_early_data_and_one_ticket(serve, tmp_path):
    """With early data a request could be replayed (RFC 8446 §8)."""
    server, saved = serve(SSL=True), tmp_path / "session"
    said = s_client(server, "-ign_eof", "-sess_out", str(saved))
    assert said.count("Post-Handshake New Session Ticket arrived") == 1
    assert "Max Early Data: 0" in said
    again = s_client(server, "-ign_eof", "-sess_in", str(saved))
    assert "Reused, TLSv1.3" in again and "Early data was not sent" in again


def test_a_session_of_tls12_is_not_resumed(serve, context):
    server = serve(SSL=True)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    _, session, _ = visit(server, context)
    assert not visit(server, context, session)[0]
