# SPDX-License-Identifier: MIT
"""The program slipway-agent itself: its options, what systemd passes and hears, its sockets, its end."""
import fcntl
import json
import os
import resource
import select
import signal
import socket
import subprocess

import harness

INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize"}\n'
PING = b'{"jsonrpc":"2.0","id":2,"method":"ping"}\n'


class AgentCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.prepared = harness.Agent(self.directory)

    def run_agent(self, *arguments, code, **others):
        result = subprocess.run([harness.program("slipway-agent"), *arguments], text=True, capture_output=True,
                                timeout=harness.PATIENCE_SECONDS, **others)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def start(self, *arguments, environment=None, **others):
        process = subprocess.Popen(
            [harness.program("slipway-agent"), "--config", self.prepared.config_path, *arguments],
            stderr=subprocess.PIPE, env={**os.environ, **(environment or {})}, **others)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def ping(self, path):
        connection = harness.Connection.unix(path)
        self.addCleanup(connection.close)
        return connection.request("ping")

    def own_socket(self):
        return os.path.join(self.prepared.state, "agent.sock")

    def wait_until_it_listens(self, process, path=None):
        path = path or self.own_socket()

        def listens():
            self.assertIsNone(process.poll())
            try:
                return self.ping(path)
            except (FileNotFoundError, ConnectionRefusedError):
                return None
        harness.wait_for(listens, f"'{path}' is listened on")


class Options(AgentCase):
    def test_wrong_usage_is_64_and_says_what_is_wrong(self):
        for arguments, text in ((["--nonsense"], "there is no option '--nonsense'"),
                                (["word"], "there is no option 'word'"),
                                (["--config"], "--config needs a value: --config PATH"),
                                (["--state="], "--state needs a value"),
                                (["--stdio=yes"], "--stdio takes no value"),
                                (["--listen", "tcp:80"], "--listen takes unix:PATH, not 'tcp:80'"),
                                (["--listen=unix:"], "--listen takes unix:PATH"),
                                (["--listen=unix:/x"] * 17, "more than 16 --listen"),
                                (["--stdio", "--listen=unix:/x"], "exclude each other")):
            result = self.run_agent(*arguments, code=64)
            self.assertIn(text, result.stderr)
            self.assertEqual(result.stdout, "")

    def test_help_and_version_go_to_stdout(self):
        text = self.run_agent("--help", code=0).stdout
        for option in ("--stdio", "--listen ADDRESS", "--config PATH", "--state DIRECTORY", "--check-config",
                       "--version"):
            self.assertIn(option, text)
        self.assertRegex(self.run_agent("--version", code=0).stdout, r"^slipway-agent \d+\.\d+\.\d+\n$")

    def test_check_config_tells_every_mistake(self):
        path = self.prepared.config_path
        self.assertIn("valid", self.run_agent("--check-config", "--config", path, code=0).stdout)
        self.prepared.configure({"slots": 0, "nmae": "x", "actions": {"a": {"command": "ls"}}})
        result = self.run_agent("--check-config", f"--config={path}", code=78)
        for mistake in ("/slots: must be at least 1", "/nmae: unknown member", "/actions/a/command"):
            self.assertIn(mistake, result.stderr)
        self.assertFalse(os.path.exists(self.prepared.state), "checking makes nothing")
        self.run_agent("--config", path, code=78)
        self.run_agent("--config", os.path.join(self.directory, "none.json"), code=78)

    def test_an_unknown_user_in_allow_is_78(self):
        self.prepared.configure({"allow": {"users": ["no-such-user-here"]}})
        result = self.run_agent("--config", self.prepared.config_path, code=78)
        self.assertIn("no user 'no-such-user-here'", result.stderr)

    def test_state_overrides_the_configuration(self):
        other = os.path.join(self.directory, "other")
        process = self.start("--state", other)
        self.wait_until_it_listens(process, os.path.join(other, "agent.sock"))
        self.assertFalse(os.path.exists(self.prepared.state))


