"""Connects by Socket.IO over a WebSocket alone, says something, stays for a while, and prints what it saw (JSON)."""

import json
import logging
import sys
import threading
import time

import socketio

PATIENCE = 10


def visit(url, headers=None, auth=None, stay=0):
    seen = {"known": None, "said": [], "returned": None, "error": None, "lost": None}
    connected, known, heard, lost = (threading.Event() for _ in range(4))
    client = socketio.Client(reconnection=False, websocket_extra_options={"timeout": PATIENCE})

    # What the service says to it as it connects may come before the packet that tells of it.
    client.on("connect", connected.set)

    @client.on("known")
    def on_known(told):
        seen["known"] = told
        known.set()

    @client.on("said")
    def said(text):
        seen["said"].append(text)
        heard.set()

    @client.event
    def disconnect(reason):
        lost.set()

    try:
        client.connect(url, headers=headers or {}, auth=auth, transports=["websocket"], wait=False)
        end = time.monotonic() + PATIENCE
        while not (connected.wait(0.05) and known.wait(0.05)):
            if client.eio.state != "connected" or time.monotonic() > end:
                return {**seen, "error": "closed" if client.eio.state != "connected" else "not connected"}
        seen["lost"] = lost.wait(stay)
        seen["returned"] = client.call("say", "hello", timeout=PATIENCE)
        heard.wait(PATIENCE)
    except (socketio.exceptions.SocketIOError, ValueError) as error:
        # It is a ValueError where a Close comes in the place of the first packet.
        seen["error"] = str(error)
    finally:
        client.disconnect()
    return seen


logging.disable()
print(json.dumps(visit(**json.loads(sys.argv[1]))))
