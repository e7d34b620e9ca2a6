# SPDX-License-Identifier: MIT
"""Runs a runner as the shim does, without agent and shim: the spec on fd 0, the log on fd 1 and 2, reports on fd 3."""
import hashlib
import json
import os
import subprocess
import tempfile

import harness

PROGRAM_OF = {"build": "slipway-run-steps", "test": "slipway-run-steps", "package": "slipway-run-package",
              "verify": "slipway-run-verify"}


class Outcome:
    """What a call came to."""

    def __init__(self, code, log, reports, directory):
        self.code, self.log, self.reports, self.directory = code, log, reports, directory
        self.outputs = {r["name"]: r["value"] for r in reports if r["type"] == "output"}
        self.artifacts = {r["name"]: r for r in reports if r["type"] == "artifact"}
        self.reasons = [r for r in reports if r["type"] == "reason"]
        self.reason = self.reasons[-1]["text"] if self.reasons else None

    def artifact(self, name):
        return os.path.join(self.directory, "artifacts", self.artifacts[name]["file"])


class RunnerCase(harness.Case):
    """A state directory as an agent lays it out, and calls in it."""

    def setUp(self):
        super().setUp()
        self.state = os.path.join(self.directory, "state")
        self.workspace = os.path.join(self.state, "runs", "r1", "workspace")
        for name in ("calls", "inputs", "cache", "releases", "runs/r1/workspace"):
            os.makedirs(os.path.join(self.state, name))
        self.count = 0
        with open(os.path.join(self.directory, ".gitconfig"), "w", encoding="utf-8") as f:
            f.write("[core]\n\tfsync = none\n")  # nobody pulls the plug here

    def environment_of(self, others=None):
        return {"PATH": os.environ["PATH"], "HOME": self.directory, "LANG": "C.UTF-8", "CI": "true",
                "GIT_CONFIG_NOSYSTEM": "1", **(others or {})}

    def spec(self, action, parameters, run="r1", **others):
        self.count += 1
        call = f"c{self.count}"
        directory = os.path.join(self.state, "calls", call)
        workspace = os.path.join(self.state, "runs", run, "workspace")
        os.makedirs(os.path.join(directory, "artifacts"))
        os.makedirs(workspace, exist_ok=True)
        return {
            "call": call, "action": action, "run": run, "idempotencyKey": call, "parameters": parameters or {},
            "graceSeconds": 1,
            "directories": {"call": directory, "workspace": workspace,
                            **{name: os.path.join(self.state, name)
                               for name in ("calls", "inputs", "cache", "releases")}},
            **others,
        }

    def run_action(self, action, parameters=None, environment=None, wrapper=(), **others):
        spec = self.spec(action, parameters, **others)
        return self.run_spec(PROGRAM_OF[action.split("-")[0]], spec, environment, wrapper)

    def run_spec(self, name, spec, environment=None, wrapper=()):
        directories = spec["directories"]
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as reports:
            stdin.write(json.dumps(spec).encode())
            stdin.seek(0)
            pid = os.posix_spawnp((wrapper or (harness.program(name),))[0], [*wrapper, harness.program(name)],
                                  self.environment_of(environment), file_actions=[
                                      (os.POSIX_SPAWN_DUP2, stdin.fileno(), 0),
                                      (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                                      (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                                      (os.POSIX_SPAWN_DUP2, reports.fileno(), 3)])
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            log.seek(0)
            reports.seek(0)
            lines = reports.read().decode().splitlines()
            return Outcome(code, log.read(), [json.loads(line) for line in lines], directories["call"])

    def succeed(self, *arguments, **others):
        outcome = self.run_action(*arguments, **others)
        self.assertEqual(outcome.code, 0, outcome.log.decode(errors="replace"))
        self.assertIsNone(outcome.reason)
        return outcome

    def fail_with(self, reason, *arguments, **others):
        """Fails, and says so: in the reason, and in the log."""
        outcome = self.run_action(*arguments, **others)
        self.assertEqual(outcome.code, 1, outcome.log.decode(errors="replace"))
        self.assertIsNotNone(outcome.reason, outcome.log)
        self.assertIn(reason, outcome.reason)
        self.assertIn(reason, outcome.log.decode(errors="replace"))
        return outcome

    def origin(self, files, name="origin", **others):
        """A repository with one commit. Returns its `source`."""
        path = os.path.join(self.directory, name)
        return self.source(path, harness.repository(path, files, **others))

    def source(self, path, commit, ref="refs/heads/main"):
        return {"source": {"git": path, "commit": commit, "ref": ref}}

    def check_artifact(self, outcome, name):
        """Size and digest are as reported. Returns the names in it."""
        report, path = outcome.artifacts[name], outcome.artifact(name)
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual(len(data), report["size"])
        self.assertEqual(hashlib.sha256(data).hexdigest(), report["sha256"])
        self.assertEqual(os.listdir(os.path.dirname(path)), sorted(
            r["file"] for r in outcome.artifacts.values()))
        listing = subprocess.run(["tar", "--zstd", "-tf", path], check=True, capture_output=True, text=True)
        return listing.stdout.split()
