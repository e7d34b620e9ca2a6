# SPDX-License-Identifier: MIT
"""The engine swarm against a real dockerd, beyond what every engine does (conformance_swarm.py): what docker does by
itself, what others do to the service, and the ways in."""
import hashlib
import json
import os
import shutil

import harness
import runner
from collector import make_authority, make_certificate
from conformance_swarm import MILLISECOND, PORT, Door, SwarmEngine
from deploy_case import DeployCase
from dockerd import LOCKED_REGISTRY, PASSWORD, REGISTRY, TLS_PORT, USER
from harness import wait_for

APP = "greeter-staging"


class Swarm(DeployCase):
    engine_class = SwarmEngine

    def template(self, **others):
        """As the row's; `others` are changed in the members that they name, level by level."""
        def merge(into, more):
            for name, value in more.items():
                if isinstance(value, dict) and isinstance(into.get(name), dict):
                    merge(into[name], value)
                elif value is None:
                    del into[name]
                else:
                    into[name] = value
        made = self.engine.specification("${image}", others.pop("is_patient", False), 1, {})
        merge(made, others)
        return json.dumps(made)

    def service(self):
        return self.engine.docker.ask("GET", f"/services/{APP}")[1]

    def change(self, change):
        """Somebody changes the service with docker's own tools."""
        service = self.service()
        change(service["Spec"])
        status, said = self.engine.docker.ask(
            "POST", f"/services/{service['ID']}/update?version={service['Version']['Index']}", service["Spec"])
        self.assertEqual(status, 200, said)

    def update_state(self):
        return (self.service().get("UpdateStatus") or {}).get("State")

    def start_and_kill(self, name):
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(runner.has_progress, "the deployment has begun")
        runner.kill()

    def test_rolled_back_by_docker(self):
        """what docker rolled back while nobody looked is a failure with its reason, however well the service is"""
        good, _ = self.package("1")
        bad, _ = self.package("2", mode="crash", template=self.template(UpdateConfig={"FailureAction": "rollback"}))
        self.deploy(good)
        self.start_and_kill(bad)
        wait_for(lambda: self.update_state() == "rollback_completed", "docker rolled it back")
        ended = self.deploy(good)
        self.assertIs(ended.outputs["isUnchanged"], True)
        self.assertEqual(self.outcomes(), ["succeeded", "failed"])
        reason = self.records()[1]["reason"]
        self.assertIn("docker rolled it back: instance 1 failed: non-zero exit (1)", reason)
        self.assertIn("version 1", reason)
        self.assertIn("still serves", reason)
        self.assertIn("no such table: greetings", ended.log)

    def test_the_old_instance_goes_on(self):
        """after kill -9 in mid-update another process puts back what was there, and its instance is never started anew"""
        good, _ = self.package("1")
        slow, _ = self.package("2", mode="gated", template=self.engine.template(is_patient=True))
        self.deploy(good)
        self.start_and_kill(slow)
        wait_for(lambda: self.starts() == ["1", "2"], "the new one was started")
        ended = self.deploy(good)
        self.assertIs(ended.outputs["isUnchanged"], True)
        self.assertEqual(self.answer(), "1")
        self.assertEqual(self.starts(), ["1", "2"])
        self.assertEqual(self.outcomes(), ["succeeded", "cancelled"])

    def test_changed_in_mid_update(self):
        """where somebody changed the service meanwhile, the policy's own copy of what was there is deployed"""
        good, _ = self.package("1")
        slow, _ = self.package("2", mode="gated", template=self.engine.template(is_patient=True))
        self.deploy(good)
        self.start_and_kill(slow)
        self.change(lambda spec: spec["TaskTemplate"]["ContainerSpec"]["Env"].append("A=b"))
        ended = self.deploy(good)
        self.assertIn("putting back what ran before", ended.log)
        self.assertEqual(self.answer(), "1")
        self.assertIn("was put back", self.records()[1]["reason"])
        self.assertNotIn("A=b", self.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"])

    def test_unchanged(self):
        """what docker adds to a specification is no change; what a person changes is, and is told"""
        docker = self.engine.docker
        docker.ask("POST", "/secrets/create", {"Name": "greeter-key", "Data": "c2VjcmV0"})
        docker.ask("POST", "/configs/create", {"Name": "greeter-conf", "Data": "Y29uZg=="})
        status, said = docker.ask("POST", "/networks/create", {"Name": "backend", "Driver": "overlay"})
        self.assertEqual(status, 201, said)
        self.addCleanup(self.remove_network, said["Id"])
        rich = self.template(
            Labels={"team": "a", "empty": ""},
            TaskTemplate={
                "ContainerSpec": {
                    "Init": True, "Hosts": ["127.0.0.9 db"], "Labels": {"a": "b"}, "Privileges": {}, "Groups": [],
                    "Secrets": [{"SecretName": "greeter-key", "File": {"Name": "key", "UID": "0", "GID": "0", "Mode": 288}}],
                    "Configs": [{"ConfigName": "greeter-conf", "File": {"Name": "/conf", "UID": "0", "GID": "0", "Mode": 292}}]},
                "Resources": {"Limits": {"MemoryBytes": 64 << 20}}, "Placement": {"Constraints": ["node.role==manager"]},
                "Networks": [{"Target": "backend", "Aliases": ["greeter"]}], "LogDriver": {"Name": "json-file"}},
            RollbackConfig={"Order": "start-first"}, UpdateConfig={"MaxFailureRatio": 0.0}, EndpointSpec={})
        name, _ = self.package("1", template=rich)
        self.deploy(name)
        self.assertIs(self.deploy(name).outputs["isUnchanged"], True)
        self.change(lambda spec: spec["TaskTemplate"]["ContainerSpec"]["Hosts"].append("127.0.0.8 cache"))
        wait_for(lambda: self.update_state() == "completed", "docker has updated it")
        ended = self.deploy(name)
        self.assertIs(ended.outputs["isUnchanged"], False)
        self.assertIn("127.0.0.8 cache", ended.log)

    def remove_network(self, network_id):
        docker = self.engine.docker
        docker.clear()
        wait_for(lambda: docker.ask("DELETE", f"/networks/{network_id}")[0] in (204, 404), "the network is gone")

    def test_no_room(self):
        """a task for which there is no node is told at once, and is the reason when the deadline has come"""
        good, _ = self.package("1")
        other, _ = self.package("2", template=self.template(
            TaskTemplate={"Placement": {"Constraints": ["node.labels.disk==fast"]}}))
        self.deploy(good)
        ended = self.deploy(other, wanted=1, environment={"timeoutSeconds": 2})
        self.assertIn("so far: instance 1 is pending: no suitable node", ended.log)
        self.assertIn("no suitable node", ended.reason)
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.answer(), "1")

    def test_without_a_check(self):
        """without a health check an instance has to live for docker's Monitor; one that does not is a failure"""
        fleeting = self.template(TaskTemplate={"ContainerSpec": {"Healthcheck": None}},
                                 UpdateConfig={"Monitor": 3000 * MILLISECOND})
        ended = self.deploy(self.package("1", mode="fleeting", template=fleeting)[0], wanted=1)
        self.assertIn("instance 1 failed: non-zero exit (3)", ended.reason)
        self.assertIn("that was it", ended.log)
        self.assertIn("nothing runs now", ended.reason)

    def test_registry_credentials(self):
        """the nodes pull with the credentials of registryCredentialsFile"""
        self.engine.repository = f"{LOCKED_REGISTRY}/greeter"
        name, _ = self.package("1")
        for password, wanted in (("wrong", 1), (PASSWORD, 0)):
            path = self.path(f"{wanted}.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump({"auths": {LOCKED_REGISTRY: {"username": USER, "password": password}}}, f)
            ended = self.deploy(name, wanted=wanted, environment={"registryCredentialsFile": path})
        self.assertEqual(self.answer(), "1")
        self.assertIn("No such image", self.records()[0]["reason"])
        ended = self.deploy(self.package("2")[0], wanted=1, environment={"registryCredentialsFile": "/nonexistent/r.json"})
        self.assertIn("registryCredentialsFile '/nonexistent/r.json'", ended.reason)
        self.assertEqual(self.answer(), "1")

    def test_tls(self):
        """over TLS both sides show certificates; a wrong one of either is told, and nothing is deployed"""
        docker = self.engine.docker
        door = Door(lambda: docker.connect(TLS_PORT))
        self.addCleanup(door.close)
        for name in ("authority.pem", "authority.key"):
            shutil.copy(os.path.join(docker.directory, name), self.directory)
        make_certificate(self.directory, "authority", "agent", "extendedKeyUsage=clientAuth")
        make_authority(self.directory, "stranger")
        make_certificate(self.directory, "stranger", "imposter", "extendedKeyUsage=clientAuth")
        name, _ = self.package("1")
        well = {"address": f"https://127.0.0.1:{door.port}", "caFile": self.path("authority.pem"),
                "certificateFile": self.path("agent.crt"), "keyFile": self.path("agent.key")}
        for wrong in ({"caFile": self.path("stranger.pem")},
                      {"certificateFile": self.path("imposter.crt"), "keyFile": self.path("imposter.key")}):
            ended = self.deploy(name, wanted=1, environment={**well, **wrong})
            self.assertIn("certificate", ended.reason)
            self.assertEqual(docker.services(), [])
        self.deploy(name, environment=well)
        self.assertEqual(self.answer(), "1")


class Packaged(runner.RunnerCase):
    def test_package_to_swarm(self):
        """what `package` built and pushed is what the swarm runs, without a template, by the image's own health check"""
        engine = SwarmEngine(self.directory)
        self.addCleanup(engine.stop)
        engine.start()
        names = {"app/service": "service", "app/answer": "answer", "bin/busybox": "busybox"}
        source = self.origin({
            **{name: engine.image_files[path] for path, name in names.items()},
            "slipway.json": json.dumps({"name": "greeter", "package": {
                "files": [{"from": name, "to": "/" + path, "mode": "0755"} for path, name in names.items()],
                "entrypoint": ["/app/service"], "arguments": ["well", "one", "/tmp/greeter"],
                "healthCheck": {"command": ["/bin/busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{PORT}/health"],
                                "intervalSeconds": 1}}})})
        packaged = self.succeed("package", source, publish={"image": {"registry": f"{REGISTRY}/team"}},
                                wrapper=("nsenter", "-t", engine.docker.first_process(), "-n"))
        with open(packaged.artifact("package"), "rb") as f:
            data = f.read()
        for name, content in (("package", data), ("package.sha256", hashlib.sha256(data).hexdigest().encode())):
            with open(os.path.join(self.state, "inputs", name), "wb") as f:
                f.write(content)
        spec = self.spec("deploy-staging", {"package": {"input": "package"}}, createdAt="2026-01-01T00:00:00.000000Z",
                         environment={**engine.environment(), "name": "staging"})
        ended = self.run_spec("slipway-run-deploy", spec)
        self.assertEqual(ended.code, 0, ended.log.decode())
        container = engine.docker.services()[0]["Spec"]["TaskTemplate"]["ContainerSpec"]
        self.assertEqual(container["Image"], packaged.outputs["reference"])
        self.assertEqual(container["Labels"]["slipway.digest"], packaged.outputs["digest"])
        self.assertEqual(engine.answer(), "one")


if __name__ == "__main__":
    harness.main()
