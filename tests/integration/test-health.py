# SPDX-License-Identifier: MIT
"""slipway-health: what it serves of a real agent, to a real Prometheus, and to a browser."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone

import harness
import page
from audit_writer import AuditLog
from harness import program, wait_for

HOSTILE = 'x"><script>alert(1)</script>\\'
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")


def write_log(state):
    """What the host did before the test: two services in prod, one of them failed last; staging refused."""
    log, now = AuditLog(), datetime.now(timezone.utc)
    for i, (service, who) in enumerate((("shop", "Ann"), ("mail", "Bob"), ("shop", "Ann"))):
        log.release(now - timedelta(hours=40 - 12 * i), "prod", f"{service}-{i}", who=who, name=service,
                    version=f"1.{i}.0", subject=f"Make {service} better {HOSTILE if i == 2 else ''}")
    log.release(now - timedelta(hours=2), "prod", "mail-9", "failed", who="Bob", name="mail", version="1.9.0",
                isRestored=True, reason="1 of 2 instances is healthy after 120 s")
    log.release(now - timedelta(hours=1), "staging", "shop-9", "refused", name="shop", reason="it is frozen")
    directory = os.path.join(state, "audit")
    os.makedirs(directory, mode=0o700)
    with open(os.path.join(directory, "log"), "wb") as f:
        f.write(log.bytes())
    with open(os.path.join(directory, "log.head"), "w", encoding="ascii") as f:
        json.dump(log.head(), f)
    return log


class HealthCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.engine = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.engine.close)
        self.engine.bind(os.path.join(self.directory, "engine.sock"))
        self.engine.listen(64)
        where = {"engine": "local", "address": f"unix:{self.directory}/engine.sock"}
        self.slow = '[ -e "$FLAG" ] || { echo \'{"type":"progress","phase":"compiling","message":"%s","done":3,' \
                    '"total":12,"unit":"files"}\' >&3; while [ ! -e "$FLAG" ]; do sleep 0.05; done; }'
        self.flag = os.path.join(self.directory, "flag")
        self.host = self.agent({"name": "deploy-1", "slots": 1, "environments": {
            "staging": where, "prod": {**where, "requires": {}}}, "actions": {
                "say": {"command": ["/bin/echo", "hello"]},
                "fail": {"command": ["/bin/sh", "-c",
                                     "echo '{\"type\":\"reason\",\"text\":\"<b>2 of 40</b> tests failed\"}' >&3; exit 1"]},
                "slow": {"command": ["/bin/sh", "-c", self.slow % "<i>main.c</i>"], "env": {"FLAG": self.flag}}}},
            prepare=write_log)

    def agent(self, config=None, prepare=None, **others):
        """As the harness has it, with something in its state before it starts."""
        directory = os.path.join(self.directory, "agent")
        agent = harness.Agent(directory, config, **others)
        self.addCleanup(self.end_agent, agent)
        if prepare:
            os.makedirs(agent.state, mode=0o700)
            prepare(agent.state)
        return agent.start()

    def serve(self, *arguments, agent=None):
        """Starts slipway-health on a free port. Returns its process; `self.port` is where."""
        process = subprocess.Popen(
            [program("slipway-health"), "--listen", "127.0.0.1:0", "--agent", agent or f"unix:{self.host.socket}",
             *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.stop, process)
        line = process.stderr.readline()
        found = re.match(r"slipway-health: http://127\.0\.0\.1:(\d+) tells of the agent at ", line)
        self.assertTrue(found, line)
        self.port = int(found[1])
        return process

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            self.assertEqual(process.wait(harness.PATIENCE_SECONDS), 0)
        process.stderr.close()

    def ask(self, path, method="GET", headers=None):
        """(status, text, headers) of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.PATIENCE_SECONDS)
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers

    def metrics(self):
        """Each sample of /metrics by its name and labels."""
        status, text, _ = self.ask("/metrics")
        self.assertEqual(status, 200)
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in text.splitlines() if not line.startswith("#")}

    def wait_for_metric(self, name, value=None):
        def is_there():
            found = self.metrics()
            return found if name in found and value in (None, found[name]) else None
        return wait_for(is_there, f"{name} is {value}")


