"""Executes a command as `kubectl exec -i` does, in the subprotocols of its argument (JSON), and prints what it saw (JSON).

Each frame is binary and begins with its channel; what came on each is joined.
"""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

STDIN, CLOSE = b"\0", b"\xff"
PATIENCE = 15


async def visit(url, certificate, subprotocols, lines):
    seen = {"status": 101, "protocol": None, "channels": {}, "code": None, "reason": None}
    trust = ssl.create_default_context(cafile=certificate)
    try:
        async with connect(url, ssl=trust, subprotocols=subprotocols) as socket:
            seen["protocol"] = socket.subprotocol
            try:
                for line in lines:
                    await socket.send(STDIN + line.encode())
                await socket.send(CLOSE + STDIN)
                while True:
                    message = await asyncio.wait_for(socket.recv(), PATIENCE)
                    channel = str(message[0])
                    seen["channels"][channel] = seen["channels"].get(channel, "") + message[1:].decode()
            except ConnectionClosed:
                pass
        seen["code"], seen["reason"] = socket.close_code, socket.close_reason
    except InvalidStatus as refusal:
        seen["status"] = refusal.response.status_code
        seen["problem"] = json.loads(refusal.response.body)["type"]
    return seen


print(json.dumps(asyncio.run(visit(**json.loads(sys.argv[1])))))
