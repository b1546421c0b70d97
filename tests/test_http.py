# SPDX-License-Identifier: MIT
"""HTTP end to end, on bare sockets: the handshake of RFC 6455 §4.2, and all that is not one."""
import socket
import ssl

import pytest

from helpers import PATIENCE, UPGRADE, V2, Raw, request


@pytest.fixture
def server(serve):
    return serve()


def ask(server, data):
    with Raw(server) as client:
        return client.exchange(data)


def assert_refused(response, status):
    """A refusal is whole, says why in plain text, and ends the connection (RFC 9112 §9.6)."""
    assert response.status == status, response.body
    assert response.fields["content-type"].startswith("text/plain")
    assert "close" in response.fields["connection"].lower().split(", ")
    assert int(response.fields["content-length"]) == len(response.body)
    assert response.body.startswith(str(status).encode())


def upgrade(target="/", **fields):
    """The request of an opening handshake; `_` in a name stands for `-`."""
    changes = {name.replace("_", "-"): value for name, value in fields.items()}
    return request(target, {**UPGRADE, **changes})


# ---- The handshake -------------------------------------------------------------------------------


def test_handshake_of_rfc6455_4_2_2(serve, tls):
    """The key and the answer are the RFC's own (§1.3)."""
    with Raw(serve(SSL=tls)) as client:
        client.send(upgrade())
        response = client.head()
    assert response.status == 101
    assert response.fields["upgrade"].lower() == "websocket"
    assert response.fields["connection"].lower() == "upgrade"
    assert response.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert "sec-websocket-protocol" not in response.fields
    assert "sec-websocket-extensions" not in response.fields


@pytest.mark.parametrize("offer", [V2, f"chat, {V2}", f"{V2},{V2}.next", f" chat ,\t{V2} "])
def test_subprotocol_is_chosen_rfc6455_4_2_2(server, offer):
    with Raw(server) as client:
        assert client.upgrade(protocol=offer).fields["sec-websocket-protocol"] == V2


@pytest.mark.parametrize("offer", ["chat", V2.upper(), f"{V2}.next", f"x{V2}"])
def test_subprotocol_is_not_guessed_rfc6455_4_2_2(server, offer):
    with Raw(server) as client:
        assert "sec-websocket-protocol" not in client.upgrade(protocol=offer).fields


def test_fields_in_any_case_and_order_rfc6455_4_2_1(server):
    head = (
        b"GET / HTTP/1.1\r\nsec-websocket-KEY:dGhlIHNhbXBsZSBub25jZQ==\r\nHOST: x\r\n"
        b"connection: keep-alive , UPGRADE\r\nsec-websocket-version:  13 \r\n"
        b"upgrade: WebSocket\r\n\r\n"
    )
    with Raw(server) as client:
        client.send(head)
        assert client.head().status == 101


def test_head_byte_by_byte(server):
    with Raw(server) as client:
        for byte in upgrade():
            client.send(bytes([byte]))
        assert client.head().status == 101


@pytest.mark.parametrize("version", ["8", "7, 8", "14", "013", ""])
def test_other_version_is_426_rfc6455_4_4(server, version):
    response = ask(server, upgrade(Sec_WebSocket_Version=version))
    assert_refused(response, 426)
    assert response.fields["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    "key",
    ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==x", "dGhl", "!" * 22 + "==", None],
)
def test_bad_key_is_400_rfc6455_4_2_1(server, key):
    assert_refused(ask(server, upgrade(Sec_WebSocket_Key=key)), 400)


# ---- Plain requests ------------------------------------------------------------------------------


def test_page(serve, tls):
    response = ask(serve(SSL=tls), request("/", {"Host": "127.0.0.1"}))
    assert response.status == 200
    assert response.fields["content-type"].startswith("text/")
    assert int(response.fields["content-length"]) == len(response.body) > 100
    assert b"ragnarok" in response.body.lower()


def test_one_request_per_connection_rfc9112_9_6(server):
    """A second one in the same segment is not answered."""
    one = request("/", {"Host": "127.0.0.1"})
    response = ask(server, one + one)
    assert response.status == 200
    assert int(response.fields["content-length"]) == len(response.body)


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "get", "BREW"])
def test_other_method_is_405_rfc9110_15_5_6(server, method):
    with Raw(server) as client:
        client.send(request("/", {"Host": "127.0.0.1"}, method=method))
        response = client.head()
    assert response.status == 405
    assert response.fields["allow"] == "GET"


