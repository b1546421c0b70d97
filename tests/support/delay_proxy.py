# SPDX-License-Identifier: MIT
"""A line to a server that takes time, as over a wide area network, and counts round trips.

Each direction delays everything by half of the round-trip time. TCP's handshake happens on this
machine, so the first bytes of a client wait for one round trip more. There is no limit of the rate,
and no slow start.
"""
import asyncio
import contextlib
import threading


class Line:
    """One connection. `trips`: round trips until the last byte that the client has got: one for TCP,
    one for each time that it waited for an answer, and those before it was opened, at most."""

    def __init__(self, before):
        self.trips = before + 1
        self.received = 0  # bytes that the client has got
        self.answers = {}  # the bytes of them by the round trip that brought them
        self.asked = True  # the client has sent something since it got something
        self.open = True

    def client_sent(self):
        self.asked = True

    def client_got(self, data):
        if self.asked:
            self.trips += 1
        self.asked = False
        self.received += len(data)
        self.answers[self.trips] = self.answers.get(self.trips, 0) + len(data)


class DelayProxy:
    """Listens on a free port of 127.0.0.1 and forwards to `far`, in a thread of its own."""

    def __init__(self, far, round_trip):
        self.far, self.round_trip = far, round_trip  # port, seconds
        self.lines = []  # all connections, oldest first
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        start = asyncio.start_server(self.carry, "127.0.0.1", 0, backlog=1000)
        self.server = asyncio.run_coroutine_threadsafe(start, self.loop).result()
        self.port = self.server.sockets[0].getsockname()[1]

    async def carry(self, reader, writer):
        line = Line(max((other.trips for other in self.lines if other.received), default=0))
        self.lines.append(line)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.far)
        except OSError:
            line.open = False
            writer.transport.abort()
            return
        wait = self.round_trip  # TCP's handshake
        there = self.pass_on(reader, far_writer, wait, sent=lambda _: line.client_sent())
        there = self.loop.create_task(there)
        try:
            await self.pass_on(far_reader, writer, 0, got=line.client_got)
            writer.close()  # the end of the server's side is that of both
        finally:
            line.open = False
            there.cancel()
            far_writer.transport.abort()

    async def pass_on(self, reader, writer, first, sent=lambda _: None, got=lambda _: None):
        """Forwards one direction: everything leaves half a round trip after it came, in order."""
        due, queue = self.loop.time() + first, asyncio.Queue()
        deliver = self.loop.create_task(self.deliver(queue, writer, got))
        data = b"-"
        try:
            while data:
                try:
                    data = await reader.read(65536)
                except OSError:
                    data = b""
                sent(data)
                due = max(due, self.loop.time())
                queue.put_nowait((due + self.round_trip / 2, data))
            await deliver
        finally:
            deliver.cancel()

    async def deliver(self, queue, writer, got):
        data = b"-"
        while data:
            when, data = await queue.get()
            await asyncio.sleep(when - self.loop.time())
            if data:
                got(data)
                writer.write(data)
        with contextlib.suppress(OSError, RuntimeError):
            if writer.can_write_eof():
                writer.write_eof()

    async def end(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
