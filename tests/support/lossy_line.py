# SPDX-License-Identifier: MIT
"""A line to the engine of a cluster that loses answers: it forwards what a node asks, drops what the engine
answers, and then cuts the connection. So the node cannot know what the engine has done."""
import asyncio
import contextlib


class LossyLine:
    """Listens at `path` and forwards to the Unix socket `far`, in the loop of the test."""

    def __init__(self, path, far):
        self.path, self.far = path, far
        self.lines, self.dropping, self.asked = set(), False, 0
        self.lost = 0  # answers, or pieces of them

    async def start(self):
        self.server = await asyncio.start_unix_server(self.serve, self.path)

    async def serve(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self.far)
        except OSError:
            writer.close()
            return
        line = (writer, far_writer)
        self.lines.add(line)
        with contextlib.suppress(OSError):
            await asyncio.gather(
                self.forward(reader, far_writer, line, True),
                self.forward(far_reader, writer, line, False))
        self.lines.discard(line)

    async def forward(self, reader, writer, line, asks):
        while data := await reader.read(65536):
            self.asked += asks
            if self.dropping and not asks:
                self.lost += 1
                continue
            writer.write(data)
            await writer.drain()
        for end in line:
            end.close()

    async def cut(self, wait=0.2):
        """Loses the answers to what is asked now, and cuts all connections."""
        self.dropping, before = True, self.asked
        end = asyncio.get_running_loop().time() + wait
        while self.asked == before and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0)
        for line in list(self.lines):
            with contextlib.suppress(OSError):
                await asyncio.wait_for(line[1].drain(), wait)
        lost = self.lost
        while self.lost == lost and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0)
        for line in list(self.lines):
            for writer in line:
                writer.close()
        self.dropping = False

    def close(self):
        self.server.close()
        for line in list(self.lines):
            for writer in line:
                writer.close()
