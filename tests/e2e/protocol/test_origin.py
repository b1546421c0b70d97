# SPDX-License-Identifier: MIT
"""One server under several names, and a hostile server that relays.

A client signs the origin that it dialled. So a server that relays another's nonce gets a proof that is
useless there, whatever Host and Origin it claims; and members who dialled one server by different
names see each other's keys.
"""
import asyncio
import datetime
import ipaddress
import json

import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from e2e_reference import Person, is_published
from helpers import (
    PASSWORD,
    UPGRADE,
    V2,
    Peer,
    Raw,
    join,
    join_as,
    origin_of,
    request,
    scenario,
    strict_loads,
    taken_over,
    try_join,
)

NAME = "chat.example.org"


# ---- The same server by other names --------------------------------------------------------------


def certificate(folder, *hosts):
    """A self-signed certificate for these names and addresses; returns settings."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server of the tests")])
    now = datetime.datetime.utcnow()
    names = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "named.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "named.pem").write_bytes(private)
    (folder / "named.pem").chmod(0o600)
    return {
        "SSL": True,
        "SSL_Cert": str(folder / "named.crt"),
        "SSL_Key": str(folder / "named.pem"),
    }


async def dial(server, host, port=None, **options):
    """A client that dialled the server by that name, and has read its Hello."""
    scheme = "wss" if server.tls else "ws"
    authority = host if port is None else f"{host}:{port}"
    where = {"host": "127.0.0.1", "port": server.port}
    peer = await Peer.open(server, url=f"{scheme}://{authority}/", **where, **options)
    peer.nonce = (await peer.next())["Nonce"]
    peer.origin = f"{'https' if server.tls else 'http'}://{authority}"
    return peer


async def come(peer, person):
    """Joins with keys, and reads on to the first list."""
    await try_join(peer, person)
    joined = await peer.message()
    assert joined["msgType"] == "Joined", joined
    await peer.next()


@scenario
async def meet(server, ways):
    """Members who joined by different names get each other's cards, and can write to each other."""
    people = [Person(f"member {number}") for number in range(len(ways))]
    peers = []
    for person, (host, port) in zip(people, ways):
        peers.append(await dial(server, host, port))
        await come(peers[-1], person)
    for reader, peer in zip(people, peers):
        for person, other in zip(people, peers):
            card = await peer.ask("GetKeys", TgtUser=person.name)
            assert card["KeyOrigin"] == other.origin and is_published(card, "", person.name)
            if reader is person:
                continue
            sealed = reader.seal(person.name, card, 1, "from another address")
            answer = await peer.ask("PrivateMessage", **sealed, Ref=1)
            assert answer["msgType"] == "Delivered"
            assert person.open(await other.message()) == "from another address"


def test_members_of_one_server_by_several_names(serve, tls):
    server = serve(SSL=tls)
    meet(server, [("127.0.0.1", server.port), ("localhost", server.port)])


def test_members_of_a_certified_name(serve, tmp_path):
    """A real name counts with any port, because ports can be forwarded."""
    hosts = certificate(tmp_path, NAME, "localhost", "127.0.0.1")
    server = serve(**hosts)
    ways = [(NAME, server.port), (NAME, None), (NAME, 8443)]
    meet(server, [("127.0.0.1", server.port), ("localhost", server.port), *ways])


def test_members_of_an_allowed_name(serve, tls):
    """The owner must configure the address of a proxy or a forwarded port."""
    scheme = "https" if tls else "http"
    server = serve(SSL=tls, allowed_origins=[f"{scheme}://127.0.0.1:8443"])
    meet(server, [("127.0.0.1", server.port), ("127.0.0.1", 8443), ("localhost", server.port)])


@scenario
async def test_another_address_is_the_same_member(serve, tls):
    """A member that reconnects by another server name takes over its own connection."""
    server = serve(SSL=tls)
    ana = Person("ana")
    old = await dial(server, "localhost", server.port)
    await come(old, ana)
    newer = ana.again()
    new = await dial(server, "127.0.0.1", server.port)
    await come(new, newer)
    await taken_over(old)
    card = await new.ask("GetKeys", TgtUser="ana")
    assert card["KeyOrigin"] == new.origin and card["SessionKey"] == newer.session_key


@scenario
async def test_a_name_of_the_certificate_that_others_may_have_counts_with_its_own_port(
    serve, tmp_path
):
    """At another port of 127.0.0.1, localhost or box.lan there may be another server."""
    server = serve(**certificate(tmp_path, "localhost", "127.0.0.1", "box.lan", "box"))
    for host in ("localhost", "127.0.0.1", "box.lan", "box"):
        ana, peer = Person("ana"), await dial(server, host, server.port)
        await come(peer, ana)
        await peer.close()
        peer = await dial(server, host, server.port % 65535 + 1)
        await try_join(peer, ana)
        await peer.error("wrong_origin")
        await peer.close()


# ---- A server that passes on what it hears -------------------------------------------------------


