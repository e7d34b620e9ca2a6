# SPDX-License-Identifier: MIT
"""slipway-shim with an agent made of a few lines: it gives the descriptors, reads the files, says `cancel`.

Every case ends by checking what holds for every call: the records have no gap, their ranges are the whole log,
status.json is the last record, and no process of the call is left."""
import ctypes
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import textwrap

import harness
from harness import wait_for

NOBODY = 65534
SECRET = "correct-horse-battery"


def cgroup_parent():
    """The mount of the v2 hierarchy, if groups can be made in it; else None."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        mounts = [line.split() for line in f]
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        own = [line.strip()[3:] for line in f if line.startswith("0::")]
    for mount in mounts:
        if mount[2] == "cgroup2":
            for parent in (mount[1], mount[1] + (own[0] if own else "")):
                if os.access(parent, os.W_OK):
                    return parent
    return None


def read_text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Call:
    """One call directory, and the shim that works in it."""

    def __init__(self, case, directory=None):
        self.case = case
        self.directory = directory or os.path.join(case.directory, "call")
        os.makedirs(self.directory, exist_ok=True)
        self.process = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(self.directory, "control.sock"))
        self.listener.listen(8)
        self.workspace = os.path.join(case.directory, "workspace")
        os.makedirs(self.workspace, exist_ok=True)
        with open(self.path("spec.json"), "w", encoding="utf-8") as f:
            f.write('{"call":"c1"}\n')

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, command, *, timeout=0, silence=0, grace=5000, options=(), secrets=None, before=None):
        """`command`: a list, or a script for sh."""
        argv = [harness.program("slipway-shim"), "--timeout-ms", str(timeout), "--silence-timeout-ms", str(silence),
                "--grace-ms", str(grace), *options]
        for name, value in (secrets or {}).items():
            path = os.path.join(self.case.directory, name)
            with open(path, "wb") as f:
                f.write(value.encode())
            argv += ["--secret", f"{name}={path}"]
        if isinstance(command, str):
            command = ["/bin/sh", "-c", textwrap.dedent(command)]
        given = [os.open(self.path("spec.json"), os.O_RDONLY), os.open(os.path.join(self.case.directory, "stderr"),
                 os.O_WRONLY | os.O_CREAT | os.O_APPEND)]
        given += [given[1], os.open(self.directory, os.O_RDONLY), self.listener.fileno(),
                  os.open(self.path("lock"), os.O_RDWR | os.O_CREAT)]
        fcntl.flock(given[5], fcntl.LOCK_EX | fcntl.LOCK_NB)
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in given]

        def arrange():
            for number, fd in enumerate(high):
                os.dup2(fd, number)
            if before:
                before()

        self.process = subprocess.Popen(argv + ["--", *command], cwd=self.workspace, preexec_fn=arrange,
                                        close_fds=False, env={"PATH": os.environ["PATH"], "CI": "true"})
        for fd in high + [given[0], given[1], given[3], given[5]]:
            os.close(fd)
        self.listener.close()
        self.case.addCleanup(self.end)
        return self

    def end(self):
        """What a failed case leaves: the shim ends its tree itself."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(harness.PATIENCE_SECONDS)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(harness.PATIENCE_SECONDS)
        s.connect(self.path("control.sock"))
        return s

    def cancel(self):
        """Says it and leaves, which is enough."""
        with self.connect() as s:
            s.sendall(b"cancel\n")

    def is_locked(self):
        with open(self.path("lock"), encoding="utf-8") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True

    def stderr(self):
        return read_text(os.path.join(self.case.directory, "stderr"))

    def log(self):
        with open(self.path("output.log"), "rb") as f:
            return f.read()

    def records(self):
        with open(self.path("journal.ndjson"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def logged(self, stream):
        log = self.log()
        return b"".join(log[r["offset"]:r["offset"] + r["length"]] for r in self.records()
                        if r["type"] == "log" and r["stream"] == stream)

    def reports(self):
        return [r["line"] for r in self.records() if r["type"] == "report"]

    def wait_for_log(self, text):
        wait_for(lambda: os.path.exists(self.path("output.log")) and text in self.log(), f"{text} in the log")

    def finish(self):
        """Waits for the end. Returns the last record, after the checks that hold for every call."""
        self.case.assertEqual(self.process.wait(harness.PATIENCE_SECONDS), 0, self.stderr())
        records = self.records()
        self.case.assertEqual([r["seq"] for r in records], list(range(1, len(records) + 1)))
        offset = 0
        for r in (r for r in records if r["type"] == "log"):
            self.case.assertEqual(r["offset"], offset)
            self.case.assertTrue(0 < r["length"] <= 65536)
            offset += r["length"]
        self.case.assertEqual(offset, os.path.getsize(self.path("output.log")))
        with open(self.path("status.json"), encoding="utf-8") as f:
            self.case.assertEqual(json.load(f), records[-1])
        self.case.assertEqual(records[-1]["type"], "finished")
        self.case.assertEqual(records[-1]["logBytes"], offset)
        self.case.assertFalse(os.path.exists(self.path("status.json.tmp")))
        self.case.assertFalse(self.is_locked())
        return records[-1]


class ShimCase(harness.Case):
    def start(self, command, **others):
        return Call(self).start(command, **others)

    def run_call(self, command, **others):
        call = self.start(command, **others)
        return call, call.finish()

    def assertEnded(self, end, status, reason=None, **others):
        self.assertEqual(end["status"], status, end)
        if reason is not None:
            self.assertEqual(end["reason"], reason)
        self.assertEqual(end["survivors"], others.pop("survivors", 0))
        for name, value in others.items():
            self.assertEqual(end[name], value, name)

    def pid_from(self, call, name):
        path = os.path.join(call.workspace, name)
        return int(wait_for(lambda: os.path.exists(path) and read_text(path).strip(), name))


class Outcomes(ShimCase):
    def test_success(self):
        call, end = self.run_call("echo out; echo err >&2; pwd")
        self.assertEnded(end, "succeeded", "", exitCode=0, signal=0, leftovers=0)
        self.assertEqual(call.logged("stdout"), f"out\n{call.workspace}\n".encode())
        self.assertEqual(call.logged("stderr"), b"err\n")
        self.assertEqual(call.records()[0]["type"], "started")
        self.assertGreater(end["maxRssBytes"], 0)

    def test_what_the_runner_is_given(self):
        script = """
            import json, os, signal
            fds = sorted(int(n) for n in os.listdir("/proc/self/fd"))
            status = dict(line.split(":", 1) for line in open("/proc/self/status"))
            print(json.dumps({"spec": os.read(0, 100).decode(), "fds": fds, "blocked": int(status["SigBlk"], 16),
                              "ignored": int(status["SigIgn"], 16), "leads": os.getpgrp() == os.getpid(),
                              "session": os.getsid(0) != os.getpid(), "env": os.environ.get("CI")}))"""
        script = "import ctypes, sys\n" + textwrap.dedent(script)
        call, end = self.run_call(["/usr/bin/env", sys.executable, "-I", "-S", "-c", script])
        self.assertEnded(end, "succeeded", "")
        given = json.loads(call.log())
        self.assertEqual(given["spec"], '{"call":"c1"}\n')
        self.assertEqual(given["fds"][:4], [0, 1, 2, 3])
        self.assertEqual(len(given["fds"]), 5)  # and the one that listdir has open
        self.assertEqual((given["blocked"], given["leads"], given["session"], given["env"]), (0, True, True, "true"))
        python_ignores = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
        self.assertEqual(given["ignored"] & ~python_ignores, 0)

    def test_failure_refusal_and_signal(self):
        for command, status, reason, code, number in (
                ("exit 3", "failed", "exited with status 3", 3, 0),
                ("exit 100", "refused", "", 100, 0),
                ("kill -SEGV $$", "failed", "ended by signal 11 (Segmentation fault)", -1, 11)):
            call = Call(self, os.path.join(self.directory, f"call-{code}"))
            self.assertEnded(call.start(command).finish(), status, reason, exitCode=code, signal=number)

    def test_a_program_that_cannot_be_started(self):
        files = {"text": ("echo\n", 0o755), "plain": ("#!/bin/sh\n", 0o644), "lost": ("#!/no/such\n", 0o755)}
        for name, (text, mode) in files.items():
            with open(os.path.join(self.directory, name), "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(os.path.join(self.directory, name), mode)
        for name, why in (("none", "there is no such file"), ("plain", "it is not executable"),
                          ("text", "its format is not executable (a script begins with #!)"),
                          ("lost", "it is there, but not its interpreter")):
            path = os.path.join(self.directory, name)
            end = Call(self, os.path.join(self.directory, "call-" + name)).start([path]).finish()
            self.assertEnded(end, "failed", f"cannot start '{path}': {why}", exitCode=-1, signal=0)

    def test_resources(self):
        _, end = self.run_call([sys.executable, "-I", "-S", "-c", "x = bytearray(50 << 20)\n"
                                "import time\nwhile time.process_time() < 0.15: pass"])
        self.assertGreater(end["maxRssBytes"], 50 << 20)
        self.assertTrue(100_000 < end["userUs"] + end["systemUs"] < 10_000_000, end)

    def test_a_directory_that_has_records_is_left_alone(self):
        call = Call(self)
        with open(call.path("journal.ndjson"), "w", encoding="utf-8") as f:
            f.write('{"seq":1}\n')
        call.start("touch ran")
        self.assertEqual(call.process.wait(harness.PATIENCE_SECONDS), 1)
        self.assertIn("the call has run already", call.stderr())
        self.assertFalse(os.path.exists(os.path.join(call.workspace, "ran")))

    def test_a_torn_record_is_dropped(self):
        call = Call(self)
        with open(call.path("journal.ndjson"), "w", encoding="utf-8") as f:
            f.write('{"seq":1,"ti')
        self.assertEnded(call.start("exit 0").finish(), "succeeded")

    def test_wrong_command_lines(self):
        for arguments in ((), ("--timeout-ms", "x", "--", "/bin/true"), ("--secret", "1=/x", "--", "/bin/true"),
                          ("--secret", "A", "--", "/bin/true"), ("--unknown",)):
            result = subprocess.run([harness.program("slipway-shim"), *arguments], stderr=subprocess.PIPE, check=False)
            self.assertEqual(result.returncode, 2)
            self.assertTrue(result.stderr)


class Endings(ShimCase):
    def test_timeout(self):
        _, end = self.run_call("sleep 100", timeout=150)
        self.assertEnded(end, "timed_out", "took longer than 0.15 seconds", signal=signal.SIGTERM)

    def test_silence(self):
        call, end = self.run_call("for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; exec sleep 100", silence=300)
        self.assertEnded(end, "timed_out", "wrote nothing for 0.3 seconds")
        self.assertEqual(call.log(), b"1\n2\n3\n4\n5\n")

    def test_cancel_lets_the_step_clean_up(self):
        call = self.start("trap 'echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.01; done")
        call.wait_for_log(b"ready")
        call.cancel()
        self.assertEnded(call.finish(), "cancelled", "cancelled", exitCode=7)
        self.assertIn(b"cleaned", call.log())

    def test_who_ignores_SIGTERM_is_killed(self):
        call = self.start("trap '' TERM; echo ready; while :; do sleep 0.05; done", grace=100)
        call.wait_for_log(b"ready")
        call.cancel()
        self.assertEnded(call.finish(), "cancelled", signal=signal.SIGKILL)

    def test_no_grace_at_all(self):
        call = self.start("trap 'echo late' TERM; echo ready; while :; do sleep 0.01; done", grace=0)
        call.wait_for_log(b"ready")
        call.cancel()
        self.assertEnded(call.finish(), "cancelled", signal=signal.SIGKILL)
        self.assertNotIn(b"late", call.log())

    def test_SIGTERM_to_the_shim_is_a_cancel_and_other_signals_are_nothing(self):
        call = self.start("echo ready; exec sleep 100")
        call.wait_for_log(b"ready")
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
            call.process.send_signal(number)
        call.process.send_signal(signal.SIGTERM)
        self.assertEnded(call.finish(), "cancelled", "the shim was asked to end, as when the host shuts down")

    def test_SIGKILL_to_the_shim_ends_the_runner(self):
        call = self.start("echo $$ > pid; exec sleep 100")
        pid = self.pid_from(call, "pid")
        call.process.kill()
        call.process.wait()
        wait_for(lambda: not harness.is_alive(pid), "the runner is gone")
        self.assertFalse(call.is_locked())
        self.assertFalse(os.path.exists(call.path("status.json")))


DAEMON = """
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(64):
                try: os.close(fd)
                except OSError: pass
            with open("daemon", "w") as f: f.write(str(os.getpid()))
            time.sleep(1000)
        os._exit(0)
    os.wait()
"""


class Trees(ShimCase):
    options = ()

    @staticmethod
    def python(script):
        return [sys.executable, "-I", "-S", "-c", textwrap.dedent(script)]

    def test_a_daemon_is_dead_after_cancel(self):
        """setsid, double fork, ignored SIGTERM: dead after cancel, 0 survivors"""
        call = self.start(self.python(DAEMON + "    time.sleep(1000)"), grace=100, options=self.options)
        pid = self.pid_from(call, "daemon")
        call.cancel()
        self.assertEnded(call.finish(), "cancelled")
        self.assertFalse(harness.is_alive(pid))

    def test_a_daemon_that_is_left_behind_is_ended(self):
        call = self.start(self.python(DAEMON), grace=100, options=self.options)
        self.assertEnded(call.finish(), "succeeded", "", leftovers=1)
        self.assertFalse(harness.is_alive(self.pid_from(call, "daemon")))

    def test_a_leftover_that_holds_stdout(self):
        call, end = self.run_call("sleep 1000 & sleep 1000 & echo $! > pid; echo done", options=self.options)
        self.assertEnded(end, "succeeded", "", leftovers=2)
        self.assertEqual(call.log(), b"done\n")
        self.assertFalse(harness.is_alive(self.pid_from(call, "pid")))

    def test_one_that_follows_soon_is_no_leftover(self):
        call, end = self.run_call("(sleep 0.05; echo later) & echo first", options=self.options)
        self.assertEnded(end, "succeeded", "", leftovers=0)
        self.assertEqual(call.log(), b"first\nlater\n")

    def test_a_stopped_child_hears_SIGTERM(self):
        call = self.start("""
            (trap 'touch heard; exit' TERM; sh -c 'echo $PPID' > new; mv new pid; kill -STOP $(cat pid)
             while :; do sleep 0.01; done) & wait; sleep 1000""", options=self.options)
        stat = f"/proc/{self.pid_from(call, 'pid')}/stat"
        wait_for(lambda: read_text(stat).rpartition(")")[2].split()[0] == "T", "it is stopped")
        call.cancel()
        self.assertEnded(call.finish(), "cancelled")
        self.assertTrue(os.path.exists(os.path.join(call.workspace, "heard")))

    def test_a_fork_storm(self):
        """a storm of forks (200 at a time, each ends and leaves another): nothing is left"""
        call = self.start(self.python("""
            import os, signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for _ in range(200):
                if os.fork() == 0:
                    time.sleep(0.2)
                    while True:  # a new process every few milliseconds, always an orphan
                        if os.fork():
                            os._exit(0)
                        time.sleep(0.02)
            print("ready", flush=True)
            time.sleep(1000)
            """), grace=20, options=self.options)
        call.wait_for_log(b"ready")
        call.cancel()
        self.assertEnded(call.finish(), "cancelled")


class Survivors(ShimCase):
    if os.geteuid() == 0 and shutil.which("setpriv"):
        def test_a_process_that_may_not_be_killed_is_told(self):
            """a process of root's under a shim that is not root's: 1 survivor, told and bounded"""
            escaper = os.path.join(self.directory, "escaper")
            shutil.copy(shutil.which("setpriv"), escaper)
            os.chmod(escaper, 0o4755)
            call = Call(self)
            for path in (self.directory, call.directory, call.workspace):
                os.chown(path, NOBODY, NOBODY)
            call.start(f"{escaper} --reuid 0 --regid 0 --clear-groups sh -c 'echo $$ > pid; exec sleep 1000'",
                       before=lambda: (os.setgroups([]), os.setgid(NOBODY), os.setuid(NOBODY)), grace=50)
            pid = self.pid_from(call, "pid")
            self.addCleanup(os.kill, pid, signal.SIGKILL)
            call.cancel()
            self.assertEnded(call.finish(), "cancelled", "cancelled; 1 of its processes could not be ended",
                             survivors=1)
            self.assertTrue(harness.is_alive(pid))


class TreesInCgroup(Trees):
    """The same with --cgroup: used where a group can be made, done without where not."""

    def setUp(self):
        super().setUp()
        parent = cgroup_parent()
        self.group = os.path.join(parent or self.directory, f"slipway-test-{os.getpid()}-{id(self)}")
        self.options = ("--cgroup", self.group)
        self.has_group = parent is not None

    def test_the_group_is_used_and_removed(self):
        call = self.start(f"cat /proc/self/cgroup; mkdir {self.group}/below 2>/dev/null; echo ready; exec sleep 1000",
                          options=self.options)
        call.wait_for_log(b"ready")
        self.assertEqual(os.path.exists(self.group), self.has_group)
        self.assertEqual(os.path.basename(self.group).encode() in call.log(), self.has_group)
        call.cancel()
        self.assertEnded(call.finish(), "cancelled")
        self.assertFalse(os.path.exists(self.group))


class Output(ShimCase):
    def test_masking(self):
        key = "-----BEGIN KEY-----\nMIIabcdefghijk\nlmnopqrstuvw\n-----END KEY-----"
        call, end = self.run_call(r"""
            printf '<%s>\n' "$TOKEN"; printf '%s' "$TOKEN" | cut -c1-8 | tr -d '\n'; sleep 0.2
            printf '%s\n' "$TOKEN" | cut -c9-; echo "$KEY"; echo "$KEY" | sed -n 's/^/  /p'; echo "[$TOKEN]" >&2
            printf '{"type":"output","name":"a","value":"%s"}\n' "$TOKEN" >&3
            echo "${#EMPTY}" """, secrets={"TOKEN": SECRET + "\n", "KEY": key + "\n", "EMPTY": ""})
        self.assertEnded(end, "succeeded")
        self.assertEqual(call.logged("stdout"), b"<****>\n****\n****\n" + b"  ****\n" * 4 + b"0\n")
        self.assertEqual(call.logged("stderr"), b"[****]\n")
        self.assertEqual(call.reports(), ['{"type":"output","name":"a","value":"****"}'])
        for name in os.listdir(call.directory):
            if name != "control.sock":
                with open(call.path(name), "rb") as f:
                    self.assertNotIn(SECRET.encode(), f.read())

    def test_secrets_are_in_nobody_elses_sight(self):
        call = self.start("echo ready; exec sleep 1000", secrets={"TOKEN": SECRET})
        call.wait_for_log(b"ready")
        with open(f"/proc/{call.process.pid}/cmdline", "rb") as f:
            self.assertNotIn(SECRET.encode(), f.read())
        # Not dumpable: its environment and memory belong to root whoever runs it.
        for name in ("environ", "mem"):
            self.assertEqual(os.stat(f"/proc/{call.process.pid}/{name}").st_uid, 0)
        if os.geteuid() == 0:
            with open(f"/proc/{call.process.pid}/environ", "rb") as f:
                self.assertNotIn(SECRET.encode(), f.read())
        call.cancel()
        call.finish()

    def test_secrets_that_cannot_be_used(self):
        for number, (value, why) in enumerate((("abc", "fewer than 4 bytes cannot be masked"),
                                               ("with\0nul", "a NUL byte cannot be in a variable"),
                                               ("x" * 70000, "cannot mask it: File too large"))):
            call = Call(self, os.path.join(self.directory, f"call{number}"))
            end = call.start("touch ran", secrets={"TOKEN": value}).finish()
            self.assertEnded(end, "failed", f"secret 'TOKEN': {why}", survivors=-1, exitCode=-1)
            self.assertFalse(os.path.exists(os.path.join(call.workspace, "ran")))

    def test_a_prompt_does_not_wait(self):
        call = self.start("printf 'Password: c'; exec sleep 1000", secrets={"TOKEN": SECRET})
        call.wait_for_log(b"Password: c")
        call.cancel()
        call.finish()

    def test_reports(self):
        call, end = self.run_call(r"""printf '{"a":1}\n\n{"b":"\303\251\377"}\nlast' >&3; echo log""")
        self.assertEnded(end, "succeeded")
        self.assertEqual(call.reports(), ['{"a":1}', '{"b":"é\ufffd"}', "last"])
        self.assertEqual(call.log(), b"log\n")

    def test_reports_that_are_too_long(self):
        call, end = self.run_call("head -c 262144 /dev/zero | tr '\\0' a >&3; echo >&3;"
                                  "head -c 262145 /dev/zero | tr '\\0' b >&3; echo >&3; echo after >&3")
        self.assertEnded(end, "succeeded")
        self.assertEqual(call.reports(), ["a" * 262144, "after"])
        self.assertEqual(call.logged("stderr"), b"slipway: dropped a report that is longer than 262144 bytes\n")

    def test_a_flood(self):
        """50 MB of lines in both streams: nothing lost, flat memory"""
        call = self.start("yes 0123456789012345678901234567890123456789012345678 | head -c 40000000;"
                          "yes 'another line' | head -c 10000003 >&2; touch done; sleep 0.3",
                          secrets={"A": SECRET, "B": "another-secret", "C": "98765432109876543210"})
        wait_for(lambda: os.path.exists(os.path.join(call.workspace, "done")), "the flood is over")
        with open(f"/proc/{call.process.pid}/status", encoding="utf-8") as f:
            peak = int(next(line for line in f if line.startswith("VmHWM")).split()[1])
        self.assertEnded(call.finish(), "succeeded")
        line = b"0123456789012345678901234567890123456789012345678\n"
        self.assertEqual(call.logged("stdout"), line * (40_000_000 // len(line)))
        self.assertEqual(call.logged("stderr"), b"another line\n" * (10_000_003 // 13))
        if not is_sanitized():
            self.assertLess(peak, 4096, "KiB")

    def test_one_line_without_an_end(self):
        call, end = self.run_call("head -c 20000000 /dev/zero | tr '\\0' x", secrets={"A": SECRET})
        self.assertEnded(end, "succeeded", logBytes=20_000_000)
        self.assertEqual(call.log(), b"x" * 20_000_000)

    def test_no_character_is_cut(self):
        call, end = self.run_call([sys.executable, "-I", "-S", "-c", "import os, time\n"
                                   "data = ('é€😀' * 60000).encode()\n"
                                   "for i in range(0, len(data), 4099): os.write(1, data[i:i + 4099])"])
        self.assertEnded(end, "succeeded")
        log = call.log()
        self.assertEqual(log, ("é€😀" * 60000).encode())
        for r in call.records():
            if r["type"] == "log":
                log[r["offset"]:r["offset"] + r["length"]].decode()  # raises where one is cut

    def test_a_limit_of_open_files(self):
        call, end = self.run_call("ulimit -Sn", options=("--files-max", "123"))
        self.assertEnded(end, "succeeded", "")
        self.assertEqual(call.logged("stdout"), b"123\n")

    def test_a_terminal(self):
        call, end = self.run_call("test -t 1 && test -t 2 && stty size </dev/tty; echo err >&2; echo out;"
                                  "echo report >&3; test $(ps -o sid= -p $$) = $$ && echo leads", options=("--terminal",))
        self.assertEnded(end, "succeeded", "")
        self.assertEqual(call.logged("stdout"), b"40 132\nerr\nout\nleads\n")
        self.assertEqual((call.logged("stderr"), call.reports()), (b"", ["report"]))

    def test_a_terminal_that_is_let_go_is_not_the_end(self):
        call, end = self.run_call("exec >/dev/null 2>&1; sleep 0.1; echo still here >&3", options=("--terminal",))
        self.assertEnded(end, "succeeded", "", logBytes=0)
        self.assertEqual(call.reports(), ["still here"])


def is_sanitized():
    with open(harness.program("slipway-shim"), "rb") as f:
        return b"__asan_init" in f.read()


class Storage(ShimCase):
    def check_full(self, call):
        end = call.finish()
        self.assertEqual(end["status"], "failed")
        self.assertIn(end["reason"], [f"cannot write '{name}': {why}" for name in ("output.log", "journal.ndjson")
                                      for why in ("No space left on device", "File too large")])
        self.assertEqual(end["survivors"], 0)
        self.assertGreater(end["logBytes"], 100_000)

    def test_a_limit_on_the_size_of_files(self):
        limit = 1 << 20
        call = self.start("yes | head -c 30000000; exec sleep 1000", grace=1000,
                          before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.check_full(call)

    def test_a_full_disk(self):
        """a full disk: the status says so, the step does not hang"""
        disk = os.path.join(self.directory, "disk")
        os.mkdir(disk)
        if not mount_tmpfs(disk, "1m"):
            # Without the right to mount, a limit on the size of files gives the same failures.
            limit = 1 << 20
            return self.check_full(self.start(
                "yes; exec sleep 1000", grace=1000,
                before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))))
        self.addCleanup(unmount, disk)
        call = Call(self, os.path.join(disk, "call"))
        call.start("trap '' TERM; yes | head -c 30000000; exec sleep 1000", grace=200)
        self.check_full(call)


def mount_tmpfs(path, size):
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, f"size={size}".encode()) == 0


def unmount(path):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(path.encode(), 2)


class Agents(ShimCase):
    def lines(self, s):
        """All that the shim says up to the hang-up."""
        text = b""
        while True:
            got = s.recv(4096)
            if not got:
                return text.decode().splitlines()
            text += got

    def test_numbers_come_and_the_last_one_surely(self):
        call = Call(self)
        os.mkfifo(os.path.join(call.workspace, "go"))
        call.start("echo 1; read x < go; for i in 2 3 4 5; do echo $i; sleep 0.01; done")
        s = call.connect()
        self.addCleanup(s.close)
        call.wait_for_log(b"1\n")
        with open(os.path.join(call.workspace, "go"), "w", encoding="ascii") as f:
            f.write("\n")
        numbers = [int(line.split()[1]) for line in self.lines(s)]
        end = call.finish()
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(numbers[-1], end["seq"])

    def test_agents_come_and_go(self):
        call = self.start("echo ready; while [ ! -e stop ]; do sleep 0.01; done; echo end")
        call.wait_for_log(b"ready")
        for _ in range(20):
            s = call.connect()
            self.assertTrue(s.recv(100).startswith(b"seq "))
            s.close()
        s = call.connect()
        self.addCleanup(s.close)
        s.sendall(b"unknown\nx" + b"y" * 100)
        self.assertRaises(ConnectionResetError, self.lines, s)  # hung up on, and no more
        with open(os.path.join(call.workspace, "stop"), "w", encoding="ascii"):
            pass
        self.assertEnded(call.finish(), "succeeded", "")

    def test_a_fifth_agent_waits_for_a_place(self):
        call = self.start("echo ready; exec sleep 1000")
        call.wait_for_log(b"ready")
        agents = [call.connect() for _ in range(4)]
        for s in agents:
            s.recv(100)
        fifth = call.connect()
        for s in [*agents, fifth]:
            self.addCleanup(s.close)
        self.assertEqual(select.select([fifth], [], [], 0.05)[0], [])
        agents[0].close()
        self.assertTrue(fifth.recv(100).startswith(b"seq "))
        fifth.sendall(b"can")
        fifth.sendall(b"cel\n")
        self.assertEnded(call.finish(), "cancelled")

    def test_who_does_not_read_holds_nothing_up(self):
        call = Call(self)
        call.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        call.start("i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; sleep 0.2")
        s = call.connect()
        self.assertEnded(call.finish(), "succeeded", "")
        self.assertEqual(call.log().count(b"\n"), 3000)
        s.close()


if __name__ == "__main__":
    harness.main()