class Served(HealthCase):
    def test_what_prometheus_reads(self):
        """/metrics has the calls, the queue, the disk, the engines and what the audit log comes to; promtool takes it"""
        self.serve()
        connection = self.host.connect()
        self.addCleanup(connection.close)
        for action in ("say", "say", "fail"):
            connection.call(action)
        connection.request("calls/start", {"action": "slow", "idempotencyKey": "s"})
        waiting = connection.request("calls/start", {"action": "say", "idempotencyKey": "w"})["call"]
        self.wait_for_metric("slipway_host_key_present", 1)
        found = self.wait_for_metric('slipway_deploys_total{environment="prod",outcome="failed"}')
        for name, value in {
                "slipway_up": 1, "slipway_ready": 1, "slipway_slots": 1, "slipway_slots_busy": 1, "slipway_calls_running": 1,
                "slipway_queue_length": 1, "slipway_queue_limit": 10000, "slipway_problems": 0,
                'slipway_calls_finished_total{action="say",status="succeeded"}': 2,
                'slipway_calls_finished_total{action="fail",status="failed"}': 1,
                'slipway_engine_reachable{environment="prod",engine="local"}': 1, "slipway_host_key_present": 1,
                "slipway_audit_intact": 1, 'slipway_deploys_total{environment="prod",outcome="succeeded"}': 3,
                'slipway_deploys_total{environment="prod",outcome="failed"}': 1,
                'slipway_deploys_total{environment="staging",outcome="refused"}': 1}.items():
            self.assertEqual(found.get(name), value, name)
        for name in ("slipway_queue_oldest_seconds", "slipway_disk_free_bytes", "slipway_resident_memory_bytes",
                     "slipway_scrape_duration_seconds", "slipway_start_time_seconds"):
            self.assertGreater(found[name], 0, name)
        self.assertLess(abs(found["slipway_clock_offset_seconds"]), 5)
        last = found['slipway_last_deploy_timestamp_seconds{environment="prod",service="shop"}']
        self.assertAlmostEqual(last, time.time() - 16 * 3600, delta=300)
        text = self.ask("/metrics")
        self.assertEqual(text[2]["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertNotIn("hello", text[1])
        with open(os.path.join(harness.ROOT, "plugin/health/README.md"), encoding="utf-8") as f:
            documented = set(re.findall(r"`(slipway_[a-z_]+)`", f.read()))
        self.assertEqual({name.partition("{")[0] for name in found} - documented, set())
        if PROMTOOL:
            checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text[1], text=True, capture_output=True)
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))
        with open(self.flag, "w", encoding="ascii"):
            pass
        connection.request("calls/result", {"call": waiting, "wait": True})
        self.wait_for_metric("slipway_calls_running", 0)

    @unittest.skipUnless(PROMETHEUS, "there is no prometheus")
    def test_a_real_prometheus(self):
        """the Prometheus of Debian scrapes it"""
        self.serve()
        port, data = harness.free_port(), os.path.join(self.directory, "prometheus")
        config = os.path.join(self.directory, "prometheus.yml")
        with open(config, "w", encoding="ascii") as f:
            f.write("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: slipway\n"
                    f"  static_configs: [{{targets: ['127.0.0.1:{self.port}']}}]\n")
        with open(os.path.join(self.directory, "prometheus.log"), "wb") as log:
            process = subprocess.Popen(
                [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={data}",
                 f"--web.listen-address=127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.send_signal, signal.SIGKILL)

        def query(what):
            url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": what})
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    found = json.load(answer)["data"]["result"]
            except OSError:
                return None
            return found[0]["value"][1] if found else None

        wait_for(lambda: query('up{job="slipway"}') == "1", "Prometheus has scraped it")
        wait_for(lambda: query('sum(slipway_deploys_total{environment="prod"})') == "4", "it has the deploys")
        self.assertEqual(query("slipway_up"), "1")

    def test_ready_and_not(self):
        """/readyz turns with its reasons while /healthz stays; one that has no agent says so"""
        process = self.serve()
        self.assertEqual(self.ask("/readyz")[:2], (200, "ready\n"))
        os.unlink(os.path.join(self.host.libexec, "slipway-shim"))
        wait_for(lambda: self.ask("/readyz")[0] == 503, "it is not ready")
        self.assertEqual(self.ask("/readyz")[1],
                         f"no call can run: '{self.host.libexec}/slipway-shim': No such file or directory\n")
        self.assertEqual(self.wait_for_metric("slipway_ready", 0)["slipway_up"], 1)
        self.assertEqual(self.ask("/version")[1], json.dumps(
            {"name": "slipway-health", "version": "0.1.0",
             "agent": {"isUp": True, "name": "deploy-1", "version": "0.1.0"}}, separators=(",", ":")) + "\n")
        self.host.kill()
        wait_for(lambda: self.ask("/readyz")[1].startswith("no agent: "), "it is away")
        self.assertEqual(self.ask("/healthz")[:2], (200, "ok\n"))
        found = self.metrics()
        self.assertEqual((found["slipway_up"], found["slipway_ready"]), (0, 0))
        self.assertNotIn("slipway_calls_running", found)
        self.assertIn(">away<", self.ask("/")[1])
        self.host.start()
        wait_for(lambda: self.metrics()["slipway_up"] == 1, "the next agent is found")
        self.assertIsNone(process.poll())

    def test_an_agent_that_hangs(self):
        """an agent that does not answer holds up nobody who does not ask for it"""
        self.serve("--timeout", "2")
        self.assertEqual(self.ask("/readyz")[0], 200)
        self.host.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.host.process.send_signal, signal.SIGCONT)
        time.sleep(1.1)  # what is known is no older than a second
        waiting = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.PATIENCE_SECONDS)
        self.addCleanup(waiting.close)
        waiting.request("GET", "/readyz")
        began = time.monotonic()
        self.assertEqual(self.ask("/healthz")[:2], (200, "ok\n"))
        self.assertLess(time.monotonic() - began, 2)
        answer = waiting.getresponse()
        self.assertEqual((answer.status, answer.read()), (503, b"no agent: it does not answer\n"))

    def test_what_is_refused(self):
        """only GET and HEAD of what there is; heads are small; options are checked"""
        self.serve()
        status, text, headers = self.ask("/healthz", "HEAD")
        self.assertEqual((status, text, headers["Content-Length"], headers["X-Content-Type-Options"]), (200, "", "3", "nosniff"))
        status, text, headers = self.ask("/", "POST")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.ask("/etc/passwd")[0], 404)
        self.assertEqual(self.ask("/healthz?x=1")[0], 200)
        self.assertIn(self.ask("/healthz", headers={"X": "x" * 20000})[0], (400, 413, 431))
        many = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(80)]
        for connection in many:
            connection.close()
        wait_for(lambda: self.is_served(), "it serves on")
        for arguments, said in ((["--listen", "localhost:1"], "no ADDRESS:PORT"), (["--listen"], "needs a value"),
                                (["--agent", "stdio:"], "no agent that runs"), (["--timeout", "soon"], "a number of seconds"), (["--lisen=1"], "no option '--lisen'")):
            result = subprocess.run([program("slipway-health"), *arguments], text=True, capture_output=True)
            self.assertEqual(result.returncode, 64, arguments)
            self.assertIn(said, result.stderr)
        taken = subprocess.run([program("slipway-health"), "--listen", str(self.port)], text=True, capture_output=True)
        self.assertEqual(taken.returncode, 69)
        self.assertIn("Address already in use", taken.stderr)

    def is_served(self):
        try:
            return self.ask("/healthz")[0] == 200
        except OSError:
            return False

    def test_an_audit_log_that_was_edited(self):
        """a log that is no chain any more is told, and what it says is not"""
        path = os.path.join(self.host.state, "audit", "log")
        with open(path, "rb") as f:
            text = f.read()
        with open(path, "wb") as f:
            f.write(text.replace(b"Ann", b"Eve"))
        self.serve()
        found = self.wait_for_metric("slipway_audit_intact", 0)
        self.assertFalse([name for name in found if name.startswith("slipway_deploys_total")])


