# SPDX-License-Identifier: MIT
"""Several requests on one connection (RFC 9112 §9.3), and what bounds them."""
import asyncio
import contextlib
import re
import time

import pytest

from delay_proxy import DelayProxy
from helpers import (
    LATE, PASSWORD, PATIENCE, UPGRADE, Peer, Raw, request, scenario, steady, wait_until,
)  # fmt: skip
from page_files import page_files, served

HOST = {"Host": "127.0.0.1"}
PAGE, SCRIPT, ICON = request("/", HOST), request(served("app.js"), HOST), request(served("icon.svg"), HOST)
REQUESTS_MAX, IDLE = 100, 16  # server/connection.h


def body_of(name):
    return page_files()[served(name)[1:]].content


def test_files_and_then_a_websocket_on_one_connection_rfc9112_9_3(serve, tls):
    with Raw(serve(SSL=tls)) as client:
        for ask in (PAGE, SCRIPT, ICON, request("/", {**HOST, "If-None-Match": "*"})):
            answer = client.answer(ask)
            assert answer.status in (200, 304)
            assert answer.fields["connection"] == "keep-alive"
            assert answer.fields["keep-alive"] == "timeout=15"
        head = client.answer(request("/", HOST, method="HEAD"), bodiless=True)
        assert head.fields["connection"] == "keep-alive"
        assert client.answer(SCRIPT).body == body_of("app.js")
        client.join("ana")
        client.send_text('{"msgType": "Broadcast", "text": "hello"}')
        while client.message().get("text") != "hello":
            pass


@pytest.mark.parametrize(
    "ask",
    [
        request("/", {**HOST, "Connection": "close"}),
        request("/", {**HOST, "Connection": "x, Close"}),
        request("/", {**HOST, "Connection": "keep-alive"}, version="HTTP/1.0"),
    ],
)
def test_a_client_that_wants_no_more_is_closed_rfc9112_9_6(serve, ask):
    with Raw(serve()) as client:
        assert client.answer(ask + PAGE).fields["connection"] == "close"
        assert client.read_to_end() == b""


def test_pipelined_requests_are_answered_in_order_rfc9112_9_3_2(serve, tls):
    """And a WebSocket may come behind them."""
    with Raw(serve(SSL=tls)) as client:
        client.send(SCRIPT + ICON + PAGE + SCRIPT + request("/", {**UPGRADE, **HOST}))
        for name in ("app.js", "icon.svg", None, "app.js"):
            body = client.answer(b"").body
            assert body == (body_of(name) if name else page_files()["index.html"].content)
        assert client.head().status == 101


@pytest.mark.parametrize(
    "ask, status",
    [
        (b"NONSENSE\r\n\r\n", 400),
        (request("/nothing", HOST), 404),
        (request("/", {"Host": "evil.example"}), 421),
        (request("/", {**HOST, "Content-Length": "5"}), 400),
        (request("/", {**HOST, "Expect": "200-ok"}), 417),
        (request("/rooms/%00", HOST), 404),
    ],
)
def test_a_refusal_ends_the_connection(serve, ask, status):
    """Nothing behind it is read as a request."""
    with Raw(serve()) as client:
        assert client.answer(PAGE).status == 200
        answer = client.answer(ask + PAGE)
        assert (answer.status, answer.fields["connection"]) == (status, "close")
        assert client.read_to_end() == b""


def test_expect_100_continue_is_answered_at_once_rfc9110_10_1_1(serve):
    """No body follows, so nothing is waited for."""
    with Raw(serve()) as client:
        assert client.answer(request("/", {**HOST, "Expect": "100-continue"})).status == 200


def test_a_connection_has_so_many_requests(serve):
    """The last answer says so, and no other follows."""
    with Raw(serve()) as client:
        client.send(ICON * (REQUESTS_MAX + 1))
        said = [client.answer(b"").fields["connection"] for _ in range(REQUESTS_MAX)]
        assert said == ["keep-alive"] * (REQUESTS_MAX - 1) + ["close"]
        assert client.read_to_end() == b""


def failures(server):
    with Raw(server) as client:
        said = client.exchange(request("/metrics", HOST)).body.decode()
    return int(re.search(r'^ragnarok_handshake_failures_total\{stage="request"\} (\d+)', said, re.M)[1])


