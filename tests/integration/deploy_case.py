# SPDX-License-Identifier: MIT
"""slipway-run-deploy as the shim would start it (spec.json on fd 0, reports on fd 3), with a package made by hand
and a service that shows what became of it: which version answers, and how often it was started.
"""
import glob
import hashlib
import http.client
import http.server
import io
import json
import os
import socket
import subprocess
import tarfile
import threading
import urllib.error
import urllib.request

import harness

REFUSED = 100
DEADLINE_SECONDS = 60

# A service with the vices that MODE says, VICE@ADDRESS only at that address. It writes a line for each of its starts.
SERVICE = r'''#!/usr/bin/python3 -SE
import os, socket, sys, time
mode, version, directory = sys.argv[1], sys.argv[2], sys.argv[3]
address = os.environ.get("ADDRESS", "127.0.0.1")
mode, _, only = mode.partition("@")
if only not in ("", address):
    mode = "well"
with open(directory + "/starts", "a") as f:
    f.write(version + "\n")
if mode == "crash":
    sys.exit("no such table: greetings")
s = socket.create_server((address, int(os.environ["PORT"])))
while True:
    c, _ = s.accept()
    with c:
        path = c.recv(65536).split()[1:2]
        is_well = mode == "well" or (mode == "gated" and os.path.exists(directory + "/gate"))
        status = 503 if path == [b"/health"] and not is_well else 200
        c.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(version)}\r\nConnection: close\r\n\r\n{version}".encode())
'''


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tar_of(files):
    """A tar of name → (bytes, mode)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, (data, mode) in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), mode, 1700000000
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_package(version, commit, arguments, template=None, files=None, repository=None):
    """The bytes of a package with SERVICE (or other `files`) in its image: what `package` makes, made by hand, and
    where it pushed the image."""
    blobs = {}

    def blob(data, media_type):
        blobs[sha256(data)] = data
        return {"mediaType": media_type, "digest": "sha256:" + sha256(data), "size": len(data)}

    layer = tar_of(files or {"app/service": (SERVICE.encode(), 0o755)})
    config = json.dumps({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": ["/app/service"], "Cmd": arguments, "WorkingDir": "/app", "Env": ["GREETING=hello"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(layer)]}}).encode()
    prefix = "application/vnd.oci.image."
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": prefix + "manifest.v1+json",
        "config": blob(config, prefix + "config.v1+json"),
        "layers": [blob(layer, prefix + "layer.v1.tar")]}).encode()
    index = json.dumps({"schemaVersion": 2, "mediaType": prefix + "index.v1+json",
                        "manifests": [blob(manifest, prefix + "manifest.v1+json")]}).encode()
    release = {"name": "greeter", "version": version, "commit": commit, "digest": "sha256:" + sha256(manifest),
               "committedAt": "2023-11-14T22:13:20.000000Z"}
    files = {"oci/oci-layout": (b'{"imageLayoutVersion":"1.0.0"}', 0o644), "oci/index.json": (index, 0o644)}
    files.update({f"oci/blobs/sha256/{name}": (data, 0o644) for name, data in blobs.items()})
    if repository is not None:
        release["reference"] = f"{repository}@{release['digest']}"
    if template is not None:
        release["template"] = "deploy/service.json"
        files["deploy/service.json"] = (template.encode(), 0o644)
    files["release.json"] = (json.dumps(release).encode(), 0o644)
    return tar_of(files), release["digest"]


class LossyProxy:
    """Stands before an engine that speaks HTTP, and passes everything on. A reply that is to be lost comes back
    from the engine whole and goes no further: the asker is hung up on."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.to_lose = []
        self.lost = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.make_handler())
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def ask(self, method, path, body, headers):
        if self.upstream.startswith("unix:"):
            connection = http.client.HTTPConnection("localhost", timeout=30)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.upstream[5:])
        else:
            connection = http.client.HTTPConnection(self.upstream.partition("//")[2], timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def make_handler(proxy):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                status, said, data = proxy.ask(self.command, self.path, body or None, headers)
                if self.command in proxy.to_lose:
                    proxy.to_lose.remove(self.command)
                    proxy.lost.append((self.command, status))
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in said:
                    if name.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any

            def log_message(self, *args):
                pass
        return Handler


class EngineRow:
    """An engine, as a case sees it: a row of the conformance test is a class of its own, in conformance_NAME.py.
    What is here suits an engine that speaks HTTP at `address()` and needs no registry."""
    name = None
    cannot = {}                # behaviour: why it cannot happen with this engine
    needs_root = False         # it runs the image's files on this host
    first_reason = "nothing ran before it, and nothing runs now"
    crash_words = None         # what the log or the reason has of a service that dies with "no such table: greetings"
    missing_image_words = None
    image_files = None         # of its images, where SERVICE alone would not run there
    repository = None          # REGISTRY/NAME where `publish` puts them, if a package says that
    bad_credentials_words = None
    change_method = "PUT"      # of the request with which a deployment is begun
    proxy = None

    def __init__(self, directory):
        self.directory = directory

    def start(self):
        """Starts the engine, or lets it come back after `leave` with all it knew."""
        raise NotImplementedError

    def stop(self):
        """Ends it and every service."""
        raise NotImplementedError

    def leave(self):
        """It does not answer any more, as if killed; the services go on."""
        raise NotImplementedError

    def address(self):
        raise NotImplementedError

    def environment(self):
        """As in agent.json, with `url`."""
        raise NotImplementedError

    def template(self, is_patient=False, instances=1, env=None, **others):
        """Of the service: impatient, so that a failure is soon one, or patient, so that only the policy's deadline
        ends it. `instances` may be a placeholder, `others` are members of the engine's own document."""
        raise NotImplementedError

    def bad_templates(self):
        """Templates that are JSON and no specification, each with words of the sentence that says so."""
        raise NotImplementedError

    def publish(self, image, arguments):
        """Somebody pushed the image (NAME@DIGEST), whose service takes these arguments."""

    def answer(self):
        """What the service says; None when nothing serves."""
        try:
            with urllib.request.urlopen(self.environment()["url"], timeout=5) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None

    def begin_elsewhere(self, app, arguments):
        """Somebody else deploys `app` at the engine, with a service of these arguments."""
        raise NotImplementedError

    def lose_reply(self):
        """Of the next change, after it was applied. Returns what that changes in the environment."""
        self.proxy = LossyProxy(self.address())
        self.proxy.to_lose.append(self.change_method)
        return {"address": self.proxy.address}

    def has_lost_reply(self):
        return len(self.proxy.lost) == 1 and self.proxy.lost[0][1] in (200, 201, 202)

    def refuse_credentials(self):
        """From now on it wants others than `environment` has."""
        raise NotImplementedError


class Ended:
    """What a runner said and how it ended."""

    def __init__(self, status, log, reports):
        self.status, self.log = status, log
        self.reports = [json.loads(line) for line in reports.splitlines()]
        self.outputs = {r["name"]: r["value"] for r in self.reports if r["type"] == "output"}
        self.progress = [r for r in self.reports if r["type"] == "progress" and r.get("unit") == "instances"]
        reasons = [r["text"] for r in self.reports if r["type"] == "reason"]
        self.reason = reasons[-1] if reasons else None

    def __str__(self):
        return f"status {self.status}, reason {self.reason}\n{self.log}"


class Runner:
    """A slipway-run-deploy under way."""

    def __init__(self, directory, spec):
        self.directory = directory
        os.makedirs(directory)
        for name, text in (("spec.json", json.dumps(spec)), ("reports", ""), ("log", "")):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
                f.write(text)
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$0" <spec.json >>log 2>&1 3>>reports', harness.program("slipway-run-deploy")],
            cwd=directory)

    def read(self, name):
        with open(os.path.join(self.directory, name), encoding="utf-8") as f:
            return f.read()

    def wait(self):
        self.process.wait(DEADLINE_SECONDS)
        return Ended(self.process.returncode, self.read("log"), self.read("reports"))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def has_progress(self):
        return '"instances"' in self.read("reports")