BAD_HEADS = {
    "no-host-rfc9112-3.2": request("/"),
    "two-hosts-rfc9112-3.2": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no-version": b"GET /\r\nHost: a\r\n\r\n",
    "two-spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "space-before-colon-rfc9112-5.1": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "no-colon": b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "empty-name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "folded-rfc9112-5.2": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
    "lone-return-rfc9112-2.2": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    "not-http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("data", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_bad_request_is_400(server, data):
    assert_refused(ask(server, data), 400)


@pytest.mark.parametrize(
    "name",
    ["", "%20", "a%00b", "a%0Ab", "%FF", "a%2", "a%zz", "a/b", "%E2%80%AEa", "a" * 33],
)
def test_room_that_cannot_be_is_404(server, name):
    assert_refused(ask(server, upgrade(f"/rooms/{name}")), 404)


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"])
def test_other_http_version_is_505_rfc9110_15_6_6(server, version):
    assert_refused(ask(server, request("/", {"Host": "a"}, version=version)), 505)


# ---- Bounds of the head --------------------------------------------------------------------------


def test_long_target_is_414(server):
    good = request("/?" + "a" * 2046, {"Host": "a"})
    assert ask(server, good).status == 200
    assert_refused(ask(server, request("/?" + "a" * 2047, {"Host": "a"})), 414)


def test_many_fields_are_431(server):
    fields = {"Host": "a", **{f"X-{number}": "b" for number in range(99)}}
    assert ask(server, request("/", fields)).status == 200
    fields["X-99"] = "b"
    assert_refused(ask(server, request("/", fields)), 431)


def test_long_head_is_431(server):
    empty = len(request("/", {"Host": "a", "X": ""}))
    assert ask(server, request("/", {"Host": "a", "X": "b" * (8192 - empty)})).status == 200
    assert_refused(ask(server, request("/", {"Host": "a", "X": "b" * (8193 - empty)})), 431)


def test_endless_head_is_431_before_its_end(server):
    assert_refused(ask(server, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 8192), 431)


# ---- Origin --------------------------------------------------------------------------------------


def answered(server, **fields):
    with Raw(server) as client:
        client.send(upgrade(**fields))
        return client.head().status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example"]
)
def test_foreign_origin_is_403_rfc6455_10_2(server, origin):
    assert_refused(ask(server, upgrade(Origin=origin)), 403)


def test_own_origin_and_none_are_welcome_rfc6455_10_2(serve, tls):
    server = serve(SSL=tls)
    host, scheme = f"127.0.0.1:{server.port}", "https" if tls else "http"
    assert answered(server, Host=host) == 101
    assert answered(server, Host=host, Origin=f"{scheme}://{host}") == 101
    assert answered(server, Host=host, Origin=f"{scheme}://127.0.0.1:1") == 403


def test_allowed_origins(serve):
    server = serve(allowed_origins=["https://chat.example"])
    assert answered(server, Origin="https://chat.example") == 101
    assert answered(server, Origin="https://other.example") == 403
    assert answered(serve(allowed_origins=["*"]), Origin="https://other.example") == 101


def test_foreign_origin_may_read_the_page(server):
    fields = {"Host": "127.0.0.1", "Origin": "http://other.example"}
    assert ask(server, request("/", fields)).status == 200


# ---- TLS -----------------------------------------------------------------------------------------


def test_plain_http_on_the_tls_port_gets_a_hint(serve):
    with Raw(serve(SSL=True), tls=False) as client:
        response = client.exchange(request("/", {"Host": "127.0.0.1"}))
    assert_refused(response, 400)
    assert b"https://" in response.body or b"wss://" in response.body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_versions(serve, version):
    server = serve(SSL=True)
    context = server.tls_context()
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(request("/", {"Host": "localhost"}))
            assert client.recv(16).startswith(b"HTTP/1.1 200")
            assert not client.session.has_ticket, "no session tickets"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(serve):
    server = serve(SSL=True)
    context = server.tls_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        with pytest.raises(ssl.SSLError, match="(?i)version"):
            context.wrap_socket(plain, server_hostname="localhost")


def test_nonsense_on_the_tls_port_ends_that_connection_only(serve):
    server = serve(SSL=True)
    with Raw(server, tls=False) as client:
        client.send(b"\x00\xff" * 100)
        client.read_to_end()
    assert ask(server, request("/", {"Host": "127.0.0.1"})).status == 200
