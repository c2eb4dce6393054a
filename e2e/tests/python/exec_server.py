"""Serves what `kubectl exec` asks for, in v5.channel.k8s.io, at the address it is given, prints its port, and ends with its
standard input.

The command says on stderr which subprotocols were offered, puts what it reads in capitals, and is done when stdin is closed.
"""

import asyncio
import json
import logging
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

STDIN, STDOUT, STDERR, STATUS, CLOSE = b"\0", b"\1", b"\2", b"\3", b"\xff"


async def execute(socket):
    try:
        offered = socket.request.headers.get_all("Sec-WebSocket-Protocol")
        await socket.send(STDERR + json.dumps(offered).encode())
        async for message in socket:
            channel, content = message[:1], message[1:]
            if channel == STDIN:
                await socket.send(STDOUT + content.upper())
            elif channel == CLOSE and content == STDIN:
                await socket.send(STATUS + json.dumps({"metadata": {}, "status": "Success"}).encode())
                break
    except ConnectionClosed:
        pass


async def main():
    async with serve(execute, sys.argv[1], 0, subprotocols=["v5.channel.k8s.io"]) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


logging.disable()
asyncio.run(main())
