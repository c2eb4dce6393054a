"""Publishes to itself over MQTT in a WebSocket before and after an idle time, and prints what it saw (JSON).

It sends no PINGREQ of MQTT meanwhile, and does not connect anew.
"""

import json
import sys
import time

import paho.mqtt.client as mqtt

TOPIC = "postern"
PATIENCE = 20


def visit(host, port, path, certificate, idle, headers=None):
    seen = {"connected": None, "messages": [], "lost": None}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets", reconnect_on_failure=False)
    client.tls_set(certificate)
    client.ws_set_options(path=path, headers=headers)

    def on_connect(client, userdata, flags, reason, properties):
        seen["connected"] = str(reason)
        client.subscribe(TOPIC)

    def on_message(client, userdata, message):
        seen["messages"].append(message.payload.decode())

    def on_disconnect(client, userdata, flags, reason, properties):
        seen["lost"] = str(reason)

    def loop(seconds, done=lambda: False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and seen["lost"] is None and not done():
            client.loop(0.1)

    def say(text):
        expected = len(seen["messages"]) + 1
        client.publish(TOPIC, text)
        loop(PATIENCE, lambda: len(seen["messages"]) == expected)

    client.on_connect, client.on_message, client.on_disconnect = on_connect, on_message, on_disconnect
    # What is published behind a subscription comes back.
    try:
        client.connect(host, port, keepalive=3600)
    except mqtt.WebsocketConnectionError as refusal:
        return {**seen, "refused": str(refusal)}
    loop(PATIENCE, lambda: seen["connected"] is not None)
    say("before")
    loop(idle)
    say("after")
    if seen["lost"] is None:
        client.on_disconnect = None
        client.disconnect()
    return seen


print(json.dumps(visit(**json.loads(sys.argv[1]))))
