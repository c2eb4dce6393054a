"""Serves Socket.IO at the address it is given, prints its port, and ends with its standard input.

Who connects is told what the service knows of it: the token in the packet that connects (`auth`) and the user in a header.
"""

import logging
import os
import sys
import threading

import simple_websocket
import socketio
from werkzeug.serving import make_server

server = socketio.Server(async_mode="threading", ping_interval=1, ping_timeout=10)


@server.event
def connect(sid, environ, auth):
    server.emit("known", {"auth": auth, "user": environ.get("HTTP_X_USER_ID")}, to=sid)


@server.event
def say(sid, text):
    server.emit("said", text, to=sid)
    return len(text)


logging.disable()
listener = make_server(sys.argv[1], 0, socketio.WSGIApp(server), threaded=True)
threading.Thread(target=listener.serve_forever, daemon=True).start()
print(listener.server_port, flush=True)
sys.stdin.buffer.read()
# Threads that serve sockets would go on.
os._exit(0)
