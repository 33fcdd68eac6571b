"""A small stand-in of a container engine's API on a unix socket: engine.py SOCKET SERVICE[=PID]...

Each container is a process of its own (sleep), so that what is killed or paused really is; or a process that
runs already, by its pid, which is started again with its own command line, environment and folder, and outlives
the stand-in. It knows what lua/rlab/stack/engine.lua asks, with the status codes that the API's reference says.
"""
import json, os, re, signal, socketserver, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

containers = {}


def proc(pid, name):
    with open("/proc/%d/%s" % (pid, name), "rb") as f:
        return f.read()


def stands_still(pid):
    """An engine answers when the freezer has done its work; a signal is delivered when its process is next on."""
    until = time.monotonic() + 5
    while proc(pid, "stat").rpartition(b")")[2].split()[0] != b"T" and time.monotonic() < until:
        time.sleep(0.002)


class Adopted:
    """A process that somebody else has started, as subprocess.Popen has its own."""

    def __init__(self, pid):
        self.pid = pid
        self.began = self.look()[19]

    def look(self):
        return proc(self.pid, "stat").rpartition(b")")[2].split()

    def poll(self):
        try:
            now = self.look()
        except OSError:
            return -1
        return -1 if now[0] in (b"Z", b"X") or now[19] != self.began else None

    def wait(self):
        while self.poll() is None:
            time.sleep(0.01)
        return -1

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


def again(pid):
    """How to start the process again: the arguments of subprocess.Popen."""
    pairs = (p.partition(b"=") for p in proc(pid, "environ").split(b"\0") if p)
    log = open("/proc/%d/fd/1" % pid, "ab")
    return {"args": proc(pid, "cmdline").split(b"\0")[:-1], "env": {k: v for k, _, v in pairs},
            "cwd": os.readlink("/proc/%d/cwd" % pid), "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log,
            "start_new_session": True}


class Container:
    def __init__(self, service, pid=None):
        self.service, self.id = service, ("%02x" % (len(containers) + 1)) * 32
        self.paused, self.adopted = False, pid is not None
        self.command = again(pid) if pid else {"args": ["sleep", "600"]}
        if pid:
            self.process = Adopted(pid)
        else:
            self.start()

    def start(self):
        self.process = subprocess.Popen(**self.command)

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
        stands_still(one.process.pid)
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
        if one.status() != "exited" and not one.adopted:
            one.process.kill()
    os._exit(0)


signal.signal(signal.SIGTERM, ended)
for word in sys.argv[2:]:
    service, _, pid = word.partition("=")
    container = Container(service, int(pid) if pid else None)
    containers[container.id] = container
Server(sys.argv[1], Handler).serve_forever()
