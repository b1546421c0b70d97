# SPDX-License-Identifier: MIT
"""A WebSocket server for clients under test, in its own thread. The test defines its messages."""
import asyncio
import threading

import websockets

from helpers import PATIENCE


class ThreadServer:
    """Serves on a free port until `stop`. A subclass has `async def serve(self, client)`."""

    subprotocols = None

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        assert self.ready.wait(PATIENCE)

    def work(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            websockets.serve(self.serve, "127.0.0.1", 0, subprotocols=self.subprotocols)
        )
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        server.close()
        self.loop.run_until_complete(server.wait_closed())
        self.loop.close()

    def url(self):
        return f"ws://127.0.0.1:{self.port}/"

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)

    async def serve(self, client):
        raise NotImplementedError
