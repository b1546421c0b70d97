# SPDX-License-Identifier: MIT
"""Lines to the engine, and to its sentinels, over TLS: with a certificate that names them, and with others."""
import asyncio
import contextlib

import pytest

from certificates import openssl
from cluster import DURABLE, Engine, get, metric, say_and_hear
from helpers import held_port, join, scenario, until
from test_sentinel import NAME, sentinel


def make_authority(folder, name="ca"):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", f"{name}.pem", "-out", f"{name}.crt",
            folder=folder)  # fmt: skip


def make_certificate(folder, names):
    """One of the authority "ca" for these names, in engine.crt and engine.pem."""
    (folder / "names").write_text(f"subjectAltName={names}\n")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=engine",
            "-keyout", "engine.pem", "-out", "engine.csr", folder=folder)  # fmt: skip
    openssl("x509", "-req", "-in", "engine.csr", "-CA", "ca.crt", "-CAkey", "ca.pem", "-CAcreateserial", "-days", "30",
            "-extfile", "names", "-out", "engine.crt", folder=folder)  # fmt: skip


def secured(folder, port):
    """Settings of Redis: TLS on this port only."""
    files = {"cert": "engine.crt", "key": "engine.pem", "ca-cert": "ca.crt"}
    words = [word for what, file in files.items() for word in (f"--tls-{what}-file", str(folder / file))]
    return (*words, "--tls-auth-clients", "no", "--tls-port", str(port), "--bind", "127.0.0.1")


@contextlib.contextmanager
def engine_over_tls(both, names):
    """Replaces the cluster's engine by one that listens with TLS; returns its port."""
    both.engine.finish()
    make_authority(both.folder)
    make_authority(both.folder, "other")
    make_certificate(both.folder, names)
    with held_port() as port:
        both.engine = Engine(both.folder, (*DURABLE, *secured(both.folder, port)), name="secured")
        yield port


@scenario
async def test_rooms_are_shared_over_tls(cluster):
    both = cluster()
    with engine_over_tls(both, "IP:127.0.0.1") as port:
        ca = str(both.folder / "ca.crt")
        node = await asyncio.to_thread(both.node, cluster_engine=f"tls:127.0.0.1:{port}", cluster_ca=ca)
        await say_and_hear(await join(node, "Ana"), "here")
        both.engine.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until_up(node)
        await say_and_hear(await join(node, "Bob"), "and again")


async def until_up(node):
    await until(lambda: metric(node, "up") == 1, "the engine")


@pytest.mark.parametrize(
    "names, ca, why", [("IP:127.0.0.1", "other.crt", "certificate"), ("DNS:elsewhere.example", "ca.crt", "mismatch")]
)
@scenario
async def test_a_certificate_that_is_not_the_engines_is_refused(cluster, names, ca, why):
    both = cluster()
    with engine_over_tls(both, names) as port:
        address = f"tls:127.0.0.1:{port}"
        node = await asyncio.to_thread(both.node, cluster_engine=address, cluster_ca=str(both.folder / ca))
        await until(lambda: get(node, "/healthz")[0] == 503, "/healthz")
        refusals = [line for line in node.log().splitlines() if "the certificate is refused" in line]
        assert refusals and all(why in line for line in refusals)


@scenario
async def test_sentinels_and_their_engine_over_tls(cluster):
    both = cluster()
    with engine_over_tls(both, "IP:127.0.0.1") as port, held_port() as watch:
        files = (f"tls-{what} {both.folder / file}" for what, file in
                 (("cert-file", "engine.crt"), ("key-file", "engine.pem"), ("ca-cert-file", "ca.crt")))  # fmt: skip
        listens = ["port 0", f"tls-port {watch}", *files, "tls-auth-clients no", "tls-replication yes"]
        with sentinel(both.folder, watch, port, *listens):
            node = await asyncio.to_thread(
                both.node,
                cluster_engine=f"sentinel-tls:{NAME}@127.0.0.1:{watch}",
                cluster_ca=str(both.folder / "ca.crt"),
            )
            await until_up(node)
            await say_and_hear(await join(node, "Ana"), "here")
