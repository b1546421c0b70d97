# SPDX-License-Identifier: MIT
"""Password attempts, each on its own connection."""
import time

from helpers import PASSWORD, Peer, greeted, try_join



async def guess(server, password, **options):
    """One attempt on its own connection; returns the Error, or None if it joined."""
    peer = await Peer.open(server, **options)
    await peer.next()
    await peer.send("Join", Name=f"guess {time.monotonic_ns()}", Password=password)
    message = await peer.message()
    if message["msgType"] == "Joined":
        await peer.close()
        return None
    return message


async def guess_wrong(server, times, **options):
    for number in range(times):
        message = await guess(server, f"not-the-password-{number}", **options)
        assert message["Code"] == "wrong_password", message


async def guess_as(server, person, password=PASSWORD, **options):
    """The same with a person's keys."""
    peer = await greeted(server, **options)
    await try_join(peer, person, Password=password)
    message = await peer.message()
    await peer.close()
    return None if message["msgType"] == "Joined" else message
