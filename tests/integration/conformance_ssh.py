# SPDX-License-Identifier: MIT
"""The row of the ssh engine in the conformance test: one host with a real sshd, and a systemd of the test's own."""
import json
import os

import harness
from deploy_case import EngineRow, Runner, make_package, sha256
from ssh_hosts import SshHosts


class SshEngine(EngineRow):
    name = "ssh"
    needs_root = True
    crash_words = "no such table: greetings"
    cannot = {
        "image missing": "the package has the image's files; a package without them is refused before a host is asked",
        "scale": "an instance is a host, and how many there are is up to the environment's `hosts` "
                 "(test-ssh-engine.py adds one)",
        "bad credentials": "there is no file of them: keys are as ssh_config says (test-ssh-engine.py has a host that "
                           "takes none of ours)",
    }

    def __init__(self, directory):
        super().__init__(directory)
        self.port = harness.free_port()
        self.hosts = None
        self.elsewhere = None

    def start(self):
        if not self.hosts:
            self.hosts = SshHosts(self.directory, 1, self.port)
            self.host = self.hosts.hosts[0]
        else:
            self.host.come_back()

    def stop(self):
        if self.elsewhere:
            self.elsewhere.wait()
        if self.hosts:
            self.hosts.stop()

    def leave(self):
        self.host.leave()

    def environment(self):
        return {"engine": "ssh", "hosts": self.hosts.names(), "sshConfig": self.hosts.config,
                "url": f"http://127.0.0.1:{self.port}", "variables": {"port": str(self.port)}, "timeoutSeconds": 20}

    def template(self, is_patient=False, instances=1, env="${env:json}", **others):
        return json.dumps({
            "id": "${name}-${environment}", "base": "~/${name}-${environment}", "root": "${root}",
            "restart": {"unit": "${name}"}, "env": env,
            "health": {"url": "http://$${host}:${port}/health", "intervalSeconds": 0.05,
                       "deadlineSeconds": 60 if is_patient else 1}, **others})

    def bad_templates(self):
        return [(self.template(keep="two"), "/keep: must be integer, not string"),
                (self.template(restart={"unit": "x", "command": ["y"]}), "/restart: needs either"),
                (self.template(base="/srv/../etc"), "/base: must not have '..' in it")]

    def publish(self, image, arguments):
        self.hosts.publish(image.partition("@")[2], arguments)

    def begin_elsewhere(self, app, arguments):
        """By another agent, which has a state directory of its own."""
        inputs = os.path.join(self.directory, "elsewhere-inputs")
        os.makedirs(inputs)
        data, digest = make_package("0", "0" * 40, arguments, self.template(is_patient=True))
        self.publish(f"greeter@{digest}", arguments)
        with open(os.path.join(inputs, "package"), "wb") as f:
            f.write(data)
        with open(os.path.join(inputs, "package.sha256"), "w", encoding="ascii") as f:
            f.write(sha256(data))
        directory = os.path.join(self.directory, "elsewhere")
        self.elsewhere = Runner(directory, {
            "call": "elsewhere", "action": "deploy-staging", "createdAt": "2026-01-01T00:00:00.000000Z",
            "parameters": {"package": {"input": "package"}}, "graceSeconds": 10,
            "directories": {"call": directory, "workspace": directory, "calls": directory, "inputs": inputs,
                            "cache": directory, "releases": os.path.join(self.directory, "elsewhere-releases")},
            "environment": {**self.environment(), "name": "staging"}})

    def lose_reply(self):
        with open(self.host.path("lose"), "w", encoding="ascii") as f:
            f.write("accept")
        return {}

    def has_lost_reply(self):
        return self.host.read("lost") == "0\n"


Row = SshEngine