class Page(HealthCase):
    def test_the_page(self):
        """the status page shows what runs, what waits, what ended and what is deployed; text stays text"""
        self.serve()
        connection = self.host.connect()
        self.addCleanup(connection.close)
        for action in ("say", "fail"):
            connection.call(action, run="shop-41", origin={"user": "ann"})
        slow = connection.request("calls/start", {"action": "slow", "idempotencyKey": "s", "run": "shop-42",
                                                  "origin": {"user": f"eve {HOSTILE}"}})["call"]
        connection.request("calls/start", {"action": "say", "idempotencyKey": "w", "run": "mail-7"})
        wait_for(lambda: [c for c in connection.request("calls/list")["calls"] if c["call"] == slow and "progress" in c],
                 "it makes progress")
        self.wait_for_metric('slipway_deploys_total{environment="prod",outcome="failed"}')
        status, text, headers = self.ask("/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        path = os.path.join(self.directory, "page.html")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        _, looked = page.read_page(path)
        self.assertEqual((looked.problems, looked.open), ([], []))
        self.assertNotIn("<script", text)
        for said in ("deploy-1", ">ready<", "compiling: &lt;i&gt;main.c&lt;/i&gt;", '<progress max="12" value="3">',
                     "eve x&quot;&gt;&lt;script&gt;alert(1)", "for a free slot", "&lt;b&gt;2 of 40&lt;/b&gt; tests failed",
                     "Make shop better x&quot;&gt;", "1.2.0", "The last deploy failed: 1 of 2 instances", ">answers<",
                     "one unbroken chain"):
            self.assertIn(said, text)
        if page.CHROMIUM:
            images = os.environ.get("SLIPWAY_TEST_IMAGES", self.directory)
            for width in (1180, 400):
                size, n = page.screenshot(path, os.path.join(images, f"health-{width}.png"), f"{width},1500")
                self.assertEqual(size, (width, 1500))
                self.assertGreater(n, 20000, "it is not empty")


if __name__ == "__main__":
    harness.main()
