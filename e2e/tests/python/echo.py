"""Echoes WebSocket messages at the address it is given, prints its port, and ends with its standard input.

It agrees to permessage-deflate as the library does by itself, or as the request's X-Compression (JSON) says: with these
settings of the library, or with false not at all. It compresses every message where it has agreed.
"""

import asyncio
import json
import logging
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(socket):
    try:
        while True:
            await socket.send(await socket.recv())
    except ConnectionClosed:
        pass


def negotiate(socket, request):
    if "X-Compression" in request.headers:
        settings = json.loads(request.headers["X-Compression"])
        extensions = [] if settings is False else [ServerPerMessageDeflateFactory(**settings)]
        socket.protocol.available_extensions = extensions


async def main():
    # It takes messages of any size, and sends no Ping of its own.
    async with serve(
        echo, sys.argv[1], 0, max_size=None, ping_interval=None, compression="deflate", process_request=negotiate
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


# A client that breaks the rules is what it is here for, and nothing to write home about.
logging.disable()
asyncio.run(main())
