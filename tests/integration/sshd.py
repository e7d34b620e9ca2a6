# SPDX-License-Identifier: MIT
"""A real sshd on loopback, for tests and measurements of what goes over SSH."""
import os
import subprocess

import harness

START_SSHD = os.path.join(harness.ROOT, "tests/unit/ssh/start-sshd")


class Sshd:
    """A real sshd (start-sshd). Its keys, known_hosts and ssh_config are files in `directory`."""

    def __init__(self, directory, lines=(), address=None):
        """`lines` come before its configuration; it listens on `address` too."""
        self.directory, self.lines, self.address = directory, list(lines), address
        self.process = None
        for _ in range(10):  # another process may take the port
            self.port = harness.free_port()
            if os.path.exists(self.path("known_hosts")):
                os.unlink(self.path("known_hosts"))  # it names the port
            if self.start():
                return
        raise AssertionError(f"sshd does not start:\n{self.log()}")

    def start(self):
        listen = [f"ListenAddress {self.address}:{self.port}"] if self.address not in (None, "127.0.0.1") else []
        with open(self.path("log"), "wb") as log:
            self.process = subprocess.Popen([START_SSHD, self.directory, str(self.port), *listen, *self.lines],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return harness.wait_for(lambda: self.process.poll() is not None or "Server listening" in self.log(),
                                "sshd listens") and self.process.poll() is None

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def path(self, name):
        return os.path.join(self.directory, name)

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def sessions(self):
        """The processes of connections that are logged in: children of the one that listens."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                    parent = int(f.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == self.process.pid:
                found.append(int(pid))
        return found
