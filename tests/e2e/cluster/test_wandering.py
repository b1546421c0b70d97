# SPDX-License-Identifier: MIT
"""Members that talk, and go to another server whenever theirs ends: nobody misses anything, and nothing is
heard twice, while servers are restarted one after the other, and killed."""
import asyncio
import contextlib
import random
import signal

import websockets

from helpers import PASSWORD, PATIENCE, Peer, scenario
from history_members import Crowd

MEMBERS, RESTARTS, KILLS = 12, 4, 2


class Wanderers(Crowd):
    """Members that choose a server each time that they come."""

    def __init__(self, nodes):
        super().__init__(None, None, MEMBERS)
        self.nodes, self.refused = nodes, 0

    def begin(self):
        self.members = [asyncio.create_task(self.live(f"m{i}")) for i in range(self.count)]

    async def live(self, name):
        state = {"name": name, "said": 0, "epoch": None, "last": 0}
        while not self.ended:
            with contextlib.suppress(OSError, websockets.WebSocketException, asyncio.TimeoutError):
                peer = await Peer.open(random.choice(self.nodes))
                await self.attend(peer, state)
            await asyncio.sleep(0.05)

    async def attend(self, peer, state):
        """A name may still be that of the connection that has just ended."""
        await peer.next()
        resume = {}
        if state["epoch"]:
            resume = {"Resume": {"Epoch": state["epoch"], "After": state["last"]}}
        for _ in range(2):  # a third one that fails would end the connection
            joined = await peer.ask("Join", Name=state["name"], Password=PASSWORD, **resume)
            if joined["msgType"] == "Joined":
                break
            assert joined["Code"] in ("name_taken", "unavailable", "shutting_down"), joined
            self.refused += 1
            await asyncio.sleep(0.1)
        else:
            await peer.close()
            return
        assert not resume or joined["Resumed"], (joined, state)
        assert not resume or joined["Epoch"] == state["epoch"]
        state["epoch"] = joined["Epoch"]
        if not resume:
            state["last"] = joined["LastId"]
        self.joins += 1
        await self.talk(peer, state, 0 if resume else joined["LastId"])

    async def talk(self, peer, state, before):
        await self.say(peer, state)
        while not self.ended:
            message = await peer.next()
            if message["msgType"] == "Broadcast" and message["Id"] > before:
                self.hear(message, state)
                if message["text"] == state["text"]:
                    await self.say(peer, state)


async def replace(cluster, crowd, index, number):
    """Ends a server, and starts another one in its place."""
    gone = crowd.nodes[index]
    if number == signal.SIGKILL:
        gone.expected_status = None
    gone.signal(number)
    await asyncio.to_thread(gone.wait_end, 2 * PATIENCE)
    await crowd.more(50)  # the others go on meanwhile
    crowd.nodes[index] = await asyncio.to_thread(cluster.node)


@scenario
async def test_members_miss_nothing_while_servers_come_and_go(cluster):
    both = cluster()
    crowd = Wanderers([both.node() for _ in range(3)])
    crowd.begin()
    try:
        await crowd.all_in(1)
        for turn in range(RESTARTS):
            await replace(both, crowd, turn % 3, signal.SIGTERM)
            await crowd.more(100)
        for turn in range(KILLS):
            await replace(both, crowd, turn, signal.SIGKILL)
            await crowd.more(100)
        await crowd.wait(lambda: crowd.joins >= MEMBERS + RESTARTS + KILLS)
        await crowd.more(200)
        crowd.check()
        assert sorted(crowd.heard) == list(range(min(crowd.heard), max(crowd.heard) + 1))
    finally:
        await crowd.end()
