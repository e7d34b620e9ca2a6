# SPDX-License-Identifier: MIT
"""slipway-run-steps and slipway-run-verify: sources, steps, test results, artifacts."""
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading

import harness
import runner

JUNIT_GOOD = '<testsuite name="s"><testcase classname="c" name="a" time="0.5"/><testcase name="b"/></testsuite>'
JUNIT_BAD = ('<testsuites><testsuite name="s"><testcase classname="c" name="a"><failure message="1 != 2"/></testcase>'
             '<testcase name="b"><skipped/></testcase><testcase name="c"/></testsuite></testsuites>')


class Steps(runner.RunnerCase):
    def test_build_script(self):
        parameters = self.origin({"build.sh": "#!/bin/sh\npwd\nenv | sort\n", "a": "one"})
        outcome = self.succeed("build", parameters)
        commit = parameters["source"]["commit"]
        self.assertEqual(outcome.outputs, {"commit": commit, "version": commit[:7]})
        lines = outcome.log.decode().splitlines()
        self.assertIn(self.workspace, lines)
        for line in (f"SLIPWAY_COMMIT={commit}", "SLIPWAY_REF=refs/heads/main", f"SLIPWAY_VERSION={commit[:7]}",
                     f"SLIPWAY_REPOSITORY={self.directory}/origin", f"GIT_COMMIT={commit}", "GIT_BRANCH=main",
                     "BUILD_ID=r1", "BUILD_TAG=slipway-build-r1", f"WORKSPACE={self.workspace}",
                     "SOURCE_DATE_EPOCH=1700000000", "CI=true"):
            self.assertIn(line, lines)

    def test_makefile(self):
        parameters = self.origin({"Makefile": "all:\n\techo made it\ncheck: all\n\techo checked it\n"})
        self.assertIn(b"made it", self.succeed("build", parameters).log)
        self.assertIn(b"checked it", self.succeed("test", parameters).log)

    def test_nothing_to_do(self):
        parameters = self.origin({"README": "hello", "sub/Makefile": "all:\n"})
        self.assertIn(b"nothing to build", self.succeed("build", parameters).log)
        self.assertIn(b"nothing to test", self.succeed("test", parameters).log)

    def test_makefile_without_check(self):
        self.assertIn(b"nothing to test", self.succeed("test", self.origin({"Makefile": "all:\n\tfalse\n"})).log)

    def test_command_of_the_recipe(self):
        parameters = self.origin({
            "sub/x": "", "slipway.json": json.dumps({
                "build": {"command": "pwd; echo $GREETING; false; echo never", "directory": "sub",
                          "env": {"GREETING": "hello", "SLIPWAY_COMMIT": "forged"}},
                "test": {"command": ["printf", "<%s>", "a b", "$HOME"]}})})
        outcome = self.fail_with("pwd; echo $GREETING; false; echo never exited with status 1", "build", parameters)
        self.assertIn(f"{self.workspace}/sub\nhello\n", outcome.log.decode())
        self.assertNotIn(b"never\n", outcome.log.splitlines())
        self.assertIn(b"<a b><$HOME>", self.succeed("test", parameters).log)

    def test_recipe_cannot_lie_about_the_commit(self):
        parameters = self.origin({"slipway.json": json.dumps({
            "build": {"command": "echo is $SLIPWAY_COMMIT", "env": {"SLIPWAY_COMMIT": "forged"}}})})
        self.assertIn(f"is {parameters['source']['commit']}", self.succeed("build", parameters).log.decode())

    def test_exit_status_and_signal(self):
        outcome = self.fail_with("./build.sh exited with status 3", "build", self.origin({"build.sh": "#!/bin/sh\nexit 3\n"}))
        self.assertEqual(outcome.reasons[-1]["exitCode"], 3)
        outcome = self.fail_with("./build.sh was ended by signal 9 (Killed)", "build",
                                 self.origin({"build.sh": "#!/bin/sh\nkill -9 $$\n"}, name="other"))
        self.assertNotIn("exitCode", outcome.reasons[-1])

    def test_missing_commands(self):
        source = self.origin({"slipway.json": '{"build": {"command": ["no-such-tool", "x"]}}'})
        outcome = self.fail_with("command not found: no-such-tool", "build", source)
        self.assertEqual(outcome.reasons[-1]["exitCode"], 127)
        source = self.origin({"build.sh": ("#!/bin/sh\n", 0o644)}, name="b")
        outcome = self.fail_with("'./build.sh' is not executable", "build", source)
        self.assertEqual(outcome.reasons[-1]["exitCode"], 126)
        self.fail_with("interpreter", "build", self.origin({"build.sh": "#!/no/such/shell\n"}, name="c"))

    def test_time_limit_of_a_step(self):
        source = self.origin({"slipway.json": json.dumps({"build": {"command": ["sleep", "60"], "timeoutSeconds": 0.1}})})
        self.fail_with("sleep ran longer than its 0.1 seconds and was ended", "build", source)

    def test_stdin_and_descriptors(self):
        source = self.origin({"build.sh": "#!/bin/sh\nwc -c\nls /proc/$$/fd | tr '\\n' ' '\necho forged >&3\n"})
        outcome = self.run_action("build", source)
        self.assertIn("\n0\n", "\n" + outcome.log.decode())
        self.assertEqual([r for r in outcome.reports if "type" not in r], [])  # and all of them were JSON
        self.assertEqual(outcome.code, 1)  # fd 3 is not there for a step

    def test_flood(self):
        source = self.origin({"build.sh": "#!/bin/sh\nyes 0123456789 | head -c 50000000\n"})
        self.assertGreater(len(self.succeed("build", source).log), 50000000)

    def test_mistakes_of_the_recipe_all_at_once(self):
        source = self.origin({"slipway.json": """{
  "name": "a/b",
  "build": {"commands": ["x"], "timeoutSeconds": "1", "artifacts": [{"name": "a", "files": ["../x"]},
    {"name": "a", "files": []}]},
  "test": {"directory": "a/../../b", "env": {"1X": "y", "A": 1}},
  "deploy": {"template": "/etc/passwd"}
}"""})
        reason = self.run_action("build", source).reason
        for line in ("line 2: /name: ", "line 3: /build/commands", "line 3: /build/timeoutSeconds: ",
                     "line 3: /build/artifacts/0/files/0: '../x' leads out", "line 4: /build/artifacts/1/files: ",
                     "line 4: /build/artifacts/1/name: 'a' is the name of another artifact already",
                     "line 5: /test/directory: 'a/../../b' leads out", "line 5: /test/env/1X", "line 5: /test/env/A: ",
                     "line 6: /deploy/template: "):
            self.assertIn(line, reason)
        self.assertTrue(reason.startswith("slipway.json: "))

    def test_recipe_that_is_no_json(self):
        self.fail_with("slipway.json: line 2, column 1: ", "build", self.origin({"slipway.json": "{\n"}))

    def test_wrong_calls(self):
        for program, action in (("slipway-run-steps", "deploy"), ("slipway-run-package", "build"),
                                ("slipway-run-verify", "verify")):
            outcome = self.run_spec(program, self.spec(action, {}))
            self.assertEqual(outcome.code, 1)
            self.assertIn(f"'{action}' is n", outcome.reason)
        outcome = self.run_spec("slipway-run-steps", {"call": 1, "directories": {"call": "/c", "workspace": "w"}})
        self.assertEqual(outcome.code, 1)
        for pointer in ("/call: ", "/directories/workspace: ", "/directories: "):
            self.assertIn(pointer, outcome.reason)

    def test_without_reports(self):
        """Started by hand, without fd 3, it says what is missing."""
        result = subprocess.run([harness.program("slipway-run-steps")], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("fd 3, where reports go, is not open", result.stderr)


class Sources(runner.RunnerCase):
    def test_test_after_build_keeps_the_workspace(self):
        source = self.origin({"build.sh": "#!/bin/sh\necho built > out\n", "test.sh": "#!/bin/sh\ncat out\n"})
        self.succeed("build", source)
        self.assertIn(b"built", self.succeed("test", source).log)
        self.assertIn(b"built", self.succeed("test").log)  # and without naming it again
        shutil.rmtree(os.path.join(self.directory, "origin"))
        self.assertIn(b"built", self.succeed("test", source).log)

    def test_clean(self):
        source = self.origin({"build.sh": "#!/bin/sh\nls\ntouch left\n"})
        self.succeed("build", source)
        self.assertIn(b"left", self.succeed("build", source).log.splitlines())
        self.assertNotIn(b"left", self.succeed("build", {**source, "clean": True}).log.splitlines())

    def test_another_run_needs_no_origin(self):
        source = self.origin({"build.sh": "#!/bin/sh\ncat a\n", "a": "one"})
        self.succeed("build", source)
        shutil.rmtree(os.path.join(self.directory, "origin"))
        outcome = self.succeed("build", source, run="r2")
        self.assertIn(b"is here already", outcome.log)
        self.assertTrue(outcome.log.endswith(b"one"))

    def test_only_new_objects_are_fetched(self):
        path = os.path.join(self.directory, "origin")
        source = self.origin({"build.sh": "#!/bin/sh\nwc -c < big\n", "big": os.urandom(1 << 20)})
        self.succeed("build", source)
        big = harness.git(path, "rev-parse", "HEAD:big")
        second = harness.commit(path, {"small": "x"}, "Second")
        os.unlink(os.path.join(path, ".git/objects", big[:2], big[2:]))  # who asks for it again gets nothing
        self.assertIn(b"1048576", self.succeed("build", self.source(path, second), run="r2").log)

    def test_git_describe_in_the_workspace(self):
        path = os.path.join(self.directory, "origin")
        source = self.origin({"build.sh": "#!/bin/sh\ngit describe --dirty; git status --porcelain\n"})
        harness.git(path, "tag", "-m", "v1.0", "v1.0")
        outcome = self.succeed("build", source)
        self.assertEqual(outcome.outputs["version"], "v1.0")
        self.assertTrue(outcome.log.endswith(b"v1.0\n"))

    def test_tag_is_the_version(self):
        path = os.path.join(self.directory, "origin")
        source = self.origin({"a": "1"})
        harness.git(path, "tag", "v1")
        harness.git(path, "tag", "v2")
        source["source"]["ref"] = "refs/tags/v2"
        self.assertEqual(self.succeed("build", source).outputs["version"], "v2")

    def test_submodule(self):
        inner = self.origin({"i": "inner\n"}, name="inner")
        self.assertTrue(inner)
        path = os.path.join(self.directory, "origin")
        harness.repository(path, {"build.sh": "#!/bin/sh\ncat sub/i\n"})
        harness.git(path, "submodule", "--quiet", "add", "../inner", "sub")
        commit = harness.commit(path, {}, "Submodule")
        self.assertIn(b"inner", self.succeed("build", self.source(path, commit)).log)
        # One that cannot be had.
        harness.git(path, "config", "-f", ".gitmodules", "submodule.sub.url", "../gone")
        commit = harness.commit(path, {}, "Gone")
        self.fail_with(f"submodules of '{path}'", "build", self.source(path, commit), run="r2")

    def test_sources_that_cannot_be_had(self):
        path = os.path.join(self.directory, "origin")
        source = self.origin({"a": "1"})
        commit = source["source"]["commit"]
        missing = "1" * 40
        self.fail_with(f"'{path}' has no commit {missing}", "build", self.source(path, missing))
        self.succeed("build", self.source(path, commit, ref="gone"))  # the commit is what counts
        nowhere = os.path.join(self.directory, "nowhere")
        self.fail_with(f"cannot fetch from '{nowhere}'", "build", self.source(nowhere, commit))
        self.fail_with("cannot fetch from 'http://127.0.0.1:", "build",
                       self.source(f"http://127.0.0.1:{harness.free_port()}/x.git", commit))
        self.fail_with("is no URL", "build", self.source("ext::sh -c 'touch x'", commit))
        self.fail_with("no name of a branch", "build", self.source(path, commit, ref="--upload-pack=x"))
        self.fail_with("'main' is no full commit hash", "build", self.source(path, "main"))
        self.fail_with("there is no source", "build", {}, run="r3")

    def test_shallow_repository(self):
        source = self.origin({"a": "1"})
        path = os.path.join(self.directory, "origin")
        harness.commit(path, {"a": "2"}, "Second")
        shallow = os.path.join(self.directory, "shallow")
        harness.git(self.directory, "clone", "-q", "--depth", "1", f"file://{path}", shallow)
        head = harness.git(shallow, "rev-parse", "HEAD")
        self.assertNotEqual(head, source["source"]["commit"])
        self.fail_with("shallow", "build", self.source(shallow, head))

    def test_password_is_told_nobody(self):
        commit = self.origin({"a": "1"})["source"]["commit"]
        url = f"http://me:hunter2@127.0.0.1:{harness.free_port()}/x.git"
        outcome = self.fail_with("http://me@127.0.0.1", "build", self.source(url, commit))
        self.assertNotIn("hunter2", outcome.log.decode() + json.dumps(outcome.reports))
        for root, _, files in os.walk(self.state):
            for name in files:
                with open(os.path.join(root, name), "rb") as f:
                    self.assertNotIn(b"hunter2", f.read())

    def test_bare_repository_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give a repository away")
        source = self.origin({"a": "1"})
        path = os.path.join(self.directory, "given.git")
        harness.git(self.directory, "clone", "-q", "--bare", source["source"]["git"], path)
        for root, directories, files in os.walk(path):
            for name in ["."] + directories + files:
                os.chown(os.path.join(root, name), 65534, 65534)
        self.succeed("build", self.source(path, source["source"]["commit"]))

    def test_calls_at_once_share_a_mirror(self):
        source = self.origin({"build.sh": "#!/bin/sh\ncat a\n", "a": "one"})
        outcomes = [None] * 4

        def build(i):
            outcomes[i] = self.run_spec("slipway-run-steps", specs[i])

        specs = [self.spec("build", source, run=f"p{i}") for i in range(len(outcomes))]
        threads = [threading.Thread(target=build, args=(i,)) for i in range(len(outcomes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([o.code for o in outcomes], [0] * len(outcomes), [o.log for o in outcomes])
        self.assertEqual(len([n for n in os.listdir(os.path.join(self.state, "cache/git")) if len(n) == 64]), 1)

    def test_unreadable_workspace(self):
        source = self.origin({"a": "1"})
        spec = self.spec("build", source)
        os.rmdir(self.workspace)
        with open(self.workspace, "w", encoding="utf-8"):
            pass
        outcome = self.run_spec("slipway-run-steps", spec)
        self.assertEqual(outcome.code, 1)
        self.assertIn(f"cannot open the workspace '{self.workspace}': Not a directory", outcome.reason)

    def put_input(self, name, files):
        tree = os.path.join(self.directory, "tree")
        shutil.rmtree(tree, ignore_errors=True)
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(tree, path)), exist_ok=True)
            with open(os.path.join(tree, path), "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(os.path.join(tree, path), 0o755)
        archive = os.path.join(self.state, "inputs", name)
        subprocess.run(["tar", "--zstd", "-C", tree, "-cf", archive, "."], check=True)
        with open(archive, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        with open(archive + ".sha256", "w", encoding="utf-8") as f:
            f.write(digest)
        return digest

    def test_input(self):
        digest = self.put_input("work", {"build.sh": "#!/bin/sh\ncat a; echo built > out\n", "a": "sent"})
        parameters = {"source": {"input": "work", "name": "greeter"}}
        outcome = self.succeed("build", parameters)
        self.assertIn(b"sent", outcome.log)
        self.assertEqual(outcome.outputs, {"version": digest[:12]})
        self.succeed("test", parameters)
        self.assertTrue(os.path.exists(os.path.join(self.workspace, "out")))
        self.put_input("work", {"b": "other"})
        self.succeed("build", parameters)
        self.assertEqual(os.listdir(self.workspace), ["b"])

    def test_changed_input(self):
        self.put_input("work", {"a": "sent"})
        with open(os.path.join(self.state, "inputs", "work"), "r+b") as f:
            f.seek(30)
            f.write(b"x")
        self.fail_with("input 'work' is not what was sent", "build", {"source": {"input": "work"}})
        self.fail_with("there is no input 'gone'", "build", {"source": {"input": "gone"}})


class Tests(runner.RunnerCase):
    def script(self, text, **others):
        return self.origin({"test.sh": f"#!/bin/sh\n{text}\n", **others})

    def write(self, document, name="build/junit/a.xml"):
        return f"mkdir -p build/junit; cat > {name} <<'EOF'\n{document}\nEOF\n"

    def test_passing(self):
        tests = self.succeed("test", self.script(self.write(JUNIT_GOOD))).outputs["tests"]
        self.assertEqual(tests, {"total": 2, "passed": 2, "failed": 0, "skipped": 0, "seconds": 0.5, "failures": []})

    def test_failing(self):
        outcome = self.fail_with("./test.sh exited with status 1; 1 of 3 tests failed", "test",
                                 self.script(self.write(JUNIT_BAD) + "exit 1"))
        self.assertEqual(outcome.outputs["tests"]["failures"], [{"suite": "c", "name": "a", "message": "1 != 2"}])
        self.assertEqual(outcome.outputs["tests"]["skipped"], 1)

    def test_failing_though_the_command_succeeded(self):
        outcome = self.fail_with("1 of 3 tests failed", "test", self.script(self.write(JUNIT_BAD)))
        self.assertEqual(outcome.reason, "1 of 3 tests failed")

    def test_absent(self):
        self.assertNotIn("tests", self.succeed("test", self.script("true")).outputs)
        source = self.script("true", **{"slipway.json": '{"test": {"junit": ["out/*.xml"]}}'})
        self.fail_with("wrote no JUnit file that matches 'out/*.xml'", "test", source)

    def test_stale(self):
        """Files of an earlier run, or of the repository, do not count."""
        source = self.script("[ ! -e second ] && touch second && cp committed.xml build/junit/a.xml || true",
                             **{"build/junit/b.xml": JUNIT_BAD, "committed.xml": JUNIT_GOOD})
        self.assertEqual(self.succeed("test", source).outputs["tests"]["total"], 2)
        self.assertNotIn("tests", self.succeed("test", source).outputs)

    def test_broken(self):
        declared = {"slipway.json": '{"test": {"junit": ["build/junit/*.xml"]}}'}
        cut = JUNIT_GOOD[:-20]
        outcome = self.fail_with("JUnit file 'build/junit/a.xml': line 1: ", "test", self.script(self.write(cut), **declared))
        # Found by convention it may be anything: it is said, and no reason to fail.
        self.assertIn(b"going on without it", self.succeed(
            "test", self.origin({"test.sh": "#!/bin/sh\n" + self.write("<project/>")}, name="b")).log)

    def test_odd_bytes(self):
        text = ("printf '<testsuite><testcase name=\"\\377 & \\033[1m\"><failure>&#x1b;a &nbsp; b</failure>"
                "</testcase></testsuite>' > junit.xml")
        outcome = self.fail_with("1 of 1 tests failed", "test", self.script(text))
        self.assertEqual(outcome.outputs["tests"]["failures"],
                         [{"suite": "", "name": "\ufffd & \ufffd[1m", "message": "\ufffda &nbsp; b"}])


class Artifacts(runner.RunnerCase):
    def recipe(self, files, script, **others):
        return self.origin({"build.sh": f"#!/bin/sh\n{script}\n", "slipway.json": json.dumps(
            {"build": {"artifacts": [{"name": "out", "files": files}]}}), **others})

    def test_patterns(self):
        source = self.recipe(["dist/**", "*.txt", "!dist/tmp"],
                             "mkdir -p dist/tmp dist/sub; touch dist/a dist/sub/b dist/tmp/c x.txt")
        outcome = self.succeed("build", source)
        self.assertEqual(self.check_artifact(outcome, "out"), ["dist/a", "dist/sub/b", "x.txt"])
        self.assertEqual(outcome.artifacts["out"]["entries"], 3)
        self.assertEqual(outcome.artifacts["out"]["format"], "tar.zst")

    def test_everything_is_without_git(self):
        names = self.check_artifact(self.succeed("build", self.recipe(["**"], "touch x")), "out")
        self.assertEqual(sorted(names), ["build.sh", "slipway.json", "x"])

    def test_the_same_files_give_the_same_bytes(self):
        source = self.recipe(["dist"], "mkdir dist; echo a > dist/a; touch -d @$$ dist/a")
        first, second = self.succeed("build", source), self.succeed("build", source, run="r2")
        self.assertEqual(first.artifacts["out"]["sha256"], second.artifacts["out"]["sha256"])

    def test_pattern_that_matches_nothing(self):
        outcome = self.fail_with("artifact 'out': 'dist/**' matches nothing", "build", self.recipe(["dist/**"], "true"))
        self.assertEqual(outcome.artifacts, {})

    def test_logs_of_a_failed_step(self):
        source = self.recipe(["log", "never"], "echo wrong > log; exit 1")
        outcome = self.fail_with("./build.sh exited with status 1", "build", source)
        self.assertEqual(self.check_artifact(outcome, "out"), ["log"])
        quiet = self.fail_with("./build.sh exited with status 1", "build",
                               self.origin({"build.sh": "#!/bin/sh\nexit 1\n", "slipway.json": json.dumps(
                                   {"build": {"artifacts": [{"name": "out", "files": ["never"]}]}})}, name="b"), run="r2")
        self.assertEqual(quiet.artifacts, {})
        self.assertNotIn(b"never", quiet.log)


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ("/health", "/alive") else 503)
        self.end_headers()

    def log_message(self, *args):
        pass


class Verify(runner.RunnerCase):
    def setUp(self):
        super().setUp()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(lambda: (server.shutdown(), thread.join(), server.server_close()))
        self.url = f"http://127.0.0.1:{server.server_port}"

    def environment(self, url=None):
        return {"name": "staging", "engine": "local", "url": url or self.url}

    def test_smoke_test(self):
        source = self.origin({"smoke.sh": "#!/bin/sh\necho $SLIPWAY_ENVIRONMENT at $SLIPWAY_URL\n"})
        outcome = self.succeed("verify-staging", source, environment_object=self.environment())
        self.assertIn(f"staging at {self.url}", outcome.log.decode())
        self.assertEqual(outcome.outputs, {"commit": source["source"]["commit"], "url": self.url})

    def test_failing_smoke_test(self):
        source = self.origin({"smoke.sh": "#!/bin/sh\nexit 4\n"})
        self.fail_with("./smoke.sh exited with status 4", "verify-staging", source,
                       environment_object=self.environment())

    def test_health_check_alone(self):
        source = self.origin({"a": "1"})
        outcome = self.succeed("verify-staging", source, environment_object=self.environment())
        self.assertIn(f"GET {self.url}/health answered 200", outcome.log.decode())
        # It needs no source at all.
        self.succeed("verify-staging", {}, run="r2", environment_object=self.environment())

    def test_health_path_of_the_template(self):
        source = self.origin({"deploy/service.json": '{"health": {"path": "/alive"}}'})
        self.assertIn(b"/alive answered 200",
                      self.succeed("verify-staging", source, environment_object=self.environment()).log)
        source = self.origin({"deploy/service.json": '{"health": {"path": "/dead"}}'}, name="b")
        self.fail_with("/dead answered 503", "verify-staging", source, run="r2",
                       environment_object=self.environment())

    def test_nobody_answers(self):
        url = f"http://127.0.0.1:{harness.free_port()}"
        self.fail_with(f"GET {url}/health: ", "verify-staging", {}, environment_object=self.environment(url))

    def test_nothing_to_verify_with(self):
        self.fail_with("nothing to verify with", "verify-staging", {}, environment_object={"name": "staging"})

    def spec(self, action, parameters, environment_object=None, **others):
        return super().spec(action, parameters, environment=environment_object, **others)

    def run_action(self, action, parameters=None, **others):
        spec = self.spec(action, parameters, **others)
        return self.run_spec("slipway-run-verify", spec)


if __name__ == "__main__":
    harness.main()
