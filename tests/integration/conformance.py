# SPDX-License-Identifier: MIT
"""What every engine must do: one table, behaviours × engines. A cell is a test here, or a reason why it cannot happen
(`cannot` of the engine's row). agent/deploy/README.md has the table; a check compares the two.

A row is a module of its own, conformance_NAME.py, with a class `Row` (deploy_case.EngineRow says what it needs), and
its name in ROWS. A case talks to the engine only through its row, and looks at the service itself: which version
answers, and how often it was started.
"""
import importlib
import json
import os
import shutil
import time

import harness
from deploy_case import REFUSED, make_package, sha256
from harness import wait_for

ROWS = ["local", "marathon", "ssh", "swarm"]

BEHAVIOURS = [
    "first deploy", "update", "unchanged", "unhealthy → rolled back", "never finishing → deadline", "cancelled",
    "image missing", "concurrent deploy", "killed in mid-deploy, resumed", "rollback", "rollback of a rollback", "scale",
    "engine away and back", "reply lost after it was applied", "bad credentials", "bad template",
]


def behaviour(*names):
    """Which lines of the table a test is for."""
    def mark(test):
        test.behaviours = names
        return test
    return mark


def row_of(name):
    return importlib.import_module("conformance_" + name).Row


def tests_of(name):
    """Of a behaviour."""
    return [t for t in vars(Conformance).values() if name in getattr(t, "behaviours", ())]


def table():
    """The table as Markdown, with the reasons below it."""
    rows, reasons = [row_of(name) for name in ROWS], []
    lines = ["| | " + " | ".join(row.name for row in rows) + " |", "|---|" + "---|" * len(rows)]
    for name in BEHAVIOURS:
        cells = []
        for row in rows:
            if name in row.cannot:
                reasons.append(f"{len(reasons) + 1}. {row.name}, {name}: {row.cannot[name]}.")
                cells.append(f"cannot happen ({len(reasons)})")
            else:
                cells.append("✓")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *reasons])


class Table(harness.Case):
    """What the documentation promises is what is tested."""

    def test_table(self):
        """the table in agent/deploy/README.md is the one of these tests"""
        for line in table().split("\n"):
            print(f"# {line}" if line else "#")
        with open(os.path.join(harness.ROOT, "agent/deploy/README.md"), encoding="utf-8") as f:
            self.assertTrue("\n\n" + table() + "\n" in f.read(), "it is another; what it should be is above")

    def test_every_cell(self):
        """every behaviour is tested, and no reason is given for one that is not in the table"""
        for name in BEHAVIOURS:
            self.assertTrue(tests_of(name), name)
        for test in vars(Conformance).values():
            self.assertLessEqual(set(getattr(test, "behaviours", ())), set(BEHAVIOURS))
        for name in ROWS:
            self.assertLessEqual(set(row_of(name).cannot), set(BEHAVIOURS))


def cases_of(row, part=1, parts=1):
    """The tests of a row, or every `parts`-th of them: a mixin without those that cannot happen."""
    def is_kept(member):
        wanted = getattr(member, "behaviours", None)
        return wanted is None or not set(wanted) <= set(row.cannot)
    kept = {name: member for name, member in vars(Conformance).items()
            if not name.startswith("__") and is_kept(member)}
    tests = sorted(name for name in kept if name.startswith("test_"))
    for name in set(tests) - set(tests[part - 1::parts]):
        del kept[name]
    return type("Conformance", (), kept)


