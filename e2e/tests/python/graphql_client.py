"""Asks over graphql-transport-ws for a query and a subscription, with its argument (JSON), and prints what it saw (JSON)."""

import asyncio
import json
import logging
import ssl
import sys

from gql import Client, gql
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport

PATIENCE = 10


async def ask(client, seen):
    async with client as session:
        seen["token"] = (await session.execute(gql("{ token }")))["token"]
        async for result in session.subscribe(gql("subscription { count(to: 3) }")):
            seen["counted"].append(result["count"])


def closed(error):
    """Code and reason of the Close that is behind an error."""
    while error is not None:
        if close := getattr(error, "rcvd", None):
            return [close.code, close.reason]
        error = error.__cause__
    return None


async def visit(url, certificate, payload):
    seen = {"token": None, "counted": [], "closed": None, "error": None}
    transport = WebsocketsTransport(
        url=url,
        ssl=ssl.create_default_context(cafile=certificate),
        init_payload=payload,
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
    )
    try:
        await asyncio.wait_for(ask(Client(transport=transport), seen), PATIENCE)
    except (TransportError, asyncio.TimeoutError) as error:
        seen["error"], seen["closed"] = type(error).__name__, closed(error)
    return seen


logging.disable()
print(json.dumps(asyncio.run(visit(**json.loads(sys.argv[1])))))