class DeployCase(harness.Case):
    engine_class = None

    def setUp(self):
        super().setUp()
        self.n_calls = 0
        self.work = os.path.join(self.directory, "service")
        for name in ("service", "inputs", "releases", "cache", "calls", "runs/r/workspace", "runs/r/calls"):
            os.makedirs(os.path.join(self.directory, name))
        self.engine = self.engine_class(self.directory)
        self.addCleanup(self.end_engine)
        self.engine.start()

    def end_engine(self):
        if self.engine.proxy:
            self.engine.proxy.close()
        self.engine.stop()

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def package(self, version, mode="well", template=None, commit=None, is_published=True):
        """An input with a package whose service answers `version`. Returns (input's name, digest)."""
        arguments = [mode, version, self.work]
        data, digest = make_package(version, commit or sha256(version.encode())[:40], arguments,
                                    template or self.engine.template(), self.engine.image_files,
                                    self.engine.repository)
        if is_published:
            self.engine.publish(f"greeter@{digest}", arguments)
        name = f"package-{version}"
        with open(self.path("inputs", name), "wb") as f:
            f.write(data)
        with open(self.path("inputs", name + ".sha256"), "w", encoding="ascii") as f:
            f.write(sha256(data))
        return name, digest

    def spec(self, verb, parameters, environment=None, **others):
        self.n_calls += 1
        call = f"call-{self.n_calls}"
        return {
            "call": call, "action": f"{verb}-staging", "createdAt": "2026-01-01T00:00:00.000000Z",
            "parameters": parameters, "graceSeconds": 10,
            "directories": {"call": self.path("call-directories", call), "workspace": self.path("runs", "r", "workspace"),
                            "calls": self.path("calls"), "inputs": self.path("inputs"), "cache": self.path("cache"),
                            "releases": self.path("releases"), "audit": self.path("audit")},
            "environment": {**self.engine.environment(), "name": "staging", **(environment or {})}, **others}

    def finished(self):
        """How the audit log says that calls ended: (call, outcome, the call that found it out)."""
        with open(self.path("audit", "log"), encoding="utf-8") as f:
            records = [json.loads(line) for line in f]
        return [(r["call"], r["outcome"], r.get("settledBy")) for r in records if r["event"] == "finished"]

    def start(self, verb, parameters, **others):
        spec = self.spec(verb, parameters, **others)
        return Runner(spec["directories"]["call"], spec)

    def deploy(self, name, wanted=0, **others):
        ended = self.start("deploy", {"package": {"input": name}}, **others).wait()
        self.assertEqual(ended.status, wanted, str(ended))
        return ended

    def rollback(self, wanted=0, **parameters):
        ended = self.start("rollback", parameters).wait()
        self.assertEqual(ended.status, wanted, str(ended))
        return ended

    def answer(self):
        return self.engine.answer()

    def starts(self):
        """The versions that were started, in order."""
        try:
            with open(os.path.join(self.work, "starts"), encoding="utf-8") as f:
                return f.read().split()
        except FileNotFoundError:
            return []

    def open_gate(self):
        with open(os.path.join(self.work, "gate"), "w", encoding="utf-8"):
            pass

    def records(self):
        found = []
        for name in sorted(glob.glob(self.path("releases", "staging", "*", "record.json"))):
            with open(name, encoding="utf-8") as f:
                found.append(json.load(f))
        return found

    def outcomes(self):
        return [record.get("outcome") for record in self.records()]
