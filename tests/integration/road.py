# SPDX-License-Identifier: MIT
"""A host with a local engine, an agent with environments on it, and a small service whose commits can be bad ones."""
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

import harness
from harness import program, wait_for

# It answers with its version; one that is "ill" is never healthy.
SERVICE = '''#!/usr/bin/python3 -SE
import os, socket
s = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    c, _ = s.accept()
    with c:
        status = 503 if {is_ill} and c.recv(65536).split()[1:2] == [b"/health"] else 200
        c.sendall(b"HTTP/1.1 %d X\\r\\nContent-Length: {n}\\r\\nConnection: close\\r\\n\\r\\n{text}" % status)
'''

# Impatient, so that a failure is soon one.
TEMPLATE = json.dumps({
    "id": "${name}-${environment}", "root": "${root}", "command": ["/app/greeter"], "workingDirectory": "/app",
    "port": "${port:integer}", "health": {"path": "/health", "intervalSeconds": 0.05, "deadlineSeconds": 1},
    "stopGraceSeconds": 1})


class Engine:
    """A slipway-engine-local."""

    def __init__(self, directory):
        self.socket = os.path.join(directory, "engine.sock")
        self.state = os.path.join(directory, "engine")
        with open(os.path.join(directory, "engine.log"), "ab") as log:
            self.process = subprocess.Popen(
                [program("slipway-engine-local"), "--listen", f"unix:{self.socket}", "--state", self.state],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(self.socket), "the engine listens")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(harness.PATIENCE_SECONDS)


class RoadCase(harness.Case):
    """`self.road` is the agent, with the environments that `environments` names."""
    environments = {"prod": {"requires": {}}}
    others = {}  # of agent.json

    def setUp(self):
        super().setUp()
        self.engine = Engine(self.directory)
        self.addCleanup(self.engine.stop)
        self.urls = {name: f"http://127.0.0.1:{harness.free_port()}" for name in self.environments}
        self.road = self.agent({"name": "prod-1", "environments": {
            name: {"engine": "local", "address": f"unix:{self.engine.socket}", "url": self.urls[name],
                   "variables": {"port": self.urls[name].rpartition(":")[2]}, "timeoutSeconds": 20, **others}
            for name, others in self.environments.items()}, **self.others})
        self.connection = self.road.connect()
        self.addCleanup(lambda: self.connection.close())
        self.repository = os.path.join(self.directory, "greeter.git")
        self.when = int(time.time()) - 7200  # two hours ago somebody began

    def commit(self, text, message, is_ill=False):
        """A commit whose service answers `text`."""
        self.when += 60
        service = SERVICE.format(is_ill=is_ill, n=len(text), text=text)
        return harness.repository(self.repository, {"dist/greeter": (service, 0o755), "deploy/service.json": TEMPLATE},
                                  message, self.when)

    def call(self, action, parameters=None, wanted="succeeded", **others):
        result = self.connection.call(action, parameters, **others)
        self.assertEqual(result["status"], wanted, (result.get("reason"), self.connection.log.decode()))
        return result

    def package(self, text, message, **others):
        """Commits and packages it. Returns the run that has the package, and its digest."""
        commit = self.commit(text, message, **others)
        source = {"source": {"git": self.repository, "commit": commit, "ref": "refs/heads/main"}}
        result = self.call("package", source, run=f"run-{text}")
        return f"run-{text}", result["outputs"]["digest"]

    def release(self, text, message, environment="prod", **others):
        """All the way; returns the digest."""
        run, digest = self.package(text, message, **others)
        self.call(f"deploy-{environment}", run=run, wanted="failed" if others.get("is_ill") else "succeeded")
        return digest

    def answer(self, environment="prod"):
        """What the environment answers; None when nothing listens."""
        try:
            with urllib.request.urlopen(self.urls[environment] + "/", timeout=10) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None

    def audit_path(self):
        return os.path.join(self.road.state, "audit/log")

    def records(self):
        with open(self.audit_path(), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def ends(self, *actions):
        """What the log says of the ends of these actions."""
        return [r for r in self.records() if r["event"] == "finished" and (not actions or r["action"] in actions)]
