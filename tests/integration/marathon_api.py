# SPDX-License-Identifier: MIT
"""Marathon's HTTP over the emulator: one address is a Front. Faults are told to it before they happen, as
`faults.append((METHOD, part of the path, what))`, with `what` one of

    "hang up"            the request is not even looked at
    "lose"               it is done, and nobody is told
    ("answer", STATUS, BODY, TYPE)
    "truncate"           half of the right answer
    ("delay", SECONDS)
"""
import http.server
import json
import threading
import time
import urllib.parse

from marathon_emulator import Refused

POLLS_MAX = 5  # of one path in a second


class Front:
    """An address of Marathon's, of the leader unless `mode` says otherwise: "proxy" (a standby, which passes on),
    "no leader", or the base address that it redirects to."""

    def __init__(self, marathon, mode="leader"):
        self.marathon, self.mode = marathon, mode
        self.authorization = None  # the header that is wanted
        self.faults = []
        self.requests = []         # (time, method, path, authorization)
        self.port = 0
        self.server = None
        self.open()

    def open(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), make_handler(self))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.connections = []
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        """Nobody listens any more, and what was connected is cut."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            for connection in self.connections:
                try:
                    connection.shutdown(2)
                except OSError:
                    pass
        self.server = None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def take_fault(self, method, path):
        for fault in self.faults:
            if fault[0] == method and fault[1] in path:
                self.faults.remove(fault)
                return fault[2]
        return None

    def most_polls(self):
        """Of one path in any one second."""
        times = {}
        for when, method, path, _ in self.requests:
            if method == "GET":
                times.setdefault(path, []).append(when)
        return max((sum(a <= t < a + 1 for t in ts) for ts in times.values() for a in ts), default=0)


def route(marathon, method, path, query, body):
    """Status and JSON (None: an empty body)."""
    parts = path.strip("/").split("/")
    is_forced = query.get("force") == "true"
    if parts[:2] == ["v2", "apps"] and len(parts) > 2:
        return route_app(marathon, method, parts[2:], query, body, is_forced)
    if parts == ["v2", "deployments"] and method == "GET":
        return 200, marathon.deployments_json()
    if parts[:2] == ["v2", "deployments"] and len(parts) == 3 and method == "DELETE":
        answer = marathon.cancel(parts[2], is_forced)
        return (202 if answer is None else 200), answer
    if parts == ["v2", "queue"] and method == "GET":
        return 200, marathon.queue_json()
    if parts == ["v2", "apps"] and method == "GET":
        return 200, {"apps": [marathon.app_json(app) for app in marathon.apps.values() if not app.is_removed]}
    raise Refused(500, {"message": "URI not found"})


def route_app(marathon, method, parts, query, body, is_forced):
    versions = parts.index("versions") if "versions" in parts else len(parts)
    app_id = "/" + "/".join(parts[:versions])
    app = marathon.apps.get(app_id)
    if method == "PUT" and versions == len(parts):
        was_there, answer = marathon.put_app(app_id, body, query.get("partialUpdate", "true") == "true", is_forced)
        return (200 if was_there else 201), answer
    if not app or app.is_removed:
        raise Refused(404, {"message": f"App '{app_id}' does not exist"})
    if method == "GET" and versions == len(parts):
        return 200, {"app": marathon.app_json(app)}
    if method == "GET" and versions == len(parts) - 1:
        return 200, {"versions": sorted(app.versions, reverse=True)}
    if method == "GET" and parts[-1] in app.versions:
        version = parts[-1]
        return 200, {**app.versions[version], "version": version,
                     "versionInfo": {"lastScalingAt": version, "lastConfigChangeAt": version}}
    raise Refused(404, {"message": f"App '{app_id}' does not exist"})


def make_handler(front):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            front.connections.append(self.connection)

        def send(self, status, data, kind="application/json", headers=(), cut=None):
            self.send_response(status)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))),
                                ("X-Marathon-Leader", front.address), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[:cut])
            if cut is not None:
                self.close_connection = True

        def stand_by(self):
            """True when a standby has answered by itself."""
            if front.mode == "no leader":
                self.send(502, json.dumps({"message": "Could not determine the current leader"}).encode())
            elif front.mode.startswith("http"):
                self.send(307, b"", headers=[("Location", front.mode + self.path)])
            return front.mode not in ("leader", "proxy")

        def read(self):
            """The body; what is wrong with the request's form is refused."""
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if "application/json" not in self.headers.get("Accept", ""):
                raise Refused(406, {"message": "an Accept of application/json is wanted"})
            if not data:
                return None
            if self.headers.get("Content-Type") != "application/json":
                raise Refused(415, {"message": "Please specify data in JSON format"})
            try:
                return json.loads(data)
            except ValueError as e:
                raise Refused(400, {"message": "Invalid JSON", "details": str(e)}) from e

        def handle_any(self):
            given = self.headers.get("Authorization")
            front.requests.append((time.monotonic(), self.command, self.path.partition("?")[0], given))
            fault = front.take_fault(self.command, self.path)
            try:
                body, problem = self.read(), None
            except Refused as e:
                body, problem = None, e
            if fault == "hang up":
                self.close_connection = True
                return
            if isinstance(fault, tuple) and fault[0] == "answer":
                self.send(fault[1], fault[2].encode(), fault[3])
                return
            if isinstance(fault, tuple) and fault[0] == "delay":
                time.sleep(fault[1])
            if self.stand_by():
                return
            if front.authorization and given != front.authorization:
                self.send(401, b"<html><body>401 Unauthorized</body></html>", "text/html",
                          [("WWW-Authenticate", 'Basic realm="Mesosphere"')])
                return
            status, answer = self.do(body, problem)
            data = b"" if answer is None else json.dumps(answer).encode()
            if fault == "lose":
                self.close_connection = True
                return
            self.send(status, data, cut=len(data) // 2 if fault == "truncate" else None)

        def do(self, body, problem):
            url = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(url.query))
            try:
                if problem:
                    raise problem
                with front.marathon.lock:
                    return route(front.marathon, self.command, urllib.parse.unquote(url.path), query, body)
            except Refused as e:
                return e.status, e.body

        do_GET = do_PUT = do_DELETE = handle_any

        def log_message(self, *args):
            pass
    return Handler
