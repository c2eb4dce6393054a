"""Serves GraphQL in graphql-transport-ws at the address it is given, prints its port, and ends with its standard input.

`token` is what came in the payload of connection_init, `count` counts.
"""

import asyncio
import json
import logging
import sys

from graphql import build_schema, execute, parse, subscribe
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

SCHEMA = build_schema("type Query { token: String } type Subscription { count(to: Int!): Int! }")
PATIENCE = 2


async def count(root, info, to):
    for number in range(to):
        yield {"count": number}


SCHEMA.subscription_type.fields["count"].subscribe = count


async def results(payload, token):
    document, variables = parse(payload["query"]), payload.get("variables")
    root = {"token": token}
    if document.definitions[0].operation.value == "subscription":
        async for result in subscribe(SCHEMA, document, root, variable_values=variables):
            yield result
    else:
        yield execute(SCHEMA, document, root, variable_values=variables)


async def converse(socket):
    try:
        init = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
    except asyncio.TimeoutError:
        return await socket.close(4408, "Connection initialisation timeout")
    if init["type"] != "connection_init":
        return await socket.close(4401, "Unauthorized")
    await socket.send(json.dumps({"type": "connection_ack"}))
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "subscribe":
            async for result in results(message["payload"], init["payload"].get("token")):
                await socket.send(json.dumps({"id": message["id"], "type": "next", "payload": result.formatted}))
            await socket.send(json.dumps({"id": message["id"], "type": "complete"}))


async def answer(socket):
    try:
        await converse(socket)
    except ConnectionClosed:
        pass


async def main():
    async with serve(answer, sys.argv[1], 0, subprotocols=["graphql-transport-ws"]) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


logging.disable()
asyncio.run(main())