class Conformance:
    """The behaviours."""

    @behaviour("first deploy", "update")
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

    @behaviour("first deploy")
    def test_default_template(self):
        """a repository without a template gets the engine's own"""
        data, digest = make_package("1", "0" * 40, ["well", "1", self.work], files=self.engine.image_files,
                                    repository=self.engine.repository)
        self.engine.publish(f"greeter@{digest}", ["well", "1", self.work])
        with open(self.path("inputs", "plain"), "wb") as f:
            f.write(data)
        with open(self.path("inputs", "plain.sha256"), "w", encoding="ascii") as f:
            f.write(sha256(data))
        self.deploy("plain")
        self.assertEqual(self.answer(), "1")

    @behaviour("unchanged")
    def test_unchanged(self):
        """the same package again changes nothing and starts nothing"""
        name, digest = self.package("1")
        self.deploy(name)
        ended = self.deploy(name)
        self.assertIs(ended.outputs["isUnchanged"], True)
        self.assertEqual(ended.outputs["digest"], digest)
        self.assertEqual(ended.outputs["deployment"], self.records()[0]["deployment"])
        self.assertEqual(self.starts(), ["1"])
        self.assertEqual(os.path.exists(self.path("releases", "staging", "000001", "root", "app")), self.engine.needs_root)
        self.assertFalse(os.path.exists(self.path("releases", "staging", "000002")))

    @behaviour("update")
    def test_changed_variable(self):
        """the same package with another variable is a change, and the log says which"""
        name, _ = self.package("1", template=self.engine.template(env={"GREETING": "${greeting}"}))
        for greeting, is_unchanged in (("hi", False), ("hi", True), ("ho", False)):
            ended = self.start("deploy", {"package": {"input": name}, "variables": {"greeting": greeting}}).wait()
            self.assertEqual(ended.status, 0, str(ended))
            self.assertIs(ended.outputs["isUnchanged"], is_unchanged)
        self.assertRegex(ended.log, 'GREETING.*hi" → ".*ho"')
        self.assertEqual(self.starts(), ["1", "1"])

    @behaviour("unhealthy → rolled back")
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

    @behaviour("unhealthy → rolled back")
    def test_crash_at_start(self):
        """a version that dies fails at once, with its last words in the log"""
        good, _ = self.package("1")
        bad, _ = self.package("2", mode="crash", template=self.engine.template(is_patient=True))
        self.deploy(good)
        started = time.monotonic()
        ended = self.deploy(bad, wanted=1)
        self.assertLess(time.monotonic() - started, 20)
        self.assertIn(self.engine.crash_words, str(ended))
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.answer(), "1")

    @behaviour("unhealthy → rolled back")
    def test_first_failure(self):
        """a first version that fails leaves nothing, and that is said"""
        bad, _ = self.package("1", mode="crash")
        ended = self.deploy(bad, wanted=1)
        self.assertIn(self.engine.first_reason, ended.reason)
        self.assertIsNone(self.answer())

    @behaviour("never finishing → deadline")
    def test_deadline(self):
        """the environment's deadline ends a deployment that the engine would wait for"""
        good, _ = self.package("1")
        slow, _ = self.package("2", mode="gated", template=self.engine.template(is_patient=True))
        self.deploy(good)
        ended = self.deploy(slow, wanted=1, environment={"timeoutSeconds": 1})
        self.assertIn("was not there within 1 s: 0 of 1 instances were healthy", ended.reason)
        self.assertEqual(self.answer(), "1")
        self.open_gate()  # too late: it was cancelled, not forgotten
        self.assertEqual(self.deploy(good).outputs["isUnchanged"], True)

    @behaviour("cancelled")
    def test_cancel(self):
        """SIGTERM cancels: the old version goes on"""
        good, _ = self.package("1")
        slow, _ = self.package("2", mode="gated", template=self.engine.template(is_patient=True))
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

    @behaviour("killed in mid-deploy, resumed")
    def test_kill_then_again(self):
        """after kill -9 the same deploy goes on with the deployment that is under way"""
        name, _ = self.package("1", mode="gated", template=self.engine.template(is_patient=True))
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

    @behaviour("killed in mid-deploy, resumed")
    def test_kill_then_ended(self):
        """after kill -9, one that ended well meanwhile is found so, and nothing is started"""
        name, _ = self.package("1", mode="gated", template=self.engine.template(is_patient=True))
        self.kill_in_the_middle(name)
        self.open_gate()
        wait_for(lambda: self.answer() == "1", "it serves")
        ended = self.deploy(name)
        self.assertIs(ended.outputs["isUnchanged"], True)
        self.assertEqual(self.starts(), ["1"])
        self.assertEqual(self.outcomes(), ["succeeded"])

    @behaviour("killed in mid-deploy, resumed")
    def test_kill_then_another(self):
        """after kill -9, another package takes the place of the one under way"""
        slow, _ = self.package("1", mode="gated", template=self.engine.template(is_patient=True))
        other, _ = self.package("2")
        self.kill_in_the_middle(slow)
        ended = self.deploy(other)
        self.assertIn("another release is wanted now", ended.log)
        self.assertEqual(self.answer(), "2")
        self.assertEqual(self.outcomes(), ["cancelled", "succeeded"])
        self.assertEqual(self.finished(), [("call-1", "failed", "call-2"), ("call-2", "succeeded", None)])

    @behaviour("killed in mid-deploy, resumed")
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

    @behaviour("rollback")
    def test_rollback(self):
        """a rollback goes back, says what it replaced, and the same again is unchanged"""
        digests = {}
        for version in ("1", "2"):
            name, digests[version] = self.package(version)
            self.deploy(name)
        ended = self.rollback()
        self.assertEqual(self.answer(), "1")
        self.assertEqual(ended.outputs["digest"], digests["1"])
        self.assertEqual(ended.outputs["previous"], digests["2"])
        self.assertIs(self.rollback(to=digests["1"]).outputs["isUnchanged"], True)
        ended = self.rollback(wanted=REFUSED, to="sha256:" + "0" * 64)
        self.assertIn("is not among the kept releases", ended.reason)

    @behaviour("rollback of a rollback")
    def test_rollback_of_a_rollback(self):
        """a second rollback goes further back, a third one nowhere; never forward unless it is told to"""
        digests = {}
        for version in ("1", "2", "3"):
            name, digests[version] = self.package(version)
            self.deploy(name)
        self.rollback()
        self.rollback()
        self.assertEqual(self.answer(), "1")
        ended = self.rollback(wanted=REFUSED)
        self.assertIn("no kept release of 'staging' from before the one that runs", ended.reason)
        self.assertIn(digests["3"], ended.reason)
        self.rollback(to=digests["3"])
        self.assertEqual(self.answer(), "3")

    @behaviour("rollback")
    def test_rollback_needs_only_what_is_kept(self):
        """a rollback works when packages, inputs and calls are gone"""
        for version in ("1", "2"):
            self.deploy(self.package(version)[0])
        for name in ("inputs", "calls", "cache", "runs"):
            shutil.rmtree(self.path(name))
        self.rollback()
        self.assertEqual(self.answer(), "1")

    @behaviour("rollback")
    def test_rollback_after_failure(self):
        """what failed is not what a rollback starts from"""
        for version, mode, wanted in (("1", "well", 0), ("2", "well", 0), ("3", "crash", 1)):
            self.deploy(self.package(version, mode=mode)[0], wanted=wanted)
        self.rollback()
        self.assertEqual(self.answer(), "1")

    @behaviour("concurrent deploy")
    def test_two_at_once(self):
        """of two at once the second is refused, with who holds the environment; kill -9 frees it"""
        slow, _ = self.package("1", mode="gated", template=self.engine.template(is_patient=True))
        other, _ = self.package("2")
        runner = self.start("deploy", {"package": {"input": slow}})
        wait_for(runner.has_progress, "the first one has begun")
        ended = self.deploy(other, wanted=REFUSED)
        self.assertIn("the environment 'staging' is busy: call call-1 (deploy-staging, process "
                      f"{runner.process.pid})", ended.reason)
        runner.kill()
        self.deploy(other)
        self.assertEqual(self.answer(), "2")

    @behaviour("rollback")
    def test_keep(self):
        """the oldest are forgotten, what runs and the way back never"""
        for version in ("1", "2", "3", "4"):
            self.deploy(self.package(version)[0], environment={"keep": 2})
        kept = sorted(n for n in os.listdir(self.path("releases", "staging")) if n.isdigit())
        self.assertEqual(kept, ["000003", "000004"])

    @behaviour("engine away and back")
    def test_engine_away(self):
        """an engine that crashes in the middle is waited for"""
        name, _ = self.package("1", mode="gated", template=self.engine.template(is_patient=True))
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(runner.has_progress, "the deployment has begun")
        self.engine.leave()
        wait_for(lambda: "asking again" in runner.read("log"), "the runner noticed")
        self.engine.start()
        self.open_gate()
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assertEqual(self.answer(), "1")
        self.assertEqual(self.outcomes(), ["succeeded"])

    @behaviour("engine away and back")
    def test_engine_away_at_first(self):
        """an engine that is not there at the beginning is waited for"""
        self.engine.leave()
        name, _ = self.package("1")
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(lambda: "asking again" in runner.read("log"), "the runner noticed")
        self.engine.start()
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assertEqual(self.starts(), ["1"])

    @behaviour("image missing")
    def test_image_missing(self):
        """an image that nobody can pull is a failure that names it, soon, and the old version serves"""
        good, _ = self.package("1")
        bad, digest = self.package("2", template=self.engine.template(is_patient=True), is_published=False)
        self.deploy(good)
        ended = self.deploy(bad, wanted=1)
        self.assertIn(self.engine.missing_image_words, ended.reason)
        self.assertIn(digest, ended.reason)
        self.assertIn("still serves", ended.reason)
        self.assertLess(ended.outputs["seconds"], 15)
        self.assertEqual(self.answer(), "1")

    @behaviour("concurrent deploy")
    def test_deployed_elsewhere(self):
        """a deployment of the app that somebody else began at the engine is let finish, then ours is made"""
        self.engine.begin_elsewhere("greeter-staging", ["gated", "0", self.work])
        wait_for(lambda: self.starts() == ["0"], "it is under way")
        name, _ = self.package("1")
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(lambda: "asking again" in runner.read("log"), "the runner waits for it")
        self.open_gate()
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assertEqual(self.answer(), "1")
        self.assertEqual(self.starts(), ["0", "1"])

    @behaviour("scale")
    def test_scale(self):
        """other numbers of instances: each is there, healthy, before it is a success"""
        name, _ = self.package("1", template=self.engine.template(instances="${instances:integer}"))
        for instances in (1, 3, 2):
            ended = self.start("deploy", {"package": {"input": name}, "variables": {"instances": str(instances)}}).wait()
            self.assertEqual(ended.status, 0, str(ended))
            self.assertEqual(ended.outputs["instances"], instances)
            self.assertEqual(self.answer(), "1")

    @behaviour("reply lost after it was applied")
    def test_reply_lost(self):
        """a change whose answer is lost is not made twice"""
        good, _ = self.package("1")
        other, _ = self.package("2")
        self.deploy(good)
        ended = self.deploy(other, environment=self.engine.lose_reply())
        self.assertTrue(self.engine.has_lost_reply())
        self.assertIs(ended.outputs["isUnchanged"], False)
        self.assertEqual(self.answer(), "2")
        self.assertEqual(self.starts(), ["1", "2"])
        self.assertEqual(self.outcomes(), ["succeeded", "succeeded"])

    @behaviour("bad credentials")
    def test_bad_credentials(self):
        """credentials that the engine refuses are a failure that names their file; nothing has changed"""
        good, _ = self.package("1")
        other, _ = self.package("2")
        self.deploy(good)
        self.engine.refuse_credentials()
        ended = self.deploy(other, wanted=1)
        self.assertIn(self.engine.bad_credentials_words, ended.reason)
        self.assertIn(self.engine.environment()["credentialsFile"], ended.reason)
        self.assertEqual(self.answer(), "1")
        self.assertEqual(self.starts(), ["1"])

    @behaviour("bad template")
    def test_bad_template(self):
        """a template that is no specification fails with the place of each mistake; nothing has changed"""
        self.deploy(self.package("1")[0])
        for number, (template, words) in enumerate(self.engine.bad_templates(), 2):
            ended = self.deploy(self.package(str(number), template=template)[0], wanted=1)
            self.assertIn(words, ended.reason)
        self.assertEqual(self.answer(), "1")
        self.assertEqual(self.starts(), ["1"])
