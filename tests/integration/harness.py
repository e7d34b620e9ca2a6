# SPDX-License-Identifier: MIT
"""What integration tests share: the built programs, an agent of one's own, a connection to it, TAP.

A test is a module of unittest cases that ends with `harness.main()`; each case prints one TAP line. Everything
happens below one temporary directory for each case; whatever a case started is ended by its pid.
"""
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLIPWAY_BUILD") or os.path.join(ROOT, "build")
# A sanitized build on a busy machine is an order of magnitude slower; a hang is still found.
PATIENCE_SECONDS = 60

PROGRAMS = {
    "slipway": "plugin/cli/slipway",
    "slipway-agent": "agent/slipway-agent",
    "slipway-ssh": "plugin/ssh/slipway-ssh",
    "slipway-health": "plugin/health/slipway-health",
    "slipway-shim": "agent/shim/slipway-shim",
    "slipway-reach": "agent/reach/slipway-reach",
    "slipway-engine-local": "agent/engine-local/slipway-engine-local",
    "slipway-host-key": "agent/release/slipway-host-key",
    "slipway-audit-forward": "agent/slipway-audit-forward",
    "slipway-run-steps": "agent/runners/slipway-run-steps",
    "slipway-run-verify": "agent/runners/slipway-run-verify",
    "slipway-run-package": "agent/runners/slipway-run-package",
    "slipway-run-deploy": "agent/runners/slipway-run-deploy",
}
LIBEXEC = ("slipway-shim", "slipway-reach", "slipway-host-key", "slipway-audit-forward", "slipway-run-steps", "slipway-run-verify", "slipway-run-package",
           "slipway-run-deploy", "slipway-engine-local")


def program(name):
    """The path of one of our built programs."""
    return os.path.join(BUILD, PROGRAMS[name])


def wait_for(condition, what, seconds=PATIENCE_SECONDS):
    """Polls for what cannot be waited for otherwise. Returns what `condition` returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.005)


def free_port():
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_alive(pid):
    """Zombies do not count."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def git(directory, *arguments, when=1700000000):
    """Runs git as an author of ours, at a moment of ours. Returns what it printed."""
    environment = {
        **os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@localhost", "GIT_AUTHOR_DATE": f"{when} +0000",
        "GIT_COMMITTER_DATE": f"{when} +0000",
    }
    return subprocess.run(["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always",
                           "-C", directory, *arguments], env=environment, check=True,
                          capture_output=True, text=True).stdout.strip()


def repository(directory, files, message="First", when=1700000000):
    """A git repository with one commit of `files` (name → text, or (text, mode)). Returns the commit."""
    os.makedirs(directory, exist_ok=True)
    if not os.path.exists(os.path.join(directory, ".git")):
        git(directory, "init", "-q")
    return commit(directory, files, message, when)


def commit(directory, files, message, when=1700000000):
    for name, content in files.items():
        text, mode = content if isinstance(content, tuple) else (content, 0o755 if name.endswith(".sh") else 0o644)
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "--allow-empty", "-m", message, when=when)
    return git(directory, "rev-parse", "HEAD")


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data")


