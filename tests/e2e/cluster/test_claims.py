# SPDX-License-Identifier: MIT
"""Many claim one name at once, on three nodes: exactly one gets it, and when it leaves, exactly one other.

CLUSTER_CLAIMS, CLUSTER_ROUNDS   claims at once, and how often"""
import asyncio
import os

from helpers import PASSWORD, greeted, scenario

CLAIMS = int(os.environ.get("CLUSTER_CLAIMS", "15"))
ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "4"))


async def claim(peer, name):
    """The answer to one claim."""
    await peer.send("Join", Name=name, Password=PASSWORD)
    return await peer.message()


async def empty(watcher):
    """Until the name is free."""
    while watcher.users != ["watcher"]:
        await watcher.next()


@scenario
async def test_one_claim_of_many_wins(cluster):
    both = cluster()
    nodes = [await asyncio.to_thread(both.node) for _ in range(3)]
    watcher = await greeted(nodes[0])
    assert (await claim(watcher, "watcher"))["msgType"] == "Joined"
    for number in range(ROUNDS):
        peers = await asyncio.gather(*(greeted(nodes[i % 3]) for i in range(CLAIMS)))
        names = [("Ana", "ANA", "ana")[(i + number) % 3] for i in range(CLAIMS)]
        answers = await asyncio.gather(*map(claim, peers, names))
        winners = [i for i, answer in enumerate(answers) if answer["msgType"] == "Joined"]
        refused = [answer for answer in answers if answer.get("Code") == "name_taken"]
        assert (len(winners), len(refused)) == (1, CLAIMS - 1), answers
        while watcher.users != sorted(["watcher", names[winners[0]]]):
            await watcher.next()
        await asyncio.gather(*(peer.close() for peer in peers))
        await empty(watcher)
    print(f"{ROUNDS} rounds of {CLAIMS} claims on 3 nodes: one winner each")
