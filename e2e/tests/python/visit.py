"""Opens one WebSocket as its argument (JSON) says, and prints what it saw (JSON).

A message is a text, or a list of a text and how often it is repeated.
"""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


async def visit(url, certificate, messages=(), replies=0, **options):
    seen = {"status": 101, "protocol": None, "compressed": False, "agreed": None}
    seen |= {"messages": [], "code": None, "reason": None}
    trust = ssl.create_default_context(cafile=certificate)
    try:
        async with connect(url, ssl=trust, **options) as socket:
            seen["protocol"] = socket.subprotocol
            seen["compressed"] = bool(socket.protocol.extensions)
            seen["agreed"] = socket.response.headers.get("Sec-WebSocket-Extensions")
            try:
                for message in messages:
                    await socket.send(message if isinstance(message, str) else message[0] * message[1])
                for _ in range(replies):
                    seen["messages"].append(await asyncio.wait_for(socket.recv(), 15))
            except ConnectionClosed:
                pass
        await asyncio.wait_for(socket.wait_closed(), 15)
        seen["code"], seen["reason"] = socket.close_code, socket.close_reason
    except InvalidStatus as refusal:
        seen["status"] = refusal.response.status_code
        seen["problem"] = json.loads(refusal.response.body)["type"]
    return seen


print(json.dumps(asyncio.run(visit(**json.loads(sys.argv[1])))))
