"""Echoes WebSocket messages, prints its port, and ends with its standard input."""

import asyncio
import logging
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(socket):
    try:
        while True:
            await socket.send(await socket.recv())
    except ConnectionClosed:
        pass


async def main():
    # It takes messages of any size, and sends no Ping of its own.
    async with serve(echo, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


# A client that breaks the rules is what it is here for, and nothing to write home about.
logging.disable()
asyncio.run(main())
