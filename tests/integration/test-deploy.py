# SPDX-License-Identifier: MIT
"""slipway-run-deploy: what is decided before any engine is asked, and what would change. What engines do is in the
conformance test (test-conformance.py)."""
import json
import os
import signal

import harness
from conformance_local import LocalEngine
from deploy_case import REFUSED, DeployCase, make_package, sha256
from harness import wait_for


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



if __name__ == "__main__":
    harness.main()