class Connection:
    """One conversation, as blunt as a test needs it."""

    def __init__(self, reader, writer, close):
        self.reader, self.writer, self.close_all = reader, writer, close
        self.events = []  # notifications in the order in which they came
        self.next_id = 0

    @classmethod
    def unix(cls, path):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE_SECONDS)
        s.connect(path)
        f = s.makefile("rwb")
        c = cls(f, f, lambda: (f.close(), s.close()))
        c.socket = s
        return c

    def send_bytes(self, data):
        self.writer.write(data)
        self.writer.flush()

    def send(self, message):
        self.send_bytes(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def read(self):
        """The next message; None when the agent hung up."""
        line = self.reader.readline()
        return json.loads(line) if line else None

    def start(self, method, params=None):
        self.next_id += 1
        self.send({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params or {}})
        return self.next_id

    def answer(self, wanted):
        """The answer to a request; events that come before it are kept."""
        while True:
            message = self.read()
            if message is None:
                raise ConnectionError("the agent hung up")
            if "method" in message:
                self.events.append(message)
            elif message.get("id") == wanted:
                if "error" in message:
                    raise RpcError(message["error"])
                return message["result"]
            elif "error" in message and message.get("id") is None:
                raise RpcError(message["error"])

    def request(self, method, params=None):
        return self.answer(self.start(method, params))

    def initialize(self):
        return self.request("initialize", {"client": {"name": "test", "version": "0"}})

    def next_event(self):
        while not self.events:
            message = self.read()
            if message is None:
                raise ConnectionError("the agent hung up")
            if "method" in message:
                self.events.append(message)
        return self.events.pop(0)

    def events_of(self, call):
        """All events up to call/finished, as (name, params); seq is checked to have no gap."""
        found = []
        while True:
            event = self.next_event()
            params = event["params"]
            if params.get("call") != call:
                continue
            if found and params["seq"] != found[-1][1]["seq"] + 1:
                raise AssertionError(f"seq {params['seq']} after {found[-1][1]['seq']}")
            found.append((event["method"], params))
            if event["method"] == "call/finished":
                return found

    def call(self, action, parameters=None, **others):
        """Starts an attached call and waits for its end. Returns its result; `log` has its bytes."""
        params = {"action": action, "idempotencyKey": f"k{time.monotonic_ns()}", "attach": True, **others}
        if parameters is not None:
            params["parameters"] = parameters
        started = self.request("calls/start", params)
        events = self.events_of(started["call"])
        self.log = log_of(events)
        return events[-1][1]["result"]

    def close(self):
        self.close_all()


def log_of(events):
    """The bytes of the log that events carry; offsets are checked to have no gap."""
    log = b""
    for name, params in events:
        if name == "call/log":
            if params["offset"] != len(log):
                raise AssertionError(f"offset {params['offset']} after {len(log)} bytes")
            log += params["text"].encode() if "text" in params else base64.b64decode(params["base64"])
    return log


class Agent:
    """A slipway-agent with its own state directory, started on a socket in it; for root also as another user."""

    def __init__(self, directory, config=None, environment=None, user=None):
        self.directory = directory
        self.state = os.path.join(directory, "state")
        self.socket = os.path.join(directory, "agent.sock")
        self.libexec = os.path.join(directory, "libexec")
        self.config_path = os.path.join(directory, "agent.json")
        self.environment = {**os.environ, **(environment or {})}
        self.identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.process = None
        os.makedirs(self.libexec, exist_ok=True)
        for name in LIBEXEC:
            link = os.path.join(self.libexec, name)
            if os.path.exists(program(name)) and not os.path.lexists(link):
                os.symlink(program(name), link)
        self.configure(config or {})

    def configure(self, config):
        config = {"name": "test-agent", "state": self.state, "libexec": self.libexec, **config}
        with open(self.config_path, "w", encoding="utf-8") as f:
            json.dump(config, f, indent=2)

    def start(self):
        """Starts it and waits until it listens."""
        with open(os.path.join(self.directory, "agent.log"), "ab") as log:
            self.process = subprocess.Popen(
                [program("slipway-agent"), "--config", self.config_path, "--listen", f"unix:{self.socket}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, **self.identity)
        wait_for(self.is_listening, "the agent listens")
        return self

    def is_listening(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the agent ended with {self.process.returncode}:\n{self.log()}")
        try:
            # An answer: a shim that is not executed yet has the socket of the agent that was killed.
            c = Connection.unix(self.socket)
            c.request("ping")
            c.close()
            return True
        except (FileNotFoundError, ConnectionError):
            return False

    def log(self):
        with open(os.path.join(self.directory, "agent.log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def connect(self):
        c = Connection.unix(self.socket)
        c.initialize()
        return c

    def kill(self):
        """kill -9: what a crash, an upgrade gone wrong or the OOM killer does."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM. Returns the exit status."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)
        return self.process.returncode if self.process else None

    def call_directory(self, call):
        return os.path.join(self.state, "calls", call)


class Case(unittest.TestCase):
    """A temporary directory (`self.directory`), and agents that end with the case."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slipway-test-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def agent(self, config=None, **others):
        directory = tempfile.mkdtemp(dir=self.directory)
        agent = Agent(directory, config, **others).start()
        self.addCleanup(self.end_agent, agent)
        return agent

    def end_agent(self, agent):
        """Also ends the shims of calls that still run, by the pids that hold their locks."""
        if agent.process.poll() is None:
            agent.kill()
        calls = os.path.join(agent.state, "calls")
        for pid in shims_of(calls):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        wait_for(lambda: not shims_of(calls), "the shims are gone")

    def slipway(self, agent, *arguments, environment=None, check=None, **others):
        """Runs the command line against an agent. Returns the CompletedProcess (text)."""
        result = subprocess.run([program("slipway"), *arguments], text=True, capture_output=True,
                                timeout=PATIENCE_SECONDS,
                                env={**os.environ, "SLIPWAY_AGENT": f"unix:{agent.socket}", **(environment or {})},
                                **others)
        if check is not None:
            self.assertEqual(result.returncode, check, result.stdout + result.stderr)
        return result


def shims_of(calls_directory):
    """Processes whose descriptor 3 is one of these call directories: the shims."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/fd/3").startswith(calls_directory + "/") and is_alive(int(pid)):
                found.append(int(pid))
        except OSError:
            continue
    return found


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.count = 0
        self.began = 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def line(self, test, is_ok, note=""):
        self.count += 1
        if os.environ.get("SLIPWAY_TEST_TIMES"):
            note += f" # {time.monotonic() - self.began:.1f} s"
        title = test.shortDescription() or test.id().rpartition(".")[2].replace("_", " ").removeprefix("test ")
        print(f"{'ok' if is_ok else 'not ok'} {self.count} - {title}{note}", flush=True)

    def tell(self, error):
        for line in self._exc_info_to_string(error[0], error[1]).rstrip().split("\n"):
            print(f"# {line}", flush=True)

    def addSuccess(self, test):
        self.line(test, True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(test, True, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line(test, False)
        self.tell((err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self.line(test, False)
        self.tell((err, test))


def main():
    """Runs the cases of the module that calls it; names given on the command line choose among them."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    tests = []

    def collect(item):
        if isinstance(item, unittest.TestSuite):
            for child in item:
                collect(child)
        elif not sys.argv[1:] or any(word in item.id() for word in sys.argv[1:]):
            tests.append(item)

    collect(suite)
    result = TapResult()
    unittest.TestSuite(tests).run(result)
    print(f"1..{result.count}", flush=True)
    sys.exit(0 if result.wasSuccessful() and result.count else 1)
