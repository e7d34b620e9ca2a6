# SPDX-License-Identifier: MIT
"""The audit log, record by record, to a collector: in order, at least once, and no deploy waits for it."""
import json
import os
import shutil
import subprocess
import tempfile

import harness
from audit_writer import AuditLog, moment
from collector import Collector, make_authority, make_certificate
from datetime import datetime, timedelta, timezone
from harness import wait_for

NOW = datetime.now(timezone.utc)


class Forward(harness.Case):
    keys = None

    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.mkdtemp(prefix="slipway-test-")
        make_authority(cls.keys, "authority")
        make_authority(cls.keys, "stranger")
        make_certificate(cls.keys, "authority", "collector", "subjectAltName=IP:127.0.0.1\n")
        make_certificate(cls.keys, "authority", "host", "extendedKeyUsage=clientAuth\n")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.keys)

    def setUp(self):
        super().setUp()
        self.token = self.key("token")
        with open(self.token, "w", encoding="ascii") as f:
            f.write("s3cret-token\n")
        self.log = AuditLog()

    def key(self, name):
        return os.path.join(self.keys, name)

    def collector(self, **others):
        collector = Collector(self.keys, **others)
        self.addCleanup(collector.stop)
        return collector

    def target(self, port, **others):
        return {"url": f"https://127.0.0.1:{port}/audit?from=slipway", "tokenFile": self.token,
                "ca": self.key("authority.pem"), **others}

    def host(self, target):
        return self.agent({"name": "prod-1", "audit": {"forward": target}})

    def append(self, host, n=1, when=NOW):
        """As a runner would: the record, then the head."""
        directory = os.path.join(host.state, "audit")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "log"), "ab") as f:
            for _ in range(n):
                self.log.append(when, "finished", action="build", outcome="succeeded", seconds=1.0)
                f.write(self.log.lines[-1] + b"\n")
        with open(os.path.join(directory, "log.head.x"), "w", encoding="utf-8") as f:
            json.dump(self.log.head(), f)
        os.rename(f.name, os.path.join(directory, "log.head"))

    def health(self, host):
        return host.connect().request("health")

    def wait_until_all_is_there(self, collector, host):
        collector.wait_for(lambda: self.log.lines and self.log.lines[-1] in collector.lines, harness.PATIENCE_SECONDS)
        return wait_for(lambda: (h := self.health(host)["audit"])["forward"]["waiting"] == 0 and h, "all is forwarded")

    def test_order_token_and_batches(self):
        """all records in order, those of before the start and those that come later, each as it is in the log"""
        collector = self.collector()
        collector.plan = [204, 500]  # what was taken before is not sent again
        host = self.host(self.target(collector.port))
        self.append(host, 3000)  # more than one request takes
        audit = self.wait_until_all_is_there(collector, host)
        self.assertEqual((audit["records"], audit["forward"]["url"]), (3000, self.target(collector.port)["url"]))
        self.assertNotIn("problem", audit["forward"])
        self.append(host)
        self.append(host)
        self.wait_until_all_is_there(collector, host)
        self.assertEqual(collector.lines, self.log.lines)
        self.assertGreater(len(collector.requests), 2)
        for path, headers, body, _ in collector.requests:
            self.assertEqual((path, headers["Authorization"], headers["Content-Type"], headers["Slipway-Agent"]),
                             ("/audit?from=slipway", "Bearer s3cret-token", "application/x-ndjson", "prod-1"))
            self.assertTrue(body.endswith(b"\n"))
        self.assertIn("3002 records, all forwarded", self.slipway(host, "health", check=0).stdout)
        # And one that a runner writes.
        call = host.connect().call("build")["call"]
        collector.wait_for(lambda: len(collector.lines) == 3003, harness.PATIENCE_SECONDS)
        self.assertEqual(json.loads(collector.lines[-1])["call"], call)

    def test_again_after_an_error_and_after_a_cut(self):
        """refused and cut off: the same records come again, at least once and in order, and health says how it stands"""
        collector = self.collector()
        collector.plan = [500, "cut"]
        host = self.host(self.target(collector.port))
        self.append(host, 3)
        collector.wait_for(lambda: collector.requests, harness.PATIENCE_SECONDS)
        forward = wait_for(lambda: "problem" in (f := self.health(host)["audit"]["forward"]) and f, "it is said")
        self.assertEqual((forward["waiting"], forward["waitingSince"]), (3, moment(NOW)))
        self.assertIn("/audit answered 500: out of order", forward["problem"])
        self.assertNotIn("from=slipway", forward["problem"])
        self.assertEqual(self.health(host)["status"], "ok", "a collector that is down is not the agent's fault")
        self.wait_until_all_is_there(collector, host)
        self.assertEqual(collector.seqs(), [1, 2, 3, 1, 2, 3], "cut off after it was taken")
        self.assertEqual(len({r[2] for r in collector.requests}), 1)

    def test_a_restart_goes_on(self):
        """killed or stopped, the agent goes on where it was, and leaves no process behind"""
        collector = self.collector()
        host = self.host(self.target(collector.port))
        self.append(host, 2)
        self.wait_until_all_is_there(collector, host)
        host.kill()
        self.append(host, 2)
        host.start()
        self.wait_until_all_is_there(collector, host)
        self.assertEqual(collector.seqs(), [1, 2, 3, 4])
        self.assertEqual(host.stop(), 0)
        self.append(host)
        host.start()
        self.wait_until_all_is_there(collector, host)
        self.assertEqual(collector.seqs(), [1, 2, 3, 4, 5])

    def forwarders(self, host):
        """Processes that forward this host's log."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if b"slipway-audit-forward" in words[0] and host.state.encode() in words[1] and harness.is_alive(int(pid)):
                found.append(pid)
        return found

    def test_nothing_is_left_behind(self):
        """an agent that is killed or stopped while a collector keeps it waiting takes the program along"""
        for end in ("kill", "stop"):
            collector = self.collector()
            collector.plan = ["hang"]
            host = self.host(self.target(collector.port))
            self.log = AuditLog()
            self.append(host)
            collector.wait_for(lambda collector=collector: collector.requests, harness.PATIENCE_SECONDS)
            self.assertEqual(len(self.forwarders(host)), 1)
            getattr(host, end)()
            wait_for(lambda host=host: not self.forwarders(host), f"it is gone after {end}")

    def test_the_other_end_is_checked(self):
        """a certificate of a stranger's authority is refused, and it is said which address and why"""
        collector = self.collector()
        host = self.host(self.target(collector.port, ca=self.key("stranger.pem")))
        self.append(host)
        forward = wait_for(lambda: "problem" in (f := self.health(host)["audit"]["forward"]) and f, "it is said")
        self.assertIn("certificate", forward["problem"])
        self.assertEqual((collector.requests, forward["waiting"]), ([], 1))
        said = self.slipway(host, "health", check=0).stdout
        self.assertRegex(said, r"audit +1 records, 1 not forwarded yet since .*certificate")
        self.assertIn("the audit log is not forwarded: ", host.log())

    def test_a_certificate_of_its_own(self):
        collector = self.collector(is_client_asked=True)
        without = self.host(self.target(collector.port))
        self.append(without)
        wait_for(lambda: "problem" in self.health(without)["audit"]["forward"], "it is said")
        self.assertEqual(collector.requests, [])
        self.log = AuditLog()
        host = self.host(self.target(collector.port, certificate=self.key("host.pem")))
        self.append(host)
        self.wait_until_all_is_there(collector, host)

    def test_a_collector_that_is_away_for_long_is_a_problem(self):
        host = self.host(self.target(harness.free_port()))
        self.append(host, when=NOW - timedelta(hours=2))
        health = wait_for(lambda: (h := self.health(host))["status"] == "degraded" and h, "the agent says so")
        self.assertRegex(health["problems"][0], r"1 record of the audit log could not be forwarded since .*: ")
        self.assertEqual(host.connect().call("build")["status"], "failed", "calls run all the same")

    def test_what_is_configured_wrongly(self):
        """plain http elsewhere, a user in the address, a key without a certificate: told at once; a token at its time"""
        for target, words in (({"url": "http://collector.example/x"}, "must be https"),
                              ({"url": "https://user:password@collector.example/x"}, "/audit/forward/url"),
                              ({"url": "https://collector.example/x", "key": "/k"}, 'needs "certificate"')):
            path = os.path.join(self.directory, "agent.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump({"state": self.directory, "audit": {"forward": target}}, f)
            result = subprocess.run([harness.program("slipway-agent"), "--config", path, "--check-config"], text=True,
                                    capture_output=True, timeout=harness.PATIENCE_SECONDS, check=False)
            self.assertEqual(result.returncode, 78)
            self.assertIn(words, result.stderr)
        host = self.host(self.target(harness.free_port(), tokenFile="/no/such/token"))
        self.append(host)
        forward = wait_for(lambda: "problem" in (f := self.health(host)["audit"]["forward"]) and f, "it is said")
        self.assertIn("the token in '/no/such/token'", forward["problem"])

    def test_a_log_that_was_tampered_with_is_not_sent_on(self):
        collector = self.collector()
        host = self.host(self.target(collector.port))
        self.append(host, 2)
        self.wait_until_all_is_there(collector, host)
        path = os.path.join(host.state, "audit/log")
        with open(path, "rb") as f:
            data = f.read()
        with open(path, "wb") as f:
            f.write(data.replace(b'"seconds":1.0', b'"seconds":2.0'))
        self.append(host)
        forward = wait_for(lambda: "problem" in (f := self.health(host)["audit"]["forward"]) and f, "it is said")
        self.assertIn("record 2, which was sent, is not in the log any more as it was", forward["problem"])
        self.assertEqual(collector.seqs(), [1, 2])


if __name__ == "__main__":
    harness.main()
