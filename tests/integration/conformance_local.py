# SPDX-License-Identifier: MIT
"""The row of slipway-engine-local in the conformance test."""
import http.client
import json
import os
import socket
import subprocess

import harness
from deploy_case import DEADLINE_SECONDS, SERVICE, EngineRow
from harness import wait_for


class LocalEngine(EngineRow):
    name = "local"
    needs_root = True
    crash_words = "no such table: greetings"
    cannot = {
        "image missing": "the package has the image's files; a package without them is refused before the engine is asked",
        "bad credentials": "there are none: who may open its socket may deploy, and that is up to the file's permissions",
    }

    def __init__(self, directory):
        super().__init__(directory)
        self.socket = os.path.join(directory, "engine.sock")
        self.port = harness.free_port()
        self.process = None

    def start(self):
        with open(os.path.join(self.directory, "engine.log"), "ab") as log:
            self.process = subprocess.Popen(
                [harness.program("slipway-engine-local"), "--listen", f"unix:{self.socket}",
                 "--state", os.path.join(self.directory, "engine")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_up, "the engine listens")
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the engine ended with {self.process.returncode}")
        return os.path.exists(self.socket)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE_SECONDS)

    def leave(self):
        self.process.kill()
        self.process.wait()
        os.unlink(self.socket)

    def address(self):
        return f"unix:{self.socket}"

    def environment(self):
        return {"engine": "local", "address": self.address(), "url": f"http://127.0.0.1:{self.port}",
                "variables": {"port": str(self.port)}, "timeoutSeconds": 20}

    def template(self, is_patient=False, instances=1, env="${env:json}", **others):
        return json.dumps({
            "id": "${name}-${environment}", "root": "${root}", "command": "${command:json}",
            "workingDirectory": "${workingDirectory}", "env": env, "port": "${port:integer}", "instances": instances,
            "health": {"path": "/health", "intervalSeconds": 0.05, "deadlineSeconds": 60 if is_patient else 1},
            "stopGraceSeconds": 1, **others})

    def bad_templates(self):
        return [(self.template(instances="two"), "/instances: must be integer, not string"),
                (self.template(stopGraceSeconds=-1), "/stopGraceSeconds: must be at least 0"),
                (self.template(id="no/name"), "/id: the app's name is expected")]

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("localhost", timeout=DEADLINE_SECONDS)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.socket)
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def begin_elsewhere(self, app, arguments):
        root = os.path.join(self.directory, "elsewhere")
        os.makedirs(os.path.join(root, "app"))
        with open(os.path.join(root, "app", "service"), "w", encoding="utf-8") as f:
            f.write(SERVICE)
            os.fchmod(f.fileno(), 0o755)
        status, said = self.ask("PUT", f"/v1/apps/{app}?deployment=elsewhere", {
            "id": app, "root": root, "command": ["/app/service", *arguments], "workingDirectory": "/app",
            "port": self.port, "health": {"path": "/health", "intervalSeconds": 0.05, "deadlineSeconds": 60}})
        assert status == 202, said


Row = LocalEngine