def test_an_idle_connection_is_closed_and_is_no_failure(serve):
    server = serve()
    before = failures(server)
    with Raw(server) as idle, Raw(server) as gone, Raw(server) as slow:
        for client in (idle, gone, slow):
            client.socket.settimeout(IDLE + PATIENCE)
            assert client.answer(PAGE).status == 200
        begin = time.monotonic()
        gone.socket.close()
        slow.send(PAGE[:-1])
        assert idle.read_to_end() == b""
        assert IDLE - 0.5 < time.monotonic() - begin < IDLE + LATE
        assert slow.read_to_end() == b""
    assert failures(server) == before + 1, "half a request is a failure"


def test_a_server_that_stops_ends_idle_connections(serve):
    server = serve()
    with Raw(server) as client:
        assert client.answer(PAGE).status == 200
        begin = time.monotonic()
        server.finish()
        assert time.monotonic() - begin < IDLE
        assert client.read_to_end() == b""


def test_a_trusted_proxy_gets_one_answer_for_each_connection(serve):
    """It may send requests of other clients over it."""
    with Raw(serve(trusted_proxies=["127.0.0.0/8"])) as client:
        ask = request("/", {**HOST, "X-Forwarded-For": "192.0.2.1"})
        assert client.answer(ask + ask).fields["connection"] == "close"
        assert client.read_to_end() == b""


def test_kept_connections_take_no_place_of_members(serve, tls):
    """An address may have as many WebSockets as before, however many connections it keeps."""
    server = serve(SSL=tls, max_clients_per_address=4)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            assert stack.enter_context(Raw(server)).answer(PAGE).status == 200
        for number in range(4):
            stack.enter_context(Raw(server)).join(f"member {number}")
        with Raw(server) as other:
            assert other.answer(request("/", {**UPGRADE, **HOST})).status == 429


# ---- A class behind one address, far away --------------------------------------------------------

CLASS, ROUND_TRIP = 30, 0.12


async def dial(line, context):
    name = "127.0.0.1" if context else None
    return await asyncio.open_connection("127.0.0.1", line, ssl=context, server_hostname=name)


async def get(reader, writer, path):
    """Returns the length of the file. An IncompleteReadError without bytes: the server has closed first."""
    writer.write(request(path, HOST))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 200"), head
    length = int(re.search("content-length: ([0-9]+)", head.lower())[1])
    await reader.readexactly(length)
    return length


async def fetch(line, *paths, context=None):
    """GETs over one connection. Returns its writer and the lengths of what came. The server may close a
    connection that waits for its next request; then that is sent again, once, on a new one, as browsers
    do (RFC 9112 §9.3.1)."""
    reader, writer = await dial(line, context)
    lengths = []
    for path in paths:
        try:
            lengths.append(await get(reader, writer, path))
        except (asyncio.IncompleteReadError, ConnectionError) as wrong:
            if not lengths or getattr(wrong, "partial", b""):
                raise
            reader, writer = await dial(line, context)
            lengths.append(await get(reader, writer, path))
    return writer, lengths


async def attend(server, port, number):
    """What Chromium does: one connection for the page and its script, one for the icon and the
    manifest, two on suspicion, and at once a WebSocket for a person who joins."""
    context = server.tls_context()
    files = fetch(port, "/", served("app.js"), context=context)
    rest = fetch(port, served("icon.svg"), served("manifest.webmanifest"), context=context)
    spare = [fetch(port, context=context) for _ in range(2)]
    done = await asyncio.wait_for(asyncio.gather(files, rest, *spare, return_exceptions=True), 6 * PATIENCE)
    assert [len(page_files()["index.html"].content), len(body_of("app.js"))] == done[0][1]
    assert len(done[1][1]) == 2
    scheme = "wss" if server.tls else "ws"
    peer = await Peer.open(server, url=f"{scheme}://127.0.0.1:{port}/")
    await peer.next()
    assert (await peer.ask("Join", Name=f"pupil-{number}", Password=PASSWORD))["msgType"] == "Joined"
    for answer in done:
        if not isinstance(answer, BaseException):
            answer[0].transport.abort()


def test_a_class_far_away_behind_one_address_opens_the_page_at_once(serve, tls):
    """30 people, 120 ms away, in the same moment: everybody gets every file, and joins."""
    server = serve(SSL=tls)
    proxy = DelayProxy(server.port, ROUND_TRIP)

    @scenario
    async def talk():
        await asyncio.gather(*(attend(server, proxy.port, number) for number in range(CLASS)))

    try:
        with steady(server):
            talk()
            wait_until(lambda: len(proxy.lines) >= 5 * CLASS, "all connections to be seen")
    finally:
        proxy.close()
