# SPDX-License-Identifier: MIT
"""The command line: exit codes, messages, what machines read."""
import json
import os
import signal
import subprocess

import harness
from harness import program, wait_for

COMMANDS = ("run", "call", "actions", "attach", "cancel", "calls", "result", "artifacts", "changes",
            "approve", "rollback", "release", "keygen", "keys", "report", "audit", "health", "completion")


class CommandLine(harness.Case):
    def setUp(self):
        super().setUp()
        self.host = self.agent({"actions": {
            "say": {"title": "Say something", "command": ["/bin/sh", "-c", "echo to stdout; echo to stderr >&2"]},
            "fail": {"command": ["/bin/sh", "-c", "exit 7"]},
            "refuse": {"command": ["/bin/sh", "-c", "echo '{\"type\":\"reason\",\"text\":\"not today\"}' >&3; exit 100"]},
            "slow": {"command": ["/bin/sleep", "100"]},
            "report": {"command": ["/bin/sh", "-c",
                                   "echo '{\"type\":\"output\",\"name\":\"answer\",\"value\":42}' >&3"]},
        }})

    def cli(self, *arguments, check=None, **others):
        return self.slipway(self.host, *arguments, check=check, **others)

    def test_help_of_everything(self):
        self.assertIn("Exit codes", self.cli("--help", check=0).stdout)
        for command in COMMANDS:
            text = self.cli(command, "--help", check=0).stdout
            self.assertIn("slipway " + command, text)
            self.assertTrue(all(len(line) <= 100 for line in text.split("\n")), text)

    def test_version(self):
        self.assertRegex(self.cli("--version", check=0).stdout, r"^slipway \d+\.\d+\.\d+\n$")

    def test_exit_0_and_the_log_has_the_actions_name(self):
        result = self.cli("call", "say", check=0)
        self.assertIn("say | to stdout\n", result.stdout)
        self.assertIn("say | to stderr\n", result.stdout)
        self.assertIn("say succeeded", result.stderr)

    def test_exit_1_the_action_failed(self):
        self.assertIn("7", self.cli("call", "fail", check=1).stderr)

    def test_exit_2_usage(self):
        for arguments, hint in ((["cal"], "did you mean 'call'"), (["call"], "ACTION"), ([], ""),
                                (["call", "say", "--tiemout", "3"], "did you mean --timeout"),
                                (["call", "say", "--timeout", "soon"], "soon"),
                                (["call", "sya"], "say"), (["attach", "no-such-call"], "no-such-call"),
                                (["call", "say", "--param", "x"], "K=V"),
                                (["call", "build", "--param", "nonsense=1"], "nonsense")):
            result = self.cli(*arguments, check=2)
            self.assertIn(hint, result.stderr, arguments)
            self.assertEqual(result.stdout, "")

    def test_exit_3_no_agent(self):
        result = self.cli("health", "--agent", f"unix:{self.directory}/nothing.sock", check=3)
        self.assertIn("nothing.sock", result.stderr)
        self.assertIn("unix:PATH", self.cli("health", "--agent", "tcp:localhost", check=2).stderr)

    def test_exit_4_refused(self):
        self.assertIn("not today", self.cli("call", "refuse", check=4).stderr)

    def test_exit_5_timed_out(self):
        self.cli("call", "slow", "--timeout", "0.2", check=5)
        self.cli("call", "slow", "--silence-timeout", "0.2", check=5)

    def test_exit_6_cancelled_by_another(self):
        call = self.cli("call", "slow", "--detach", check=0).stdout.strip()
        self.cli("cancel", call, check=0)
        self.cli("attach", call, check=6)

    def test_exit_6_cancelled_by_ctrl_c(self):
        client = subprocess.Popen([program("slipway"), "call", "slow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env={**os.environ, "SLIPWAY_AGENT": f"unix:{self.host.socket}"}, text=True)
        wait_for(lambda: any(c["state"] == "running" for c in self.host.connect().request("calls/list")["calls"]),
                 "the call runs")
        client.send_signal(signal.SIGINT)
        _, error = client.communicate(timeout=harness.PATIENCE_SECONDS)
        self.assertEqual(client.returncode, 6, error)

    def test_a_controller_that_ends_the_tree_cancels_the_call(self):
        """SIGTERM to the program and, before it, to what carries its connection; and once more"""
        bridge = f"stdio:{program('slipway-agent')} --stdio --state {self.host.state}"
        client = subprocess.Popen([program("slipway"), "call", "slow", "--agent", bridge], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        wait_for(lambda: any(c["state"] == "running" for c in self.host.connect().request("calls/list")["calls"]),
                 "the call runs")
        with open(f"/proc/{client.pid}/task/{client.pid}/children", encoding="ascii") as f:
            children = [int(pid) for pid in f.read().split()]
        self.assertEqual(len(children), 1)
        for pid in (*children, client.pid):
            os.kill(pid, signal.SIGTERM)
        self.assertIn("cancelling", client.stderr.readline())
        client.send_signal(signal.SIGTERM)
        _, error = client.communicate(timeout=harness.PATIENCE_SECONDS)
        self.assertEqual(client.returncode, 6, error)
        self.assertEqual(self.host.connect().request("calls/list")["calls"][0]["status"], "cancelled")

    def test_the_result_is_left_in_a_file(self):
        path = os.path.join(self.directory, "result.json")
        shown = self.cli("call", "report", "--result", path, "--user", "ann", check=0)
        self.assertNotIn("answer", shown.stdout)
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
        self.assertEqual((result["status"], result["outputs"]), ("succeeded", {"answer": 42}))
        self.assertEqual(self.host.connect().request("calls/list")["calls"][0]["origin"]["user"], "ann")
        self.cli("call", "refuse", "--result", path, check=4)
        with open(path, encoding="utf-8") as f:
            self.assertIn("not today", json.load(f)["reason"])
        self.assertIn("exclude", self.cli("call", "say", "--detach", "--result", path, check=2).stderr)
        self.assertIn("nowhere", self.cli("call", "say", "--result", "/nowhere/at-all", check=1).stderr)

    def test_json_is_one_object_a_line(self):
        lines = [json.loads(line) for line in self.cli("call", "report", "--json", check=0).stdout.splitlines()]
        self.assertEqual(lines[-1]["result"]["outputs"], {"answer": 42})
        names = [line["event"] for line in lines]
        self.assertEqual((names[0], names[-1]), ("call/created", "call/finished"))
        for command in ("actions", "calls", "health"):
            for line in self.cli(command, "--json", check=0).stdout.splitlines():
                self.assertIsInstance(json.loads(line), dict)

    def test_no_color_unless_asked(self):
        self.assertNotIn("\033", self.cli("actions", check=0).stdout)
        self.assertIn("\033", self.cli("call", "say", "--color", "always", check=0).stdout)

    def test_raw_is_byte_for_byte(self):
        self.assertEqual(self.cli("call", "say", "--raw", check=0).stdout, "to stdout\nto stderr\n")

    def test_lists(self):
        self.cli("call", "say", check=0)
        self.assertIn("Say something", self.cli("actions", check=0).stdout)
        self.assertIn("say", self.cli("calls", check=0).stdout)
        self.assertIn("ok", self.cli("health", check=0).stdout)

    def test_health_for_nagios(self):
        """health --nagios is one line with figures; its exit code says OK, WARNING or CRITICAL"""
        result = self.cli("health", "--nagios", check=0)
        self.assertRegex(result.stdout, r"^SLIPWAY OK - 0 of \d+ slots busy, 0 queued, [\d.]+ GB free \| slots=0;;;0;\d+ "
                                        r"queue=0;8000;10000;0;10000 oldest=0\.000s;900;;0 disk_free=\d+B;\d+:;;0;\d+ .*\n$")
        away = self.agent({"environments": {"staging": {"engine": "local", "address": f"unix:{self.directory}/away"}}})
        result = self.slipway(away, "health", "--nagios", check=1)
        self.assertIn("WARNING - the engine of 'staging' does not answer: ", result.stdout)
        self.assertIn("engine  staging (local): does not answer: ", self.slipway(away, "health", check=1).stdout)
        os.unlink(os.path.join(away.libexec, "slipway-shim"))
        self.assertIn("CRITICAL - no call can run: ", self.slipway(away, "health", "--nagios", check=2).stdout)
        nobody = f"unix:{self.directory}/nobody"
        result = self.cli("health", "--nagios", "--agent", nobody, check=2)
        self.assertRegex(result.stdout, r"^SLIPWAY CRITICAL - .*nobody.*\n$")

    def test_health_does_not_hang(self):
        """an agent that does not answer is not reachable, in time"""
        deaf = ("health", "--agent", "stdio:cat >/dev/null", "--timeout", "0.2")
        self.assertIn("does not answer", self.cli(*deaf, check=3).stderr)
        self.assertEqual(self.cli(*deaf, "--nagios", check=2).stdout, "SLIPWAY CRITICAL - the agent does not answer\n")

    def test_the_hosts_key(self):
        """keys are lines for another host's agent.json, which takes them"""
        wait_for(lambda: os.path.exists(os.path.join(self.host.state, "keys", "agent.pub")), "the key is made")
        shown = json.loads(self.cli("keys", "--json", check=0).stdout)
        self.assertIn(f"key     {shown['id']}\n", self.cli("health", check=0).stdout)
        text = self.cli("keys", check=0).stdout
        self.assertIn(shown["id"], text)
        lines = text[text.index('  "keys": {'):]
        keys = json.loads("{" + lines + "}")["keys"]
        self.assertEqual(keys, {"test-agent": shown["key"]})
        other = self.agent({"keys": keys})
        os.unlink(os.path.join(self.host.state, "keys", "agent.pub"))
        self.assertIn("no key", self.cli("keys", check=1).stderr)
        self.assertIn("none yet", self.cli("health", check=0).stdout)
        self.slipway(other, "health", check=0)

    def test_one_key_is_one_call(self):
        first = self.cli("call", "say", "--key", "k", "--detach", check=0).stdout
        self.assertEqual(self.cli("call", "say", "--key", "k", "--detach", check=0).stdout, first)
        self.assertIn("k", self.cli("call", "fail", "--key", "k", check=2).stderr)

    def test_attach_shows_it_all_again(self):
        call = self.cli("call", "say", "--detach", check=0).stdout.strip()
        self.assertIn("say | to stdout\n", self.cli("attach", call, check=0).stdout)
        self.assertIn('"succeeded"', self.cli("result", call, "--json", check=0).stdout)

    def test_a_broken_pipe_ends_it_quietly(self):
        result = subprocess.run(["bash", "-c", f"{program('slipway')} actions | true; echo ${{PIPESTATUS[0]}}"],
                                env={**os.environ, "SLIPWAY_AGENT": f"unix:{self.host.socket}"}, text=True,
                                capture_output=True, check=True)
        self.assertEqual(result.stderr, "")

    def test_completion_is_bash(self):
        script = self.cli("completion", "bash", check=0).stdout
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)

    def test_an_agent_of_its_own_over_stdio(self):
        result = self.cli("call", "say", "--agent",
                          f"stdio:{program('slipway-agent')} --stdio --config {self.host.config_path} "
                          f"--state {self.directory}/own", check=0)
        self.assertIn("say | to stdout\n", result.stdout)


if __name__ == "__main__":
    harness.main()
