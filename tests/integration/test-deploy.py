# SPDX-License-Identifier: MIT
"""slipway-run-deploy against each engine: one table, rows are engines, columns what may happen to a deployment.

The runner is started as the shim would start it: spec.json on fd 0, reports on fd 3. A case talks to the engine
only through its row (ENGINES), and looks at the service itself: which version answers, and how often it was started.
"""
import glob
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
import urllib.error
import urllib.request

import harness
from harness import wait_for

REFUSED = 100
DEADLINE_SECONDS = 60

# A service with the vices that MODE says. It writes a line for each of its starts.
SERVICE = r'''#!/usr/bin/python3 -SE
import os, socket, sys, time
mode, version, directory = sys.argv[1], sys.argv[2], sys.argv[3]
with open(directory + "/starts", "a") as f:
    f.write(version + "\n")
if mode == "crash":
    sys.exit("no such table: greetings")
s = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
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


def make_package(version, commit, arguments, template=None):
    """The bytes of a package with SERVICE in its image: what `package` makes, made by hand."""
    blobs = {}

    def blob(data, media_type):
        blobs[sha256(data)] = data
        return {"mediaType": media_type, "digest": "sha256:" + sha256(data), "size": len(data)}

    layer = tar_of({"app/service": (SERVICE.encode(), 0o755)})
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
    if template is not None:
        release["template"] = "deploy/service.json"
        files["deploy/service.json"] = (template.encode(), 0o644)
    files["release.json"] = (json.dumps(release).encode(), 0o644)
    return tar_of(files), release["digest"]


class LocalEngine:
    """The row of slipway-engine-local."""
    name = "local"

    def __init__(self, directory):
        self.directory = directory
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

    def kill(self):
        self.process.kill()
        self.process.wait()
        os.unlink(self.socket)

    def environment(self):
        return {"engine": "local", "address": f"unix:{self.socket}", "url": f"http://127.0.0.1:{self.port}",
                "variables": {"port": str(self.port)}, "timeoutSeconds": 20}

    def template(self):
        """Impatient, so that a failure is soon one."""
        return json.dumps({
            "id": "${name}-${environment}", "root": "${root}", "command": "${command:json}",
            "workingDirectory": "${workingDirectory}", "env": "${env:json}", "port": "${port:integer}",
            "health": {"path": "/health", "intervalSeconds": 0.05, "deadlineSeconds": 1},
            "stopGraceSeconds": 1})

    def patient_template(self):
        return self.template().replace('"deadlineSeconds": 1', '"deadlineSeconds": 60')


ENGINES = [LocalEngine]


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
        self.addCleanup(self.engine.stop)
        self.engine.start()

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def package(self, version, mode="well", template=None, commit=None):
        """An input with a package whose service answers `version`. Returns (input's name, digest)."""
        data, digest = make_package(version, commit or sha256(version.encode())[:40], [mode, version, self.work],
                                    template or self.engine.template())
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
                            "releases": self.path("releases")},
            "environment": {**self.engine.environment(), "name": "staging", **(environment or {})}, **others}

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
        """What the service says at the environment's URL; None when nothing serves."""
        try:
            with urllib.request.urlopen(self.engine.environment()["url"], timeout=5) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None

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


class Conformance:
    """The columns. Each class of ENGINES gets them all."""

    def test_success(self):
        """a deployment succeeds when the new version answers, and says what it replaced"""
        first, first_digest = self.package("1")
        second, second_digest = self.package("2")
        ended = self.deploy(first)
        self.assertEqual(self.answer(), "1")
        self.assertNotIn("previous", ended.outputs)
        ended = self.deploy(second, origin={"user": "ann"}, approval={"by": "bob"})
        self.assertEqual(self.answer(), "2")
        self.assertEqual(ended.outputs["digest"], second_digest)
        self.assertEqual(ended.outputs["previous"], first_digest)
        self.assertEqual(ended.outputs["version"], "2")
        self.assertEqual(ended.outputs["commit"], sha256(b"2")[:40])
        self.assertEqual(ended.outputs["instances"], 1)
        self.assertIs(ended.outputs["isUnchanged"], False)
        self.assertEqual(ended.outputs["url"], self.engine.environment()["url"])
        self.assertTrue(ended.outputs["deployment"].startswith("staging-000002-"))
        self.assertEqual((ended.progress[-1]["done"], ended.progress[-1]["total"]), (1, 1))
        self.assertIsNone(ended.reason)
        self.assertEqual(self.outcomes(), ["succeeded", "succeeded"])
        self.assertEqual(self.records()[1]["approval"], {"by": "bob"})

    def test_default_template(self):
        """a repository without a template gets the engine's own"""
        data, _ = make_package("1", "0" * 40, ["well", "1", self.work])
        with open(self.path("inputs", "plain"), "wb") as f:
            f.write(data)
        with open(self.path("inputs", "plain.sha256"), "w", encoding="ascii") as f:
            f.write(sha256(data))
        self.deploy("plain")
        self.assertEqual(self.answer(), "1")

    def test_unchanged(self):
        """the same package again changes nothing and starts nothing"""
        name, digest = self.package("1")
        self.deploy(name)
        ended = self.deploy(name)
        self.assertIs(ended.outputs["isUnchanged"], True)
        self.assertEqual(ended.outputs["digest"], digest)
        self.assertEqual(ended.outputs["deployment"], self.records()[0]["deployment"])
        self.assertEqual(self.starts(), ["1"])
        self.assertEqual(os.listdir(self.path("releases", "staging", "000001", "root")), ["app"])
        self.assertFalse(os.path.exists(self.path("releases", "staging", "000002")))

    def test_changed_variable(self):
        """the same package with another variable is a change, and the log says which"""
        template = json.loads(self.engine.template())
        template["env"] = {"GREETING": "${greeting}"}
        name, _ = self.package("1", template=json.dumps(template))
        for greeting, is_unchanged in (("hi", False), ("hi", True), ("ho", False)):
            ended = self.start("deploy", {"package": {"input": name}, "variables": {"greeting": greeting}}).wait()
            self.assertEqual(ended.status, 0, str(ended))
            self.assertIs(ended.outputs["isUnchanged"], is_unchanged)
        self.assertIn('/env/GREETING: "hi" → "ho"', ended.log)
        self.assertEqual(self.starts(), ["1", "1"])

    def test_failing_health(self):
        """a version that never gets healthy fails, and the old one serves"""
        good, _ = self.package("1")
        bad, _ = self.package("2", mode="ill")
        self.deploy(good)
        ended = self.deploy(bad, wanted=1)
        self.assertIn("version 2", ended.reason)
        self.assertIn("version 1", ended.reason)
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.answer(), "1")
        self.assertEqual(self.outcomes(), ["succeeded", "failed"])
        self.assertNotIn("instances", ended.outputs)

    def test_crash_at_start(self):
        """a version that dies fails at once, with its last words in the log"""
        good, _ = self.package("1")
        bad, _ = self.package("2", mode="crash", template=self.engine.patient_template())
        self.deploy(good)
        started = time.monotonic()
        ended = self.deploy(bad, wanted=1)
        self.assertLess(time.monotonic() - started, 20)
        self.assertIn("no such table: greetings", ended.log)
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.answer(), "1")

    def test_first_failure(self):
        """a first version that fails leaves nothing, and that is said"""
        bad, _ = self.package("1", mode="crash")
        ended = self.deploy(bad, wanted=1)
        self.assertIn("nothing ran before it, and nothing runs now", ended.reason)
        self.assertIsNone(self.answer())

    def test_deadline(self):
        """the environment's deadline ends a deployment that the engine would wait for"""
        good, _ = self.package("1")
        slow, _ = self.package("2", mode="gated", template=self.engine.patient_template())
        self.deploy(good)
        ended = self.deploy(slow, wanted=1, environment={"timeoutSeconds": 1})
        self.assertIn("was not there within 1 s: 0 of 1 instances were healthy", ended.reason)
        self.assertEqual(self.answer(), "1")
        self.open_gate()  # too late: it was cancelled, not forgotten
        self.assertEqual(self.deploy(good).outputs["isUnchanged"], True)

    def test_cancel(self):
        """SIGTERM cancels: the old version goes on"""
        good, _ = self.package("1")
        slow, _ = self.package("2", mode="gated", template=self.engine.patient_template())
        self.deploy(good)
        runner = self.start("deploy", {"package": {"input": slow}})
        wait_for(runner.has_progress, "the deployment has begun")
        runner.process.terminate()
        ended = runner.wait()
        self.assertEqual(ended.status, 1, str(ended))
        self.assertIn("was cancelled", ended.reason)
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.answer(), "1")
        self.assertEqual(self.outcomes(), ["succeeded", "cancelled"])

    def kill_in_the_middle(self, name):
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(runner.has_progress, "the deployment has begun")
        runner.kill()
        self.assertEqual(self.outcomes()[-1], None)

    def test_kill_then_again(self):
        """after kill -9 the same deploy goes on with the deployment that is under way"""
        name, _ = self.package("1", mode="gated", template=self.engine.patient_template())
        self.kill_in_the_middle(name)
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(runner.has_progress, "the second one looks at it")
        self.open_gate()
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assertIn("going on with it", ended.log)
        self.assertEqual(self.starts(), ["1"])
        self.assertEqual(self.outcomes(), ["succeeded"])
        self.assertEqual(ended.outputs["deployment"], self.records()[0]["deployment"])
        self.assertFalse(os.path.exists(self.path("releases", "staging", "000002")))

    def test_kill_then_ended(self):
        """after kill -9, one that ended well meanwhile is found so, and nothing is started"""
        name, _ = self.package("1", mode="gated", template=self.engine.patient_template())
        self.kill_in_the_middle(name)
        self.open_gate()
        wait_for(lambda: self.answer() == "1", "it serves")
        ended = self.deploy(name)
        self.assertIs(ended.outputs["isUnchanged"], True)
        self.assertEqual(self.starts(), ["1"])
        self.assertEqual(self.outcomes(), ["succeeded"])

    def test_kill_then_another(self):
        """after kill -9, another package takes the place of the one under way"""
        slow, _ = self.package("1", mode="gated", template=self.engine.patient_template())
        other, _ = self.package("2")
        self.kill_in_the_middle(slow)
        ended = self.deploy(other)
        self.assertIn("another release is wanted now", ended.log)
        self.assertEqual(self.answer(), "2")
        self.assertEqual(self.outcomes(), ["cancelled", "succeeded"])

    def test_kill_before_apply(self):
        """a record that the engine never heard of is sent with the ID that it has"""
        name, _ = self.package("1")
        self.deploy(name)
        other, _ = self.package("2")
        ended = self.deploy(other)
        record_path = self.path("releases", "staging", "000002", "record.json")
        with open(record_path, encoding="utf-8") as f:
            record = json.load(f)
        self.rollback()
        shutil.rmtree(self.path("releases", "staging", "000003"))
        for member in ("outcome", "finishedAt"):
            del record[member]
        record["deployment"] = "staging-000002-cafecafe"
        with open(record_path, "w", encoding="utf-8") as f:
            json.dump(record, f)
        ended = self.deploy(other)
        self.assertEqual(ended.outputs["deployment"], "staging-000002-cafecafe")
        self.assertEqual(self.answer(), "2")

    def test_rollback(self):
        """a rollback goes back, a second one further back, a third one nowhere; never forward"""
        digests = {}
        for version in ("1", "2", "3"):
            name, digests[version] = self.package(version)
            self.deploy(name)
        ended = self.rollback()
        self.assertEqual(self.answer(), "2")
        self.assertEqual(ended.outputs["digest"], digests["2"])
        self.assertEqual(ended.outputs["previous"], digests["3"])
        self.rollback()
        self.assertEqual(self.answer(), "1")
        ended = self.rollback(wanted=REFUSED)
        self.assertIn("no kept release of 'staging' from before the one that runs", ended.reason)
        self.assertIn(digests["3"], ended.reason)
        self.rollback(to=digests["3"])
        self.assertEqual(self.answer(), "3")
        self.assertIs(self.rollback(to=digests["3"]).outputs["isUnchanged"], True)
        ended = self.rollback(wanted=REFUSED, to="sha256:" + "0" * 64)
        self.assertIn("is not among the kept releases", ended.reason)

    def test_rollback_needs_only_what_is_kept(self):
        """a rollback works when packages, inputs and calls are gone"""
        for version in ("1", "2"):
            self.deploy(self.package(version)[0])
        for name in ("inputs", "calls", "cache", "runs"):
            shutil.rmtree(self.path(name))
        self.rollback()
        self.assertEqual(self.answer(), "1")

    def test_rollback_after_failure(self):
        """what failed is not what a rollback starts from"""
        for version, mode, wanted in (("1", "well", 0), ("2", "well", 0), ("3", "crash", 1)):
            self.deploy(self.package(version, mode=mode)[0], wanted=wanted)
        self.rollback()
        self.assertEqual(self.answer(), "1")

    def test_two_at_once(self):
        """of two at once the second is refused, with who holds the environment; kill -9 frees it"""
        slow, _ = self.package("1", mode="gated", template=self.engine.patient_template())
        other, _ = self.package("2")
        runner = self.start("deploy", {"package": {"input": slow}})
        wait_for(runner.has_progress, "the first one has begun")
        ended = self.deploy(other, wanted=REFUSED)
        self.assertIn("the environment 'staging' is busy: call call-1 (deploy-staging, process "
                      f"{runner.process.pid})", ended.reason)
        runner.kill()
        self.deploy(other)
        self.assertEqual(self.answer(), "2")

    def test_keep(self):
        """the oldest are forgotten, what runs and the way back never"""
        for version in ("1", "2", "3", "4"):
            self.deploy(self.package(version)[0], environment={"keep": 2})
        kept = sorted(n for n in os.listdir(self.path("releases", "staging")) if n.isdigit())
        self.assertEqual(kept, ["000003", "000004"])

    def test_engine_away(self):
        """an engine that crashes in the middle is waited for"""
        name, _ = self.package("1", mode="gated", template=self.engine.patient_template())
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(runner.has_progress, "the deployment has begun")
        self.engine.kill()
        wait_for(lambda: "asking again" in runner.read("log"), "the runner noticed")
        self.engine.start()
        self.open_gate()
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assertEqual(self.answer(), "1")
        self.assertEqual(self.outcomes(), ["succeeded"])


class Refusals(DeployCase):
    """What is decided before any engine is asked; one engine is enough."""
    engine_class = LocalEngine

    def test_no_approval(self):
        """an environment that requires an approval refuses a deploy without, and never a rollback"""
        needs = {"requires": {"approval": True}}
        for version in ("1", "2"):
            name, _ = self.package(version)
            ended = self.deploy(name, wanted=REFUSED, environment=needs, approval={"by": "ann"})
            self.assertIn("an approval of this package for 'staging' is missing", ended.reason)
            self.deploy(name)
        ended = self.start("rollback", {}, environment=needs).wait()
        self.assertEqual(ended.status, 0, str(ended))

    def test_wrong_digest(self):
        """a package whose image is not what it says is refused"""
        data, digest = make_package("1", "0" * 40, ["well", "1", self.work])
        data = data.replace(digest.encode(), b"sha256:" + b"0" * 64)
        with open(self.path("inputs", "bad"), "wb") as f:
            f.write(data)
        with open(self.path("inputs", "bad.sha256"), "w", encoding="ascii") as f:
            f.write(sha256(data))
        ended = self.deploy("bad", wanted=REFUSED)
        self.assertIn("no package that can be deployed", ended.reason)
        self.assertEqual(self.starts(), [])
        self.assertFalse(os.path.exists(self.path("releases", "staging", "000001")))

    def test_changed_on_the_way(self):
        """an input that is not what its sender stated is refused"""
        name, _ = self.package("1")
        with open(self.path("inputs", name), "ab") as f:
            f.write(b"x")
        self.assertIn("is not what it was", self.deploy(name, wanted=REFUSED).reason)

    def test_no_package(self):
        """a package that is not here is refused, with what would mend it"""
        for package, said in (({"input": "nothing"}, "no complete input 'nothing'"),
                              ({"call": "nothing"}, "no call 'nothing' on this host"),
                              (None, "which package?")):
            ended = self.start("deploy", {"package": package} if package else {}).wait()
            self.assertEqual(ended.status, REFUSED)
            self.assertIn(said, ended.reason)

    def test_nothing_to_go_back_to(self):
        """a rollback where nothing was ever deployed is refused"""
        self.assertIn("no release of 'staging' is kept here", self.rollback(wanted=REFUSED).reason)

    def test_template_mistakes(self):
        """a template's mistakes are told at once, by file, line and pointer"""
        name, _ = self.package("1", template='{"id": "${nam}",\n "port": "${environment:integer}"}')
        ended = self.deploy(name, wanted=1)
        self.assertIn("deploy/service.json: line 1: /id: there is no 'nam'", ended.reason)
        self.assertIn("line 2: /port: 'environment' is to be integer, but it is 'staging'", ended.reason)

    def test_foreign_variable(self):
        """a call cannot change what the environment says"""
        name, _ = self.package("1")
        ended = self.start("deploy", {"package": {"input": name}, "variables": {"port": "1"}}).wait()
        self.assertEqual(ended.status, 1)
        self.assertIn("the variable 'port' is the environment's; a call cannot change it", ended.reason)

    def write_call(self, call, action, status, data):
        os.makedirs(self.path("calls", call, "artifacts"))
        with open(self.path("calls", call, "artifacts", "package.tar.zst"), "wb") as f:
            f.write(data)
        report = {"type": "artifact", "name": "package", "file": "package.tar.zst", "sha256": sha256(data)}
        for name, value in (("spec.json", {"action": action, "run": "r"}),
                            ("journal.ndjson", {"seq": 1, "type": "report", "line": json.dumps(report)}),
                            ("status.json", {"type": "finished", "status": status})):
            with open(self.path("calls", call, name), "w", encoding="utf-8") as f:
                f.write(json.dumps(value) + "\n")
        with open(self.path("runs", "r", "calls", call), "w", encoding="utf-8"):
            pass

    def test_package_of_a_call(self):
        """the package of a call, or of the run; only of one that succeeded"""
        old, _ = make_package("1", "0" * 40, ["well", "1", self.work], self.engine.template())
        new, _ = make_package("2", "0" * 40, ["well", "2", self.work], self.engine.template())
        self.write_call("c1", "package", "succeeded", old)
        self.write_call("c2", "package", "succeeded", new)
        self.write_call("c3", "package", "failed", new)
        self.write_call("c4", "build", "succeeded", new)
        ended = self.start("deploy", {"package": {"call": "c1"}}).wait()
        self.assertEqual((ended.status, self.answer()), (0, "1"), str(ended))
        ended = self.start("deploy", {}, run="r").wait()
        self.assertEqual((ended.status, self.answer()), (0, "2"), str(ended))
        ended = self.start("deploy", {"package": {"call": "c3"}}).wait()
        self.assertEqual(ended.status, REFUSED)
        self.assertIn("call c3 ended as failed", ended.reason)
        with open(self.path("calls", "c1", "artifacts", "package.tar.zst"), "ab") as f:
            f.write(b"x")
        ended = self.start("deploy", {"package": {"call": "c1"}}).wait()
        self.assertEqual(ended.status, REFUSED)
        self.assertIn("is not what it was", ended.reason)

    def test_no_engine(self):
        """an engine that nobody started is a failure that says so"""
        name, _ = self.package("1")
        ended = self.start("deploy", {"package": {"input": name}}, environment={"engine": "mesos"}).wait()
        self.assertEqual(ended.status, 1)
        self.assertIn("there is no engine 'mesos'; there are: local", ended.reason)


class Changes(DeployCase):
    """changes-E against a repository."""
    engine_class = LocalEngine

    def setUp(self):
        super().setUp()
        self.repository = self.path("repository")
        self.commits = [harness.repository(self.repository, {"a": "1\n", "slipway.json": '{"name": "greeter"}\n'})]
        for text in ("2", "3"):
            self.commits.append(harness.commit(self.repository, {"a": text + "\n", f"b{text}": "x\n"}, f"Make it {text}"))

    def changes(self, commit, wanted=0, **others):
        ended = self.start("changes", {"source": {"git": self.repository, "commit": commit, "ref": "main"}}, **others).wait()
        self.assertEqual(ended.status, wanted, str(ended))
        return ended

    def deploy_commit(self, version, commit):
        self.deploy(self.package(version, commit=commit)[0])

    def test_every_relation(self):
        """nothing yet, forward, the same, back, unknown: each is told truly"""
        ended = self.changes(self.commits[1])
        self.assertIn("nothing runs there yet", ended.outputs["text"])
        self.assertEqual([c["commit"] for c in ended.outputs["commits"]], self.commits[1::-1])
        self.deploy_commit("1", self.commits[0])
        ended = self.changes(self.commits[2])
        self.assertEqual((ended.outputs["from"], ended.outputs["to"]), (self.commits[0], self.commits[2]))
        self.assertEqual([c["subject"] for c in ended.outputs["commits"]], ["Make it 3", "Make it 2"])
        self.assertEqual([f["name"] for f in ended.outputs["files"]], ["a", "b2", "b3"])
        self.assertIn("2 commits, newest first", ended.outputs["text"])
        self.assertIn(ended.outputs["text"], ended.log)
        self.assertIn("One commit:", self.changes(self.commits[1]).outputs["text"])
        self.assertIn("already runs this commit", self.changes(self.commits[0]).outputs["text"])
        self.deploy_commit("3", self.commits[2])
        ended = self.changes(self.commits[0])
        self.assertIn("GOING BACK", ended.outputs["text"])
        self.assertEqual(len(ended.outputs["commits"]), 2)
        self.deploy_commit("9", "9" * 40)
        ended = self.changes(self.commits[2])
        self.assertEqual(ended.outputs["relation"], "unknown")
        self.assertIn("not in this repository", ended.outputs["text"])

    def test_configuration(self):
        """what changes in slipway.json, in the template and in the environment is told"""
        first = harness.commit(self.repository, {
            "slipway.json": '{"deploy": {"template": "app.json"}}\n', "app.json": '{\n"instances": 1\n}\n'}, "Deploy")
        second = harness.commit(self.repository, {"app.json": '{\n"instances": 2\n}\n'}, "Two of them")
        self.deploy_commit("1", first)
        variables = {**self.engine.environment()["variables"], "colour": "red"}
        lines = self.changes(second, environment={"variables": variables}).outputs["configuration"]
        self.assertEqual(lines, ["the environment's variable colour: (none) → red", "app.json", '-"instances": 1',
                                 '+"instances": 2'])

    def test_workspace(self):
        """without a source, what an earlier call of the run brought is compared"""
        self.deploy_commit("1", self.commits[0])
        workspace = self.path("runs", "r", "workspace")
        ended = self.start("changes", {}).wait()
        self.assertEqual(ended.status, 1, str(ended))
        harness.git(self.directory, "clone", "-q", self.repository, workspace)
        with open(self.path("runs", "r", "source.json"), "w", encoding="utf-8") as f:
            json.dump({"git": self.repository, "repository": self.repository, "commit": self.commits[2], "ref": "main",
                       "version": "v3", "name": "repository", "committedAt": 1700000000}, f)
        ended = self.start("changes", {}, run="r").wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assertEqual(len(ended.outputs["commits"]), 2)

    def test_engine_down(self):
        """what runs is asked, not guessed"""
        self.deploy_commit("1", self.commits[0])
        self.engine.stop()
        runner = self.start("changes", {"source": {"git": self.repository, "commit": self.commits[1]}})
        wait_for(lambda: "asking again" in runner.read("log"), "it asks again")
        runner.process.send_signal(signal.SIGTERM)
        ended = runner.wait()
        self.assertEqual(ended.status, 1, str(ended))
        self.assertIn("what runs in 'staging' is not known", ended.reason)


for engine in ENGINES:
    title = engine.__name__ + "Conformance"
    globals()[title] = type(title, (Conformance, DeployCase), {"engine_class": engine})

if __name__ == "__main__":
    harness.main()
