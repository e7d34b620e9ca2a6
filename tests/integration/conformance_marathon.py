# SPDX-License-Identifier: MIT
"""The row of Marathon in the conformance test: the emulator, behind credentials, at two addresses."""
import http.client
import json
import os

from deploy_case import SERVICE, EngineRow
from marathon_api import Front
from marathon_emulator import Marathon


class MarathonEngine(EngineRow):
    name = "marathon"
    crash_words = "an instance ended: Command exited with status 1 (TASK_FAILED on 127.0.0.1)"
    missing_image_words = "cannot be had: Failed to launch container"
    bad_credentials_words = "Marathon refuses to"

    def __init__(self, directory):
        super().__init__(directory)
        self.marathon = Marathon(directory)
        self.standby, self.leader = Front(self.marathon, "no leader"), Front(self.marathon)
        self.leader.authorization = "Basic YW5uOnNlY3JldA=="
        self.service = os.path.join(directory, "service.py")
        self.credentials = os.path.join(directory, "credentials.json")
        for name, text, mode in ((self.service, SERVICE, 0o755),
                                 (self.credentials, '{"username": "ann", "password": "secret"}', 0o600)):
            with open(name, "w", encoding="utf-8") as f:
                f.write(text)
                os.fchmod(f.fileno(), mode)

    def start(self):
        for front in (self.standby, self.leader):
            if not front.server:
                front.open()
        return self

    def leave(self):
        self.standby.close()
        self.leader.close()

    def stop(self):
        self.leave()
        self.marathon.stop()

    def address(self):
        return self.leader.address

    def environment(self):
        return {"engine": "marathon", "addresses": [self.standby.address, self.leader.address],
                "credentialsFile": self.credentials, "url": "http://127.0.0.1:1", "variables": {"port": "8080"},
                "timeoutSeconds": 30}

    def template(self, is_patient=False, instances=1, env=None, **others):
        return json.dumps({
            "id": "/${name}-${environment}", "instances": instances, "cpus": 0.1,
            "container": {"type": "DOCKER", "docker": {"image": "${image}"},
                          "portMappings": [{"containerPort": "${port:integer}"}]},
            "networks": [{"mode": "container/bridge"}], **({"env": env} if env else {}),
            "healthChecks": [{"path": "/health", "intervalSeconds": 1, "timeoutSeconds": 10, "maxConsecutiveFailures": 2,
                              "gracePeriodSeconds": 300 if is_patient else 10}], **others})

    def bad_templates(self):
        return [(self.template(instances="two"), "/instances: must be integer, not string"),
                (self.template(healthCheck=[]), '/healthCheck: unknown member; did you mean "healthChecks"?'),
                (self.template(id="/No_name"), "/id: does not match"),
                (self.template(cmd="sleep 1", args=["x"]), "Marathon cannot take the app (422): Object is not valid; /: "
                 "AppDefinition must either contain one of 'cmd' or 'args'")]

    def publish(self, image, arguments):
        self.marathon.images[image] = [self.service, *arguments]

    def answer(self):
        with self.marathon.lock:
            ports = [t.ports[0] for t in self.marathon.tasks if t.is_healthy()]
        if not ports:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def begin_elsewhere(self, app, arguments):
        self.publish("elsewhere", arguments)
        with self.marathon.lock:
            self.marathon.put_app("/" + app, {
                "container": {"type": "DOCKER", "docker": {"image": "elsewhere"}, "portMappings": [{"containerPort": 80}]},
                "networks": [{"mode": "container/bridge"}],
                "healthChecks": [{"path": "/health", "intervalSeconds": 1, "timeoutSeconds": 10}]})

    def refuse_credentials(self):
        self.leader.authorization = "Basic b3RoZXJz"


Row = MarathonEngine
