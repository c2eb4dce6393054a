# A client of WebSockets over HTTP/3 (RFC 9220), by bytes of WebSockets: makes each request on a stream of its own, of one
# connection, and tells in JSON what came of each.
import asyncio
import json
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection, Setting
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamReset

LIMIT = 30


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.streams = {}
        self.changed = asyncio.Condition()

    def quic_event_received(self, event):
        if isinstance(event, StreamReset):
            self.streams[event.stream_id]["ended"] = True
        for heard in self.http.handle_event(event):
            stream = self.streams.get(getattr(heard, "stream_id", None))
            if stream is None:
                continue
            if isinstance(heard, HeadersReceived):
                stream["fields"] = [[name.decode(), value.decode("latin-1")] for name, value in heard.headers]
            if isinstance(heard, DataReceived):
                stream["bytes"] += heard.data
            stream["ended"] = stream["ended"] or getattr(heard, "stream_ended", False)
        asyncio.get_running_loop().create_task(self.tell())

    async def tell(self):
        async with self.changed:
            self.changed.notify_all()

    async def until(self, what):
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(what), LIMIT)

    async def visit(self, visit):
        await self.until(lambda: self.http.received_settings is not None)
        assert self.http.received_settings.get(Setting.ENABLE_CONNECT_PROTOCOL) == 1, "no extended CONNECT"
        number = self._quic.get_next_available_stream_id()
        stream = self.streams[number] = {"fields": None, "bytes": b"", "ended": False}
        fields = [(name.encode(), value.encode("latin-1")) for name, value in visit["fields"]]
        self.http.send_headers(number, fields)
        self.transmit()
        await self.until(lambda: stream["fields"] or stream["ended"])
        for piece in visit["sends"]:
            self.http.send_data(number, bytes.fromhex(piece), False)
            self.transmit()
        wanted = visit["bytes"]
        await self.until(lambda: stream["ended"] or wanted is not None and len(stream["bytes"]) >= wanted)
        return {"fields": stream["fields"], "bytes": stream["bytes"].hex()}


async def main(order):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
    configuration.load_verify_locations(order["certificate"])
    async with connect(order["host"], order["port"], configuration=configuration, create_protocol=Client) as client:
        seen = [await client.visit(visit) for visit in order["visits"]]
    print(json.dumps(seen))


asyncio.run(main(json.loads(sys.argv[1])))