class Sockets(AgentCase):
    def test_it_may_open_more_than_it_inherited(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        process = self.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)))
        self.wait_until_it_listens(process)
        self.assertEqual(resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0], min(hard, 65536))

    def test_two_addresses_besides_its_own(self):
        paths = [os.path.join(self.directory, name) for name in ("a.sock", "b.sock")]
        process = self.start(*[f"--listen=unix:{path}" for path in paths])
        for path in (*paths, self.own_socket()):
            self.wait_until_it_listens(process, path)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        process.terminate()
        self.assertEqual(process.wait(harness.PATIENCE_SECONDS), 0)
        self.assertIn(b"calls that run go on", process.stderr.read())
        for path in (*paths, self.own_socket()):
            self.assertFalse(os.path.exists(path))

    def test_a_second_one_on_the_same_state_is_75(self):
        self.wait_until_it_listens(self.start())
        self.run_agent("--config", self.prepared.config_path, code=75)

    def test_an_address_in_use_is_69_and_is_left_alone(self):
        path = os.path.join(self.directory, "taken.sock")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            other.listen()
            result = self.run_agent("--config", self.prepared.config_path, f"--listen=unix:{path}", code=69)
            self.assertIn(f"another process listens on '{path}'", result.stderr)
        self.assertTrue(os.path.exists(path))

    def test_after_kill_9_the_next_one_takes_the_socket_over(self):
        first = self.start()
        self.wait_until_it_listens(first)
        first.kill()
        first.wait()
        self.assertTrue(os.path.exists(self.own_socket()))
        self.wait_until_it_listens(self.start())

    def test_a_state_directory_with_a_long_name(self):
        self.prepared.state = os.path.join(self.directory, "x" * 120)
        self.prepared.configure({})
        first = self.start("--stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        first.stdin.write(PING)
        self.assertIn(b'"result"', first.stdout.readline())
        second = self.start("--stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        second.stdin.write(PING)
        self.assertIn(b'"result"', second.stdout.readline())


class Systemd(AgentCase):
    def test_a_socket_that_was_passed(self):
        path = os.path.join(self.directory, "activated.sock")
        with socket.socket(socket.AF_UNIX) as passed:
            passed.bind(path)
            passed.listen()
            # As systemd does it between fork and exec.
            command = 'export LISTEN_PID=$$; exec "$0" --config "$1" 3<&"$2"'
            process = subprocess.Popen(
                ["bash", "-c", command, harness.program("slipway-agent"), self.prepared.config_path,
                 str(passed.fileno())],
                stderr=subprocess.PIPE, pass_fds=[passed.fileno()], env={**os.environ, "LISTEN_FDS": "1"})
            self.addCleanup(self.end, process)
            self.assertIn("time", self.ping(path))
            process.terminate()
            self.assertEqual(process.wait(harness.PATIENCE_SECONDS), 0)
        self.assertTrue(os.path.exists(path), "systemd's socket is systemd's")

    def test_it_tells_that_it_is_ready_alive_and_stopping(self):
        path = os.path.join(self.directory, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(harness.PATIENCE_SECONDS)
            process = self.start(environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000"})
            self.assertEqual(manager.recv(100), b"READY=1")
            self.assertIn("time", self.ping(self.own_socket()), "ready means that it listens")
            self.assertEqual(manager.recv(100), b"WATCHDOG=1")
            self.assertEqual(manager.recv(100), b"WATCHDOG=1")
            process.send_signal(signal.SIGINT)
            heard = manager.recv(100)
            while heard == b"WATCHDOG=1":
                heard = manager.recv(100)
            self.assertEqual(heard, b"STOPPING=1")
            self.assertEqual(process.wait(harness.PATIENCE_SECONDS), 0)


class Stdio(AgentCase):
    def test_a_file_of_requests_is_answered_to_the_last(self):
        path = os.path.join(self.directory, "requests")
        with open(path, "wb") as f:
            f.write(INITIALIZE + PING)
        out = os.path.join(self.directory, "answers")
        with open(path, "rb") as requests, open(out, "wb") as answers:
            process = self.start("--stdio", stdin=requests, stdout=answers)
            self.assertEqual(process.wait(harness.PATIENCE_SECONDS), 0)
        with open(out, "rb") as answers:
            lines = [json.loads(line) for line in answers]
        self.assertEqual([line["id"] for line in lines], [1, 2])
        self.assertEqual(process.stderr.read(), b"", "nothing to say to people")

    def test_health_knows_who_of_the_engines_answers(self):
        """engines are asked when somebody asks, not more than every few seconds, and nobody else waits for them"""
        here, hung = os.path.join(self.directory, "here"), os.path.join(self.directory, "hung")
        engines = {}
        for path in (here, hung):
            engines[path] = socket.socket(socket.AF_UNIX)
            self.addCleanup(engines[path].close)
            engines[path].bind(path)
            engines[path].listen(0)
        waiting = socket.socket(socket.AF_UNIX)  # the one that its backlog has room for
        self.addCleanup(waiting.close)
        waiting.connect(hung)
        self.prepared.configure({"environments": {
            "staging": {"engine": "local", "address": f"unix:{here}"},
            "prod": {"engine": "local", "address": f"unix:{hung}", "requires": {}},
            "bare": {"engine": "local"}}})
        agent = self.start()
        self.wait_until_it_listens(agent)
        connection = harness.Connection.unix(self.own_socket())
        self.addCleanup(connection.close)
        connection.initialize()
        asked = connection.start("health")
        connection.request("ping")  # is answered first
        health = connection.answer(asked)
        found = {environment["name"]: environment for environment in health["environments"]}
        self.assertTrue(found["staging"]["isReachable"])
        self.assertFalse(found["prod"]["isReachable"])
        self.assertEqual(found["prod"]["reason"], "no answer within 1000 ms")
        self.assertNotIn("isReachable", found["bare"])
        self.assertEqual(health["status"], "degraded")
        self.assertEqual(health["problems"], ["the engine of 'prod' does not answer: no answer within 1000 ms"])
        engines[here].close()
        again = connection.request("health")
        self.assertTrue(again["environments"][0]["isReachable"], "it is told what was found a moment ago")

    def test_the_host_gets_its_key(self):
        """the first start makes the host's key, later ones keep it, and a lost public file comes back"""
        keys = os.path.join(self.prepared.state, "keys")
        seen = []
        for lost in (None, None, "agent.pub"):
            if lost:
                os.unlink(os.path.join(keys, lost))
            agent = self.start()
            self.wait_until_it_listens(agent)
            connection = harness.Connection.unix(self.own_socket())
            self.addCleanup(connection.close)
            connection.initialize()
            seen.append(harness.wait_for(lambda: connection.request("health").get("publicKey"), "there is a key"))
            agent.terminate()
            self.assertEqual(agent.wait(harness.PATIENCE_SECONDS), 0)
            self.assertEqual(agent.stderr.read().count(b"key"), 0)
        self.assertEqual(len(set(seen)), 1)
        self.assertEqual(os.stat(keys).st_mode & 0o7777, 0o700)
        self.assertEqual(os.stat(os.path.join(keys, "agent.key")).st_mode & 0o7777, 0o600)
        self.assertEqual(sorted(os.listdir(keys)), ["agent.key", "agent.pub"])
        shown = subprocess.run(["openssl", "pkey", "-in", os.path.join(keys, "agent.key"), "-pubout"], check=True,
                               capture_output=True, text=True).stdout
        self.assertEqual(shown, seen[0])

    def test_without_a_key_it_goes_on(self):
        """a key that cannot be made is said, and stops nothing"""
        os.unlink(os.path.join(self.prepared.libexec, "slipway-host-key"))
        agent = self.start()
        self.wait_until_it_listens(agent)
        self.assertIn(b"this host has no key", agent.stderr.readline() + agent.stderr.readline())
        self.ping(self.own_socket())

    def test_a_closed_stdin_is_an_end(self):
        process = self.start("--stdio", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(process.wait(harness.PATIENCE_SECONDS), 0)
        self.assertEqual(process.stdout.read(), b"")

    def test_it_waits_for_an_agent_that_just_ends(self):
        os.makedirs(self.prepared.state)
        lock = os.open(os.path.join(self.prepared.state, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.lockf(lock, fcntl.LOCK_EX)  # a lock of the process, as the agent takes it
        process = self.start("--stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        process.stdin.write(PING)
        self.assertEqual(select.select([process.stdout], [], [], 0.1)[0], [], "the directory is still held")
        os.close(lock)
        self.assertIn(b'"result"', process.stdout.readline())

    def test_the_bridge_ends_with_its_agent(self):
        agent = self.start()
        self.wait_until_it_listens(agent)
        bridge = self.start("--stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        bridge.stdin.write(PING)
        self.assertIn(b'"result"', bridge.stdout.readline())
        agent.kill()
        self.assertEqual(bridge.stdout.readline(), b"")
        self.assertEqual(bridge.wait(harness.PATIENCE_SECONDS), 0)


if __name__ == "__main__":
    harness.main()
