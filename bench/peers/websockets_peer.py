#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The benchmark's peer in Python, with the library `websockets` on asyncio.

As the library's authors advise: one coroutine per connection, compression off where CPU counts,
websockets.broadcast() for what goes to everybody, Connection.send() for one.
"""
import argparse
import asyncio
import contextlib
import json
import logging
import resource
import ssl
import time

import websockets

BACKLOG = 1024  # connections that wait to be accepted


def encode(**fields):
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


class Room:
    def __init__(self, presence_ms):
        self.members = {}
        self.last_id = 0
        self.presence_seconds = presence_ms / 1000
        self.announcing = False

    def changed(self):
        """Someone came or left: everybody gets the list, at once or when more have gathered."""
        if not self.presence_seconds:
            self.announce()
        elif not self.announcing:
            self.announcing = True
            asyncio.get_running_loop().call_later(self.presence_seconds, self.announce)

    def announce(self):
        self.announcing = False
        users = encode(msgType="OnlineUsers", Users=sorted(self.members))
        websockets.broadcast(self.members.values(), users)

    def broadcast(self, name, message):
        self.last_id += 1
        websockets.broadcast(
            self.members.values(),
            encode(
                msgType="Broadcast",
                SrcUser=name,
                TgtUser="",
                text=message["text"],
                Id=self.last_id,
                Time=time.time_ns() // 1_000_000,
            ),
        )

    async def private(self, name, message):
        target = self.members.get(message["TgtUser"])
        text = encode(
            msgType="PrivateMessage",
            SrcUser=name,
            text=message["text"],
            Time=time.time_ns() // 1_000_000,
        )
        if target:
            with contextlib.suppress(websockets.ConnectionClosed):
                await target.send(text)

    async def listen(self, name, socket):
        async for text in socket:
            message = json.loads(text)
            if message["msgType"] == "Broadcast":
                self.broadcast(name, message)
            elif message["msgType"] == "PrivateMessage":
                await self.private(name, message)

    async def serve(self, socket):
        """One member, from its two frames to its end."""
        await socket.recv()  # the password: any will do
        name = await socket.recv()
        if self.members.setdefault(name, socket) is not socket:
            await socket.close(1008, "the name is taken")
            return
        try:
            await socket.send(encode(ServerName="websockets"))
            self.changed()
            await self.listen(name, socket)
        finally:
            del self.members[name]
            self.changed()

    async def enter(self, socket):
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.serve(socket)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--presence", type=int, default=0, metavar="MS")
    options = parser.parse_args()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = Room(options.presence)
    async with websockets.serve(
        room.enter, "127.0.0.1", options.port, ssl=context, compression=None, backlog=BACKLOG
    ) as server:
        print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


logging.getLogger("asyncio").setLevel(logging.ERROR)  # not a line for each write to who has gone
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
