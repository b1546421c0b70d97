# SPDX-License-Identifier: MIT
"""A server of one room that cheats on request: it drops, duplicates, renames and holds back messages,
and cuts connections. It shares only docs/PROTOCOL.md with the server, and checks nothing.
"""
import asyncio
import contextlib
import json

import websockets

from helpers import PATIENCE, V2, wait_until
from thread_server import ThreadServer

CARD = ("IdentityKey", "SessionKey", "KeyExpires", "KeyOrigin", "KeyEnc", "KeySignature")
NONCE = "ab" * 32


class FakeRoom(ThreadServer):
    """`fate` is called for each PrivateMessage with a text, and returns the messages to deliver
    instead. `refuses` is called for each Join, and returns an error's Code, or None. All received
    messages are in `said`: (name, message)."""

    tls, subprotocols = False, [V2]

    def __init__(self):
        self.said, self.clients, self.cards = [], {}, {}
        self.holds_keys, self.held = False, []
        self.fate = lambda sender, message: [message]
        self.refuses = lambda join: None
        super().__init__()

    def run(self, coroutine):
        """Runs a function in the server's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def cut(self, name):
        """Cuts a connection without a close."""
        client = self.clients[name]
        self.loop.call_soon_threadsafe(client.transport.abort)
        wait_until(lambda: self.clients.get(name) is not client, f"{name} to be gone")

    def of(self, name, kind):
        said = list(self.said)
        return [message for who, message in said if (who, message["msgType"]) == (name, kind)]

    def release_keys(self):
        """Sends the UserKeys that were held back."""
        self.holds_keys = False
        for name, answer in self.held:
            self.run(self.tell(name, **answer))
        self.held.clear()

    async def tell(self, name, **message):
        if name in self.clients:
            with contextlib.suppress(websockets.ConnectionClosed):
                await self.clients[name].send(json.dumps(message))

    async def tell_users(self):
        for name in list(self.clients):
            await self.tell(name, msgType="OnlineUsers", Users=sorted(self.clients))

    async def serve(self, client):
        await client.send(
            json.dumps({"msgType": "Hello", "Nonce": NONCE, "PasswordRequired": False})
        )
        name = None
        with contextlib.suppress(websockets.ConnectionClosed):
            name = await self.let_in(client)
            async for text in client:
                message = json.loads(text)
                self.said.append((name, message))
                await getattr(self, f"on_{message['msgType']}")(name, message)
        if self.clients.get(name) is client:
            del self.clients[name]
            await self.tell_users()

    async def let_in(self, client):
        while True:
            join = json.loads(await client.recv())
            name = join["Name"]
            self.said.append((name, join))
            code = self.refuses(join)
            if not code:
                break
            await client.send(json.dumps({"msgType": "Error", "Code": code, "text": "no"}))
        self.cards[name] = {field: join[field] for field in CARD if field in join}
        self.clients[name] = client
        await self.tell(name, msgType="Joined", Name=name, Epoch="1", LastId=0)
        await self.tell_users()
        return name

    async def on_GetKeys(self, name, message):
        user = message["TgtUser"]
        answer = {"msgType": "UserKeys", "User": user, "Ref": message["Ref"]}
        if user not in self.clients:
            error = {"msgType": "Error", "Code": "unknown_user", "text": "not here"}
            await self.tell(name, **error, Ref=message["Ref"], TgtUser=user)
        elif self.holds_keys:
            self.held.append((name, {**answer, **self.cards[user]}))
        else:
            await self.tell(name, **answer, **self.cards[user])

    async def on_PublishKeys(self, name, message):
        self.cards[name] = {field: message[field] for field in CARD}
        await self.tell(name, msgType="KeysPublished", Ref=message["Ref"])

    async def on_Broadcast(self, name, message):
        for user in list(self.clients):
            await self.tell(user, **{**message, "SrcUser": name, "TgtUser": ""})

    async def on_PrivateMessage(self, name, message):
        user = message.pop("TgtUser")
        is_text = message.get("Seq") != 0 and "Notice" not in message
        for copy in self.fate(name, message) if is_text else [message]:
            await self.tell(user, **{**copy, "SrcUser": name})
        if is_text:
            await self.tell(name, msgType="Delivered", Ref=message["Ref"], TgtUser=user)
