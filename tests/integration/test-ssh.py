#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`--agent ssh://…`: the real slipway, slipway-ssh and slipway-agent, and a real sshd on loopback."""
import hashlib
import os
import pty
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from sshd import Sshd

SEED = 20261125


class CuttingProxy:
    """Carries connections to `port`; each of the first ones is cut after so many bytes from there."""

    def __init__(self, port, cuts):
        self.target, self.cuts = port, list(cuts)
        self.n_cut = 0
        self.on_cut = lambda: None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            left = self.cuts.pop(0) if self.cuts else None
            for arguments in ((client, server, None), (server, client, left)):
                thread = threading.Thread(target=self.carry, args=arguments, daemon=True)
                thread.start()
                self.threads.append(thread)

    def carry(self, source, target, left):
        try:
            while data := source.recv(65536 if left is None else min(left, 65536)):
                target.sendall(data)
                if left is not None:
                    left -= len(data)
                    if left == 0:
                        self.n_cut += 1
                        self.on_cut()
                        break
        except OSError:
            pass
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class SshCase(harness.Case):
    sshd_directory = None
    sshd = None

    @classmethod
    def setUpClass(cls):
        cls.sshd_directory = tempfile.mkdtemp(prefix="slipway-test-")
        cls.sshd = Sshd(cls.sshd_directory)

    @classmethod
    def tearDownClass(cls):
        cls.sshd.stop()
        shutil.rmtree(cls.sshd_directory, ignore_errors=True)

    def setUp(self):
        super().setUp()
        # A host's configuration; no agent runs there but the one that a connection starts.
        self.host = harness.Agent(os.path.join(self.directory, "host"), {"actions": {
            "hello": {"command": ["/bin/sh", "-c", "echo hello; echo from over there >&2"]},
            "print": {"command": ["/bin/cat", os.path.join(self.directory, "lines")]},
        }})
        self.addCleanup(self.wait_for_shims)

    def wait_for_shims(self):
        calls = os.path.join(self.host.state, "calls")
        harness.wait_for(lambda: not os.path.exists(calls) or not harness.shims_of(calls), "the shims are gone")

    def ssh_config(self, *lines):
        """A client's ssh_config: these lines come first. Returns its path."""
        path = os.path.join(self.directory, "ssh_config")
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join((*lines, f"Include {self.sshd.path('ssh_config')}\n")))
        return path

    def address(self, port=None, **members):
        members = {"agent": harness.program("slipway-agent"), "config": self.host.config_path, **members}
        query = "&".join(f"{name}={value}" for name, value in members.items() if value)
        return f"ssh://127.0.0.1:{port or self.sshd.port}" + ("?" + query if query else "")

    def run_slipway(self, *arguments, config=None, address=None, check=None, environment=None, **others):
        result = subprocess.run(
            [harness.program("slipway"), *arguments], capture_output=True, timeout=harness.PATIENCE_SECONDS,
            env={**os.environ, "SLIPWAY_AGENT": address or self.address(), "SSH_AUTH_SOCK": "",
                 "SLIPWAY_SSH_CONFIG": config or self.sshd.path("ssh_config"), **(environment or {})}, **others)
        if check is not None:
            self.assertEqual(result.returncode, check, result.stdout[-2000:] + result.stderr[-4000:])
        return result

    def make_lines(self, size):
        """What the action `print` prints. Returns it."""
        chance = random.Random(SEED)
        lines = b"".join(b"%08d %s\n" % (i, hashlib.sha256(b"%d" % i).hexdigest().encode() * chance.randint(0, 3))
                         for i in range(size // 100))
        with open(os.path.join(self.directory, "lines"), "wb") as f:
            f.write(lines)
        return lines


class Talking(SshCase):
    def test_the_whole_protocol_over_ssh(self):
        repository = os.path.join(self.directory, "repository")
        harness.repository(repository, {
            "build.sh": "#!/bin/sh\necho building\nmkdir -p out\nhead -c 700000 /dev/urandom > out/data\n",
            "slipway.json": '{"build": {"artifacts": [{"name": "out", "files": ["out/**"]}]}}\n',
        })
        result = self.run_slipway("call", "hello", "--raw", check=0)
        self.assertIn(b"hello\n", result.stdout)
        fetched = os.path.join(self.directory, "fetched")
        result = self.run_slipway("call", "build", "--git", repository, "--artifacts", fetched, check=0)
        self.assertEqual(os.path.getsize(os.path.join(fetched, "out", "out", "data")), 700000)
        # A source goes up the same way.
        self.run_slipway("call", "build", "--source", repository, check=0)
        result = self.run_slipway("calls", check=0)
        self.assertEqual(result.stdout.count(b"succeeded"), 3, result.stdout)
        self.assertEqual(self.run_slipway("call", "nothing-like-that").returncode, 2)

    def test_an_agent_that_runs_there_is_bridged_to(self):
        self.host.start()
        self.addCleanup(self.end_agent, self.host)
        self.run_slipway("call", "hello", check=0)
        connection = self.host.connect()
        self.assertEqual(connection.request("calls/list")["calls"][0]["action"], "hello")
        connection.close()

    def test_a_forced_command_is_enough(self):
        key = self.sshd.path("id_forced")
        if not os.path.exists(key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        with open(key + ".pub", encoding="utf-8") as public, \
                open(self.sshd.path("authorized_keys"), "a", encoding="utf-8") as f:
            f.write(f'restrict,command="{harness.program("slipway-agent")} --stdio --config '
                    f'{self.host.config_path}" {public.read()}')
        with open(self.sshd.path("ssh_config"), encoding="utf-8") as f:
            lines = [line for line in f.read().split("\n") if "IdentityFile" not in line]
        config = os.path.join(self.directory, "forced_config")
        with open(config, "w", encoding="utf-8") as f:
            f.write("\n".join([*lines, f"IdentityFile {key}\n"]))
        self.run_slipway("call", "hello", config=config, address=self.address(agent=None, config=None), check=0)

    def test_where_libssh2_cannot_the_program_ssh_does(self):
        lines = self.make_lines(2000000)
        config = self.ssh_config("ProxyCommand socat - TCP:%h:%p")
        result = self.run_slipway("call", "print", "--raw", config=config, check=0,
                                  environment={"SLIPWAY_DEBUG": "1"})
        self.assertEqual(result.stdout, lines)
        self.assertIn(b"by the program ssh, since libssh2 cannot: ssh_config has ProxyCommand", result.stderr)

    def test_a_passphrase_is_asked_for_at_the_terminal(self):
        with open(self.sshd.path("ssh_config"), encoding="utf-8") as f:
            lines = [line for line in f.read().split("\n") if "IdentityFile" not in line]
        config = os.path.join(self.directory, "secret_config")
        with open(config, "w", encoding="utf-8") as f:
            f.write("\n".join([*lines, f"IdentityFile {self.sshd.path('id_secret')}\n"]))
        ours, theirs = pty.openpty()
        # The terminal is that of a session of its own, whose foreground is slipway and not slipway-ssh.
        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", harness.program("slipway"), "call", "hello"], stdin=theirs, stdout=theirs,
            stderr=theirs, env={**os.environ, "SLIPWAY_AGENT": self.address(), "SLIPWAY_SSH_CONFIG": config})
        os.close(theirs)
        said = b""
        try:
            while data := os.read(ours, 65536):
                said += data
                if said.endswith(b": ") and b"passphrase" in said and b"hello" not in said:
                    os.write(ours, b"secret\n")
        except OSError:  # so a terminal ends
            pass
        os.close(ours)
        self.assertEqual(process.wait(harness.PATIENCE_SECONDS), 0, said)
        self.assertIn(b"Enter passphrase for key", said)
        self.assertIn(b"from over there", said)

    def test_a_reader_that_stops_loses_nothing(self):
        lines = self.make_lines(6000000)
        config = self.ssh_config("ServerAliveInterval 1", "ServerAliveCountMax 1")
        with subprocess.Popen([harness.program("slipway"), "call", "print", "--raw"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE,
                              env={**os.environ, "SLIPWAY_AGENT": self.address(),
                                   "SLIPWAY_SSH_CONFIG": config}) as p:
            got = p.stdout.read(1000)
            # Longer than a silent host would be believed to be there: it is not silent, we do not listen.
            deadline = time.monotonic() + 3
            harness.wait_for(lambda: time.monotonic() > deadline, "the time has passed")
            got += p.stdout.read()
            errors = p.stderr.read()
        self.assertEqual(p.returncode, 0, errors)
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(lines).digest())
        self.assertNotIn(b"trying again", errors)


class Cutting(SshCase):
    def follow_through(self, proxy):
        config = self.ssh_config(f"HostKeyAlias [127.0.0.1]:{self.sshd.port}")
        self.addCleanup(proxy.close)
        return self.run_slipway("call", "print", "--raw", config=config, address=self.address(proxy.port))

    def test_a_cut_network_costs_nothing_but_time(self):
        lines = self.make_lines(8000000)
        chance = random.Random(SEED)
        # The first connection is to stand once before it breaks: only then is there something to go on with.
        proxy = CuttingProxy(self.sshd.port, [chance.randint(100000, 1500000), *(chance.randint(1, 1500000)
                                                                                 for _ in range(5))])
        result = self.follow_through(proxy)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(proxy.n_cut, 6)
        self.assertEqual(len(result.stdout), len(lines))
        self.assertEqual(hashlib.sha256(result.stdout).digest(), hashlib.sha256(lines).digest())
        self.assertIn(b"trying again", result.stderr)
        self.assertIn(b"the connection stands again", result.stderr)

    def test_a_killed_session_is_begun_again(self):
        lines = self.make_lines(6000000)
        proxy = CuttingProxy(self.sshd.port, [])
        killed = []
        carry = proxy.carry

        def kill_once(source, target, left):
            # Once the connection is at work: some of the log has come.
            seen, receive = [0], source.recv

            class Watched:
                def recv(self, n):
                    data = receive(n)
                    seen[0] += len(data)
                    if seen[0] > 1000000 and not killed and target.getpeername()[1] != proxy.target:
                        for pid in proxy.sshd.sessions():
                            killed.append(pid)
                            os.kill(pid, 9)
                    return data

                def __getattr__(self, name):
                    return getattr(source, name)
            carry(Watched(), target, left)
        proxy.sshd = self.sshd
        proxy.carry = kill_once
        result = self.follow_through(proxy)
        self.assertTrue(killed)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(hashlib.sha256(result.stdout).digest(), hashlib.sha256(lines).digest())

    def test_a_host_that_changes_meanwhile_is_not_believed(self):
        self.make_lines(6000000)
        known_hosts = os.path.join(self.directory, "known_hosts")
        shutil.copy(self.sshd.path("known_hosts"), known_hosts)
        proxy = CuttingProxy(self.sshd.port, [800000])
        self.addCleanup(proxy.close)

        def change():
            with open(self.sshd.path("id_stranger.pub"), encoding="utf-8") as key, \
                    open(known_hosts, "w", encoding="utf-8") as f:
                f.write(f"[127.0.0.1]:{self.sshd.port} {key.read()}")
        proxy.on_cut = change
        config = self.ssh_config(f"HostKeyAlias [127.0.0.1]:{self.sshd.port}", f"UserKnownHostsFile {known_hosts}")
        began = time.monotonic()
        result = self.run_slipway("call", "print", "--raw", config=config, address=self.address(proxy.port))
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn(b"has changed", result.stderr)
        self.assertLess(time.monotonic() - began, 50)  # it is not tried for the whole minute

    def test_a_cut_while_logging_in_is_no_refusal(self):
        """Whatever the last was that came from there: the connection broke, and our keys are as good as before."""
        cuts = range(1000, 2400, 120)
        proxy = CuttingProxy(self.sshd.port, cuts)
        self.addCleanup(proxy.close)
        config = self.ssh_config(f"HostKeyAlias [127.0.0.1]:{self.sshd.port}")
        for n in cuts:
            told = self.run_slipway("health", config=config, address=self.address(proxy.port)).stderr.decode()
            self.assertNotIn("accepts no key of ours", told, n)
        self.assertGreater(proxy.n_cut, 5)


class Refusing(SshCase):
    def expect(self, *words, **others):
        """Unreachable, with the reason."""
        result = self.run_slipway("health", check=3, **others)
        for word in words:
            self.assertIn(word, result.stderr.decode())
        # One sentence says it; no second one says that there is no agent to be found.
        self.assertNotIn("Start one with", result.stderr.decode())

    def test_an_unknown_host(self):
        self.expect("is in no known_hosts", "ssh-keyscan -t", config=self.ssh_config("UserKnownHostsFile /dev/null"))

    def test_a_changed_host_key(self):
        changed = os.path.join(self.directory, "changed")
        with open(self.sshd.path("id_stranger.pub"), encoding="utf-8") as key, \
                open(changed, "w", encoding="utf-8") as f:
            f.write(f"[127.0.0.1]:{self.sshd.port} {key.read()}")
        self.expect("has changed", f"{changed}:1 has another", f"ssh-keygen -f {changed} -R",
                    config=self.ssh_config(f"UserKnownHostsFile {changed}"))

    def test_no_key_is_accepted(self):
        self.expect("accepts no key of ours", "ssh-copy-id",
                    address=self.address().replace("ssh://", "ssh://nobody-of-this-name@"))

    def test_a_key_of_rsa(self):
        """With libssh2 1.10 by the program ssh, with a newer one by that."""
        key = os.path.join(self.directory, "id_rsa")
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", key], check=True)
        with open(self.sshd.path("ssh_config"), encoding="utf-8") as f:
            lines = [line for line in f.read().split("\n") if "IdentityFile" not in line]
        config = os.path.join(self.directory, "rsa_config")
        with open(config, "w", encoding="utf-8") as f:
            f.write("\n".join([*lines, f"IdentityFile {key}\n"]))
        result = self.run_slipway("health", config=config, check=3)
        if b"libssh2 cannot" in result.stderr:
            self.assertIn(b"RSA and SHA-1 only", result.stderr)
            self.assertIn(b"Permission denied", result.stderr)
        with open(key + ".pub", encoding="utf-8") as public, \
                open(self.sshd.path("authorized_keys"), "a", encoding="utf-8") as f:
            f.write(public.read())
        self.run_slipway("call", "hello", config=config, check=0)

    def test_no_agent_there(self):
        self.expect("there is no '/nowhere/slipway-agent' to run on", "?agent=/PATH/TO/slipway-agent",
                    address=self.address(agent="/nowhere/slipway-agent"))

    def test_an_agent_that_does_not_start(self):
        self.expect("ended at once with exit status 78", "/nowhere/agent.json",
                    address=self.address(config="/nowhere/agent.json"))

    def test_no_such_host(self):
        result = self.run_slipway("health", address="ssh://no-such-host.invalid", check=3)
        self.assertIn(b"no-such-host.invalid'", result.stderr)

    def test_nobody_listens(self):
        self.expect("but no SSH server at its port", address=f"ssh://127.0.0.1:{harness.free_port()}")

    def test_somebody_else_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.expect("does not answer in time", config=self.ssh_config("ConnectTimeout 1"),
                        address=f"ssh://127.0.0.1:{listener.getsockname()[1]}")

    def test_an_address_that_is_none(self):
        for address, word in (("ssh://", b"no host's name"), ("ssh:host", b"ssh://[USER@]HOST"),
                              ("ssh://me:secret@host", b"a password has no place")):
            result = self.run_slipway("health", address=address, check=2)
            self.assertIn(word, result.stderr)
        self.expect("'agnt=' means nothing", address=self.address(agnt="x"))


if __name__ == "__main__":
    unittest.util._MAX_LENGTH = 2000
    harness.main()
