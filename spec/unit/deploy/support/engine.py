"""A small stand-in of a container engine's API on a unix socket: engine.py SOCKET SERVICE...

Each container is a process of its own (sleep), so that what is killed or paused really is. It knows
what lua/rlab/stack/engine.lua asks, with the status codes that the API's reference says.
"""
import json, os, re, signal, socketserver, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

containers = {}


class Container:
    def __init__(self, service):
        self.service, self.id = service, ("%02x" % (len(containers) + 1)) * 32
        self.paused, self.process = False, None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["sleep", "600"])

    def status(self):
        if self.process.poll() is not None:
            return "exited"
        return "paused" if self.paused else "running"

    def send(self, name):
        self.process.send_signal(getattr(signal, name))
        if name == "SIGKILL":
            self.paused = False

    def row(self):
        labels = {"com.docker.compose.service": self.service, "com.docker.compose.project": "rlab"}
        return {"Id": self.id, "Labels": labels, "State": self.status()}

    def whole(self):
        alive = self.status() != "exited"
        state = {"Status": self.status(), "Pid": self.process.pid if alive else 0,
                 "StartedAt": "2026-01-01T00:00:00.123456789Z", "Health": {"Status": "healthy"}}
        return {"Id": self.id, "State": state, "Config": {"Image": "registry.example:5000/rlab/%s:4.4.0" % self.service}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", kind="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def wrong(self, status, text):
        self.answer(status, {"message": text})

    def do_GET(self):
        at = urlsplit(self.path)
        query = parse_qs(at.query)
        if at.path == "/containers/json":
            wanted = json.loads(query["filters"][0])["label"]
            rows = [c.row() for c in containers.values()]
            return self.answer(200, [r for r in rows if all(w in ["%s=%s" % l for l in r["Labels"].items()] for w in wanted)])
        one, word = self.container(at.path)
        if one and word == "json":
            return self.answer(200, one.whole())
        if one and word == "logs":
            frames = b"".join(bytes([s, 0, 0, 0]) + len(t).to_bytes(4, "big") + t for s, t in ((1, b"ready\n"), (2, b"oops\n")))
            return self.answer(200, frames, "application/vnd.docker.multiplexed-stream")
        self.wrong(404, "No such container")

    def do_POST(self):
        at = urlsplit(self.path)
        one, word = self.container(at.path)
        if not one:
            return self.wrong(404, "No such container")
        getattr(self, word)(one, parse_qs(at.query))

    def container(self, path):
        found = re.fullmatch("/containers/([0-9a-f]+)/([a-z]+)", unquote(path))
        return (containers.get(found[1]), found[2]) if found else (None, None)

    def kill(self, one, query):
        if one.status() == "exited":
            return self.wrong(409, "Container %s is not running" % one.id)
        # An engine answers when the signal is sent, not when it has taken effect.
        threading.Timer(0.05, one.send, [query["signal"][0]]).start()
        self.answer(204)

    def wait(self, one, query):
        self.answer(200, {"StatusCode": one.process.wait() & 255})

    def pause(self, one, query):
        if one.status() != "running":
            return self.wrong(409, "Container %s is not running" % one.id)
        one.send("SIGSTOP")
        one.paused = True
        self.answer(204)

    def unpause(self, one, query):
        if one.status() != "paused":
            return self.wrong(409, "Container %s is not paused" % one.id)
        one.send("SIGCONT")
        one.paused = False
        self.answer(204)

    def start(self, one, query):
        if one.status() != "exited":
            return self.answer(304)
        one.start()
        self.answer(204)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def ended(*_):
    for one in containers.values():
        if one.status() != "exited":
            one.process.kill()
    os._exit(0)


signal.signal(signal.SIGTERM, ended)
for service in sys.argv[2:]:
    container = Container(service)
    containers[container.id] = container
Server(sys.argv[1], Handler).serve_forever()
