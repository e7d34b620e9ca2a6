# SPDX-License-Identifier: MIT
"""From a commit to production with the real programs: agent, shim, runners, local engine, command line."""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import harness
from harness import git, program, wait_for

GREETER = os.path.join(harness.ROOT, "tests/samples/greeter")


class Pipeline(harness.Case):
    def setUp(self):
        super().setUp()
        self.engine_socket = os.path.join(self.directory, "engine.sock")
        self.urls = {name: f"http://127.0.0.1:{harness.free_port()}" for name in ("staging", "prod")}
        self.start_engine()
        self.key = os.path.join(self.directory, "controller.key")
        subprocess.run([program("slipway"), "keygen", self.key], check=True, capture_output=True)
        self.road = self.start_agent()
        self.repository = os.path.join(self.directory, "greeter")
        shutil.copytree(GREETER, self.repository)
        self.first = harness.repository(self.repository, {}, "Greet")

    def start_agent(self, **prod):
        return self.agent(self.configuration(**prod))

    def configuration(self, **prod):
        """`prod` is put to that environment; what it requires is what the agent demands of a production."""
        environments = {
            name: {"engine": "local", "address": f"unix:{self.engine_socket}", "url": url,
                   "variables": {"port": url.rpartition(":")[2]}}
            for name, url in self.urls.items()}
        environments["prod"].update(prod)
        return {"environments": environments,
                "keys": {"controller": {"file": self.key + ".pub", "roles": ["approver"]}}}

    def start_engine(self):
        log = open(os.path.join(self.directory, "engine.log"), "ab")  # pylint: disable=consider-using-with
        self.addCleanup(log.close)
        self.engine = subprocess.Popen(
            [program("slipway-engine-local"), "--listen", f"unix:{self.engine_socket}", "--state",
             os.path.join(self.directory, "engine")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.stop_engine)
        wait_for(lambda: os.path.exists(self.engine_socket), "the engine listens")

    def stop_engine(self):
        if self.engine.poll() is None:
            self.engine.terminate()
            self.engine.wait(harness.PATIENCE_SECONDS)

    def get(self, environment):
        """What the environment answers; None when nothing listens."""
        try:
            with urllib.request.urlopen(self.urls[environment] + "/", timeout=10) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None

    def run_pipeline(self, *options, check=0):
        return self.slipway(self.road, "run", "--repo", self.repository, "--key", self.key, "--approver", "Ann", *options,
                            check=check)

    def second_commit(self, when=1700000100):
        path = os.path.join(self.repository, "greeter.c")
        with open(path, encoding="utf-8") as f:
            text = f.read().replace("Hello", "Good morning")
        return harness.commit(self.repository, {"greeter.c": text}, "Greet in the morning", when)

    def calls(self):
        listed = self.road.connect().request("calls/list", {"limit": 1000})["calls"]
        return [(c["action"], c.get("status")) for c in reversed(listed)]

    # ---- the road ----------------------------------------------------------------------------------

    def test_two_commits_reach_production_and_the_second_is_rolled_back(self):
        first = self.run_pipeline("--yes")
        self.assertIn("Hello", self.get("staging"))
        self.assertIn("Hello", self.get("prod"))
        self.assertIn("commit to production", first.stdout)
        second_commit = self.second_commit()
        second = self.run_pipeline("--yes", "--to", "verify-staging")
        self.assertIn("Good morning", self.get("staging"))
        self.assertIn("Hello", self.get("prod"))
        self.assertIn("verify-staging", second.stdout)
        changes = self.slipway(self.road, "changes", "--env", "prod", "--repo", self.repository, check=0).stdout
        self.assertIn("Greet in the morning", changes)
        self.assertIn("greeter.c", changes)
        self.assertIn(self.first[:7], changes)
        self.assertIn(second_commit[:7], changes)
        self.run_pipeline("--yes")
        self.assertIn("Good morning", self.get("prod"))
        self.slipway(self.road, "call", "rollback-prod", check=0)
        self.assertIn("Hello", self.get("prod"))
        self.assertIn("Good morning", self.get("staging"))

    def test_test_counts_outputs_and_artifacts_come_back(self):
        out = os.path.join(self.directory, "out")
        self.slipway(self.road, "call", "build", "--run", "r", "--git", self.repository, "--artifacts", out, check=0)
        self.assertTrue(os.path.isdir(out) and os.listdir(out), "declared artifacts were fetched")
        test = self.slipway(self.road, "call", "test", "--run", "r", "--json", "--artifacts", out, check=0)
        with open(os.path.join(out, "junit/build/junit/greeter.xml"), encoding="utf-8") as f:
            self.assertIn("<testcase", f.read())
        result = next(json.loads(line)["result"] for line in test.stdout.splitlines() if "call/finished" in line)
        self.assertGreaterEqual(result["tests"]["total"], 3)
        self.assertEqual(result["tests"]["failed"], 0)
        self.assertEqual(result["outputs"]["commit"], self.first)
        package = self.slipway(self.road, "call", "package", "--run", "r", "--json", "--artifacts", out, "--no-unpack",
                               check=0)
        self.assertTrue(os.path.isfile(os.path.join(out, "package.tar.zst")))
        outputs = next(json.loads(line)["result"]["outputs"] for line in package.stdout.splitlines()
                       if "call/finished" in line)
        self.assertRegex(outputs["digest"], "^sha256:[0-9a-f]{64}$")

    def test_the_same_commit_has_the_same_digest_elsewhere_and_later(self):
        digests = []
        for name, epoch in (("one", 1), ("another-and-longer", 2)):
            copy = os.path.join(self.directory, name, "greeter")
            shutil.copytree(self.repository, copy)
            for directory, _, files in os.walk(copy):
                if ".git" not in directory:
                    for file in files:
                        os.utime(os.path.join(directory, file), (epoch, epoch))
            agent = self.agent()
            connection = agent.connect()
            source = {"source": {"git": copy, "commit": self.first}}
            self.assertEqual(connection.call("build", source, run="r")["status"], "succeeded")
            result = connection.call("package", run="r")
            self.assertEqual(result["status"], "succeeded", result)
            digests.append(result["outputs"]["digest"])
        self.assertEqual(digests[0], digests[1])

    def test_a_pipeline_call_by_call_needs_only_the_run(self):
        """a pipeline call by call needs only the run, and for production the bundle"""
        bundle = os.path.join(self.directory, "release.intoto.jsonl")
        for action in ("build", "test", "package", "deploy-staging", "verify-staging"):
            extra = ("--git", self.repository) if action == "build" else ()
            self.slipway(self.road, "call", action, "--run", "r", *extra, check=0)
        refused = self.slipway(self.road, "call", "deploy-prod", "--run", "r", "--approver", "somebody", check=4)
        self.assertIn("slipway approve", refused.stderr)
        self.slipway(self.road, "release", "collect", "--run", "r", "--output", bundle, check=0)
        shown = self.slipway(self.road, "approve", "--env", "prod", "--key", self.key, "--bundle", bundle, "--approver",
                             "Ann", check=0)
        self.assertIn("Greet", shown.stdout)
        self.slipway(self.road, "call", "deploy-prod", "--run", "r", "--evidence", bundle, check=0)
        self.slipway(self.road, "call", "verify-prod", "--run", "r", check=0)
        self.assertIn("Hello", self.get("prod"))
        used = self.slipway(self.road, "call", "deploy-prod", "--run", "r", "--evidence", bundle, check=4)
        self.assertIn("moved since", used.stderr)

    def test_a_source_that_the_controller_sends(self):
        self.slipway(self.road, "call", "build", "--run", "r", "--source", self.repository, check=0)
        self.slipway(self.road, "call", "test", "--run", "r", check=0)

    def test_a_run_repeated_does_nothing_twice(self):
        self.run_pipeline("--yes", "--run", "again")
        before = self.calls()
        self.run_pipeline("--yes", "--run", "again")
        self.assertEqual(self.calls(), before)

    # ---- the approval ------------------------------------------------------------------------------

    def test_without_a_key_it_is_said_before_anything_is_built(self):
        result = self.slipway(self.road, "run", "--repo", self.repository, "--yes", check=2)
        self.assertIn("slipway keygen", result.stderr)
        self.assertEqual(self.calls(), [])
        self.slipway(self.road, "run", "--repo", self.repository, "--to", "build", check=0)

    def test_a_key_that_others_may_read_is_said_before_anything_is_built(self):
        os.chmod(self.key, 0o644)
        self.assertIn("mode 0644", self.run_pipeline("--yes", check=2).stderr)
        self.assertEqual(self.calls(), [])

    def test_where_nothing_is_required_no_key_is(self):
        self.road = self.start_agent(requires={})
        self.slipway(self.road, "run", "--repo", self.repository, "--yes", check=0)
        self.assertIn("Hello", self.get("prod"))

    def test_the_bundle_is_left_and_says_who_released_what(self):
        bundle, own = (os.path.join(self.directory, name) for name in ("r.jsonl", "own.json"))
        keys = ("--keys", self.road.config_path, "--keys", own)
        self.run_pipeline("--yes", "--run", "r", "--evidence", bundle)
        with open(own, "w", encoding="utf-8") as f:
            f.write(self.slipway(self.road, "keys", "--json", check=0).stdout)
        nobody = self.slipway(self.road, "release", "verify", bundle, check=4).stdout
        self.assertIn("Nothing of this is trusted", nobody)
        text = self.slipway(self.road, "release", "verify", bundle, *keys, check=0).stdout
        self.assertIn("released to prod by Ann", text)
        self.assertIn("Complete for prod", text)
        self.assertIn("ran in prod", text)
        whole = json.loads(self.slipway(self.road, "release", "verify", bundle, *keys, "--json", check=0).stdout)
        self.assertEqual((whole["isComplete"], whole["commit"]), (True, self.first))
        self.assertEqual({p["state"] for p in whole["pieces"]}, {"good"})
        with open(bundle, encoding="utf-8") as f:
            before = f.read()
        self.run_pipeline("--yes", "--run", "r", "--evidence", bundle)
        with open(bundle, encoding="utf-8") as f:
            self.assertEqual(sorted(f), sorted(before.splitlines(keepends=True)), "the same run signs nothing anew")

    def test_a_run_that_was_refused_is_released_again(self):
        self.road = self.start_agent(freeze=[
            {"from": "2020-01-01T00:00", "to": "2099-01-01T00:00", "reason": "holidays"}])
        self.assertIn("holidays", self.run_pipeline("--yes", "--run", "r", check=4).stderr)
        self.road.stop()
        self.road.configure(self.configuration())
        self.road.start()
        self.run_pipeline("--yes", "--run", "r")
        self.assertIn("Hello", self.get("prod"))
        before = self.calls()
        self.assertEqual([status for action, status in before if action == "deploy-prod"], ["refused", "succeeded"])
        self.run_pipeline("--yes", "--run", "r")
        self.assertEqual(self.calls(), before)

    def test_approve_asks_on_a_terminal(self):
        bundle = os.path.join(self.directory, "r.jsonl")
        self.run_pipeline("--to", "verify-staging", "--run", "r", "--evidence", bundle)
        approve = ["approve", "--env", "prod", "--key", self.key, "--approver", "Ann", "--bundle", bundle]
        with open(bundle, encoding="utf-8") as f:
            before = f.read()
        self.assertEqual(self.answer(b"n\n", approve), 4)
        with open(bundle, encoding="utf-8") as f:
            self.assertEqual(f.read(), before)
        self.assertEqual(self.answer(b"yes\n", approve), 0)
        with open(bundle, encoding="utf-8") as f:
            self.assertEqual(len(f.readlines()), len(before.splitlines()) + 1)

    def test_what_cannot_be_approved_is_said_early(self):
        bundle = os.path.join(self.directory, "r.jsonl")
        self.run_pipeline("--to", "verify-staging", "--run", "r", "--evidence", bundle)
        second = self.second_commit()
        self.run_pipeline("--to", "package", "--run", "s")
        several = os.path.join(self.directory, "several.jsonl")
        tested = os.path.join(self.directory, "tested.jsonl")
        for run in ("r", "s"):
            self.slipway(self.road, "release", "collect", "--run", run, "--output", several, check=0)
        with open(bundle, encoding="utf-8") as f, open(tested, "w", encoding="utf-8") as to:
            to.write(f.readline())
        for path, said in ((several, "several packages"), (tested, "no provenance"), ("nothing", "No such file"),
                           (self.key, "is no bundle")):
            result = self.slipway(self.road, "approve", "--env", "prod", "--key", self.key, "--approver", "Ann",
                                  "--bundle", path, check=2)
            self.assertIn(said, result.stderr)
        approve = ("approve", "--env", "prod", "--key", self.key, "--approver", "Ann")
        package = json.loads(self.slipway(self.road, "release", "verify", bundle, "--json", check=4).stdout)
        self.assertNotEqual(package["commit"], second)
        self.slipway(self.road, *approve, "--bundle", several, "--digest", package["digest"], check=0)
        for options, said in ((("--valid", "0"), "--valid"), (("--env", "prd"), "prd"), (("--key", "nothing"), "nothing"),
                              (("--key", self.key + ".pub"), "0644")):
            self.assertIn(said, self.slipway(self.road, *approve, "--bundle", bundle, *options, check=2).stderr)

    def test_a_change_that_was_shown_elsewhere_is_what_is_approved(self):
        bundle, change = (os.path.join(self.directory, name) for name in ("r.jsonl", "change.json"))
        approve = ("approve", "--env", "prod", "--key", self.key, "--bundle", bundle, "--change", change)
        self.run_pipeline("--to", "verify-staging", "--run", "r", "--evidence", bundle)
        shown = self.slipway(self.road, "changes", "--env", "prod", "--repo", self.repository, "--json", check=0)
        with open(change, "w", encoding="utf-8") as f:
            f.write(shown.stdout)
        away = {"SLIPWAY_AGENT": f"unix:{self.directory}/nothing.sock"}
        self.assertIn("--approver", self.slipway(self.road, *approve, check=2, environment={
            **away, "JENKINS_URL": "http://jenkins"}).stderr)
        self.slipway(self.road, *approve, "--approver", "Ann", check=0, environment=away)
        self.slipway(self.road, "call", "deploy-prod", "--run", "r", "--evidence", bundle, check=0)
        self.assertIn("Hello", self.get("prod"))
        second = self.second_commit()
        other = json.loads(self.slipway(self.road, "changes", "--env", "prod", "--repo", self.repository, "--json",
                                        check=0).stdout)
        self.assertEqual((other["from"], other["to"], other["isOneCommit"]), (self.first, second, True))
        with open(change, "w", encoding="utf-8") as f:
            json.dump(other, f)
        self.assertIn("that of commit", self.slipway(self.road, *approve, "--approver", "Ann", check=4).stderr)

    def test_the_change_as_markdown_renders_nothing_of_what_a_commit_says(self):
        self.road = self.start_agent(requires={})
        self.slipway(self.road, "run", "--repo", self.repository, "--yes", check=0)
        harness.commit(self.repository, {"a`b.txt": "x\n"}, "See <img src=x> [me](http://evil) @all | `x`", 1700000100)
        text = self.slipway(self.road, "changes", "--env", "prod", "--repo", self.repository, "--format", "markdown",
                            check=0).stdout
        self.assertIn("**One commit.**", text)
        self.assertIn("`` See <img src=x> [me](http://evil) @all | `x` ``", text)
        self.assertIn("- `` a`b.txt `` +1 −0", text)

    def test_nobody_there_to_ask_means_not_released(self):
        result = self.run_pipeline(check=4)
        self.assertIn("Not released", result.stderr)
        self.assertIn("Hello", self.get("staging"))
        self.assertIsNone(self.get("prod"))

    def test_the_terminal_is_asked_and_yes_releases(self):
        self.assertEqual(self.answer(b"y\n"), 0)
        self.assertIn("Hello", self.get("prod"))

    def test_the_terminal_is_asked_and_no_does_not(self):
        self.assertEqual(self.answer(b"n\n"), 4)
        self.assertIsNone(self.get("prod"))

    def answer(self, text, arguments=None):
        """Runs the pipeline (or what the arguments say) on a terminal and answers its question. Returns the exit status."""
        pid, fd = pty.fork()
        if pid == 0:
            os.environ["SLIPWAY_AGENT"] = f"unix:{self.road.socket}"
            os.execv(program("slipway"), ["slipway", *(arguments or ["run", "--repo", self.repository, "--key", self.key,
                                                                      "--approver", "Ann"])])
        shown, deadline = b"", time.monotonic() + harness.PATIENCE_SECONDS
        is_answered = False
        while time.monotonic() < deadline:
            if select.select([fd], [], [], 1)[0]:
                try:
                    got = os.read(fd, 65536)
                except OSError:
                    break
                if not got:
                    break
                shown += got
            if not is_answered and b"[y/N]" in shown:
                self.assertIn(b"Greet", shown, "the whole change is shown before the question")
                os.write(fd, text)
                is_answered = True
        os.close(fd)
        self.assertTrue(is_answered, shown.decode(errors="replace"))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    # ---- what goes wrong ---------------------------------------------------------------------------

    def test_a_failing_test_deploys_nothing(self):
        path = os.path.join(self.repository, "test.sh")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        harness.commit(self.repository, {"test.sh": text + "\nexit 3\n"}, "Break the tests")
        result = self.run_pipeline("--yes", check=1)
        self.assertIn("status 3", result.stderr)
        self.assertIsNone(self.get("staging"))
        self.assertEqual([a for a, _ in self.calls()], ["build", "test"])

    def test_a_version_that_never_gets_healthy_leaves_the_old_one(self):
        self.run_pipeline("--yes")
        with open(os.path.join(self.repository, "deploy/service.json"), encoding="utf-8") as f:
            template = json.load(f)
        template["health"] = {"path": "/nowhere", "deadlineSeconds": 1}
        harness.commit(self.repository, {"deploy/service.json": json.dumps(template)}, "Ask for the wrong path",
                       1700000200)
        result = self.run_pipeline("--yes", check=1)
        self.assertIn("404", result.stderr + result.stdout)
        self.assertIn("Hello", self.get("staging"))
        self.assertEqual(self.calls()[-1], ("deploy-staging", "failed"))

    def test_a_version_that_dies_at_once_says_its_last_words(self):
        self.run_pipeline("--yes")
        harness.commit(self.repository, {"greeter.c": '#include <stdio.h>\nint main(void)\n{\n    '
                                                      'fputs("cannot read the database\\n", stderr);\n    return 9;\n}\n',
                                         "test.sh": '#!/bin/sh\nmkdir -p build/junit\necho "<testsuite><testcase name=\'a\'/>'
                                                    '</testsuite>" > build/junit/a.xml\n'}, "Break it", 1700000300)
        result = self.run_pipeline("--yes", check=1)
        self.assertIn("cannot read the database", result.stderr + result.stdout)
        self.assertIn("Hello", self.get("staging"))

    def test_a_wrong_slipway_json_names_every_mistake_and_starts_nothing(self):
        harness.commit(self.repository, {"slipway.json": '{\n  "build": {"comand": ["./build.sh"]},\n  "name": 7\n}\n'},
                       "Slip")
        result = self.run_pipeline("--yes", check=1)
        shown = result.stderr + result.stdout
        self.assertRegex(shown, r"line 2: /build/comand: unknown member; did you mean .command.")
        self.assertRegex(shown, r"line 3: /name")
        self.assertEqual(self.calls(), [("build", "failed")])

    def test_a_commit_that_is_not_there(self):
        result = self.slipway(self.road, "call", "build", "--git", f"file://{self.repository}", "--commit", "0" * 40,
                              check=1)
        self.assertIn("0" * 12, result.stderr + result.stdout)

    def test_an_engine_that_is_down(self):
        self.run_pipeline("--yes", "--to", "package", "--run", "r")
        self.engine.terminate()
        self.engine.wait(harness.PATIENCE_SECONDS)
        result = self.slipway(self.road, "call", "deploy-staging", "--run", "r", check=1)
        self.assertIn(self.engine_socket, result.stderr + result.stdout)

    def test_a_rollback_without_anything_before_is_refused(self):
        result = self.slipway(self.road, "call", "rollback-prod", check=4)
        self.assertRegex(result.stderr + result.stdout, re.compile("no .*(release|before)", re.I))

    def test_cancel_in_the_middle_of_a_deploy_leaves_the_old_one(self):
        self.road = self.start_agent(requires={})
        self.run_pipeline("--yes")
        with open(os.path.join(self.repository, "deploy/service.json"), encoding="utf-8") as f:
            template = json.load(f)
        template["health"] = {"path": "/nowhere", "deadlineSeconds": 60}
        commit = harness.commit(self.repository, {"deploy/service.json": json.dumps(template)}, "Never healthy",
                                1700000200)
        self.run_pipeline("--yes", "--to", "package", "--run", "r")
        connection = self.road.connect()
        call = connection.request("calls/start", {"action": "deploy-prod", "idempotencyKey": "d", "run": "r",
                                                  "attach": True})["call"]
        while "instances" not in json.dumps(connection.next_event()):
            pass
        connection.request("calls/cancel", {"call": call})
        result = connection.events_of(call)[-1][1]["result"]
        self.assertEqual((result["status"], result["survivors"]), ("cancelled", 0))
        wait_for(lambda: "Hello" in (self.get("prod") or ""), "the old one serves")
        changes = self.slipway(self.road, "changes", "--env", "prod", "--repo", self.repository, check=0).stdout
        self.assertIn(self.first[:7], changes)
        self.assertIn(commit[:7], changes)

    def test_a_push_to_a_bare_repository_starts_the_pipeline(self):
        bare = os.path.join(self.directory, "greeter.git")
        git(self.directory, "init", "-q", "--bare", bare)
        hook = os.path.join(bare, "hooks/post-receive")
        with open(hook, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nunset GIT_DIR GIT_QUARANTINE_PATH\nwhile read -r old new ref; do\n"
                    f"SLIPWAY_AGENT=unix:{self.road.socket} {program('slipway')} run --repo {bare} --commit $new "
                    f"--ref $ref --key {self.key} --approver Ann --yes || exit\ndone\n")
        os.chmod(hook, 0o755)
        git(self.repository, "push", "-q", bare, "HEAD:main")
        self.assertIn("Hello", self.get("prod"))


if __name__ == "__main__":
    harness.main()