class Relay:
    """A hostile server that relays between its client and the victim.

    `claims` are fields of the handshake that it makes with the victim; `rewrite` changes a Join."""

    def __init__(self, victim, claims, rewrite):
        self.victim, self.claims, self.rewrite = victim, claims, rewrite
        self.status, self.answers = None, []

    def connect(self):
        raw = Raw(self.victim)
        fields = {**UPGRADE, "Sec-WebSocket-Protocol": V2, **self.claims}
        raw.send(request("/", fields))
        self.status = raw.head().status
        return raw

    async def handle(self, socket, _path=None):
        raw = await asyncio.to_thread(self.connect)
        with raw:
            if self.status != 101:
                return
            hello = await asyncio.to_thread(raw.message)
            await socket.send(json.dumps({**hello, "ServerName": "quite harmless"}))
            async for text in socket:
                raw.send_text(json.dumps(self.rewrite(strict_loads(text))))
                self.answers.append(await asyncio.to_thread(raw.message))
                await socket.send(json.dumps(self.answers[-1]))

    async def __aenter__(self):
        self.server = await websockets.serve(self.handle, "127.0.0.1", 0, subprotocols=[V2])
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()


async def lured(relay, ana, host):
    """The victim's member opens the hostile server, and signs the origin that it dialled, like every
    client. A page also sends it in Origin."""
    scheme = "https" if relay.victim.tls else "http"
    ana.origin = f"{scheme}://{host}:{relay.port}"
    socket = await websockets.connect(
        f"ws://127.0.0.1:{relay.port}/", subprotocols=[V2], origin=ana.origin
    )
    hello = json.loads(await socket.recv())
    join = {"msgType": "Join", "Name": ana.name, "Password": PASSWORD}
    await socket.send(json.dumps({**join, **ana.claim(hello["Nonce"])}))
    answer = json.loads(await socket.recv())
    await socket.close()
    return answer


def same(join):
    return join


CLIENTS = {"page": "localhost", "ragchat": "127.0.0.1"}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("claimed", ["its own name", "the victim's name", "an address"])
def test_a_relayed_nonce_gets_a_server_nowhere(serve, tls, client, claimed):
    """With each Host that the hostile server may claim, with and without Origin. Its best is
    `wrong_origin`; and the member whose identity key it wanted stays where it is."""
    victim = serve(SSL=tls)

    @scenario
    async def talk():
        ana = Person("ana")
        member = await join_as(victim, ana)
        bob = await join(victim, "bob")
        async with Relay(victim, {}, same) as relay:
            own = origin_of(victim, CLIENTS[client]).rpartition(":")[0] + f":{relay.port}"
            host = {
                "its own name": f"{CLIENTS[client]}:{relay.port}",
                "the victim's name": f"localhost:{victim.port}",
                "an address": f"127.0.0.1:{victim.port}",
            }[claimed]
            for origin in (None, own, origin_of(victim)):
                relay.claims = {"Host": host, "Origin": origin}
                relay.answers.clear()
                try:
                    answer = await lured(relay, ana.again(), CLIENTS[client])
                    assert answer["Code"] == "wrong_origin", (host, origin)
                except websockets.ConnectionClosed:
                    assert relay.status in (403, 421), (host, origin)
        await member.presence("ana", "bob")
        answer = await bob.ask("GetKeys", TgtUser="ana")
        assert answer["SessionKey"] == ana.session_key
        await member.nothing_more()

    talk()


def test_a_relayed_join_cannot_be_put_right(serve, tls):
    """Another KeyOrigin than the one that was signed is a bad proof; without keys the name is taken."""
    victim = serve(SSL=tls)
    claims = {"Host": f"127.0.0.1:{victim.port}"}

    def renamed(join):
        return {**join, "KeyOrigin": origin_of(victim)}

    def bare(join):
        return {key: join[key] for key in ("msgType", "Name", "Password")}

    def resigned(join):
        mallory = Person("ana", origin=origin_of(victim))
        return {**join, **{**mallory.keys(), "IdentityKey": join["IdentityKey"]}}

    @scenario
    async def talk():
        ana = Person("ana")
        member = await join_as(victim, ana)
        for rewrite, code in (
            (renamed, "bad_proof"),
            (resigned, "bad_proof"),
            (bare, "name_taken"),
        ):
            async with Relay(victim, claims, rewrite) as relay:
                answer = await lured(relay, ana.again(), "127.0.0.1")
                assert answer["Code"] == code, rewrite
        await member.nothing_more()

    talk()


def test_the_relay_of_the_test_works(serve):
    """With the victim's own origin signed it works: so the tests above can fail."""
    victim = serve()

    @scenario
    async def talk():
        ana = Person("ana", origin=origin_of(victim))
        async with Relay(victim, {"Host": f"127.0.0.1:{victim.port}"}, same) as relay:
            socket = await websockets.connect(f"ws://127.0.0.1:{relay.port}/", subprotocols=[V2])
            hello = json.loads(await socket.recv())
            join = {"msgType": "Join", "Name": "ana", "Password": PASSWORD}
            await socket.send(json.dumps({**join, **ana.claim(hello["Nonce"])}))
            assert json.loads(await socket.recv())["msgType"] == "Joined"
            await socket.close()

    talk()
