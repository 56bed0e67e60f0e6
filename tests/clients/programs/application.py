"""A WSGI application behind wsgiref: answers with what it was told, and reads bodies as PEP 3333 has it.

Prints its address, and ends when its standard input does."""

import json
import os
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

SHOWN = ("HTTP_COOKIE", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_ORIGINAL_URL", "CONTENT_LENGTH")


def application(environ, start_response):
    """Answers 411 to a POST that does not say how long it is."""
    length = environ.get("CONTENT_LENGTH", "")
    if environ["REQUEST_METHOD"] == "POST" and not length:
        start_response("411 Length Required", [("Content-Length", "0")])
        return []
    body = environ["wsgi.input"].read(int(length or 0))
    saw = {name: environ.get(name) for name in SHOWN} | {"read": len(body)}
    answer = json.dumps(saw).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


class Silent(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, format, *args):
        pass


server = make_server("127.0.0.1", 0, application, handler_class=Silent)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("127.0.0.1:%d" % server.server_port, flush=True)
sys.stdin.read()
os._exit(0)
