# SPDX-License-Identifier: MIT
"""slipway report and slipway audit: a realistic log, its figures computed a second time, and the page looked at."""
import base64
import json
import os
import random
import shutil
import statistics
import subprocess
from datetime import datetime, timedelta, timezone

import harness
from audit_writer import AuditLog, commit_of, digest_of
from harness import program
from page import CHROMIUM, read_page, screenshot

SERVICES = ("shop", "payments", "search")
PEOPLE = ("Ada Lovelace", "Grace Hopper", "Edsger Dijkstra", "Barbara Liskov")
SINCE, UNTIL = datetime(2026, 9, 28, tzinfo=timezone.utc), datetime(2026, 11, 7, tzinfo=timezone.utc)


def next_working_hour(t, chance):
    t += timedelta(minutes=chance.choice((40, 90, 150, 260, 400)), microseconds=chance.randrange(10**6))
    if t.hour >= 17 or t.weekday() >= 5:
        t = (t + timedelta(days=1)).replace(hour=8)
    while t.weekday() >= 5:
        t += timedelta(days=1)
    return t


class Team:
    """A team that releases, has accidents, and repairs them: sixty deploys of three services."""

    def __init__(self, log, builds, chance):
        self.log, self.builds, self.chance = log, builds, chance
        self.running = {}  # service → digest

    def seconds(self, typical):
        return round(self.chance.lognormvariate(0, 0.4) * typical, 3)

    def build(self, t, key, release):
        for action, typical in (("build", 35), ("test", 80), ("package", 5)):
            self.builds.finished(t, action, call=f"{action}-{key}", seconds=self.seconds(typical), run=key,
                                 commit=commit_of(key), name=release["name"], repository=release["repository"])

    def verify(self, t, key, outcome="succeeded"):
        self.log.finished(t, "verify-prod", outcome, call=f"verify-{key}", environment="prod", digest=digest_of(key),
                          seconds=self.seconds(3), reason="GET /health: 503" if outcome == "failed" else None)

    def rollback(self, t, service, key):
        self.log.finished(t, "rollback-prod", call=f"back-{key}", environment="prod", digest=self.running[service],
                          previousDigest=digest_of(key), seconds=self.seconds(9),
                          origin={"user": self.chance.choice(PEOPLE)})

    def deploy(self, t, number):
        service, luck = self.chance.choices(SERVICES, (5, 3, 2))[0], self.chance.random()
        key, who = f"{service}-{number}", self.chance.choice(PEOPLE)
        release = {"name": service, "version": f"1.{number}.0", "repository": f"https://git.example/{service}.git",
                   "subject": f"Change number {number}",
                   "committedAt": t - timedelta(seconds=self.chance.lognormvariate(8, 1.3))}
        self.build(t - timedelta(minutes=9), key, release)
        if luck < 0.06:
            self.log.release(t - timedelta(minutes=1), "prod", key, "refused", who, 0.05,
                             reason="production is frozen until Monday", **release)
        if 0.06 <= luck < 0.12:
            self.log.release(t, "prod", key, "failed", who, 121.5, isRestored=luck < 0.09 or None,
                             reason="1 of 2 instances is healthy after 120 s", **release)
            return
        self.log.release(t, "prod", key, "succeeded", who, self.seconds(25),
                         previousDigest=self.running.get(service), **release)
        if luck > 0.9 and service in self.running:
            if luck < 0.96:
                self.verify(t + timedelta(minutes=2), key, "failed")
            self.rollback(t + timedelta(minutes=self.chance.randrange(5, 35)), service, key)
            return
        self.verify(t + timedelta(minutes=2), key, "failed" if luck > 0.88 else "succeeded")
        self.running[service] = digest_of(key)
        if luck < 0.2:  # the same once more: it runs already
            self.log.release(t + timedelta(minutes=4), "prod", key, "succeeded", who, 0.2, isUnchanged=True, **release)


def make_logs(seed=11, deploys=60):
    """The logs of the production host and of the build host."""
    log, builds, t = AuditLog(), AuditLog(), SINCE + timedelta(hours=8)
    team = Team(log, builds, random.Random(seed))
    for number in range(deploys):
        team.deploy(t, number)
        t = next_working_hour(t, team.chance)
    assert t < UNTIL
    return log, builds


# ---- the figures, a second time --------------------------------------------------------------------------------------

def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def spread(values):
    """As the report has it. statistics.quantiles wants two values."""
    values = sorted(values)
    if not values:
        return {"count": 0, "medianSeconds": None, "p90Seconds": None, "maxSeconds": None}
    p90 = statistics.quantiles(values, n=10, method="inclusive")[8] if len(values) > 1 else values[0]
    return {"count": len(values), "medianSeconds": statistics.median(values), "p90Seconds": p90,
            "maxSeconds": values[-1]}


def figures_of(ends):
    """Of one service's ends in production, by the words of `slipway report --help`."""
    deploys = [e for e in ends if e["action"] == "deploy-prod" and e["outcome"] != "refused" and not e.get("isUnchanged")]
    good = [e for e in deploys if e["outcome"] == "succeeded"]
    bad = [e for e in deploys if e["outcome"] == "failed"]
    rollbacks = [e for e in ends if e["action"] == "rollback-prod"]
    taken_back = {e["previousDigest"] for e in rollbacks}
    failed_checks = {e["digest"] for e in ends if e["action"] == "verify-prod" and e["outcome"] == "failed"}
    back = [e for e in good if e["digest"] in taken_back]
    checked = [e for e in good if e["digest"] in failed_checks and e["digest"] not in taken_back]
    restores, since = [], None
    for e in ends:
        if e["outcome"] == "failed" and not e.get("isRestored"):
            since = since or at(e["time"])
        elif e["outcome"] == "succeeded":
            if e["action"] == "rollback-prod" and since is None:
                since = next(at(d["time"]) for d in deploys if d["digest"] == e["previousDigest"])
            if since:
                restores.append((at(e["time"]) - since).total_seconds())
            since = None
    return {
        "deploys": len(good), "failedDeploys": len(bad), "takenBack": len(back), "failedChecks": len(checked),
        "unchangedDeploys": sum(1 for e in ends if e.get("isUnchanged")),
        "rollbacks": len(rollbacks), "refusals": sum(1 for e in ends if e["outcome"] == "refused"),
        "openOutages": int(since is not None),
        "leads": [(at(e["time"]) - at(e["committedAt"])).total_seconds() for e in good], "restores": restores,
    }


def service_of_digest(records):
    return {r["digest"]: r["name"] for r in records if "name" in r and "digest" in r}


def expected_figures(log):
    names = service_of_digest(log.records)
    by_service = {}
    for r in log.records:
        if r["event"] == "finished":
            service = names.get(r["digest"]) or names[r["previousDigest"]]
            by_service.setdefault(service, []).append(r)
    return {service: figures_of(ends) for service, ends in by_service.items()}


class ReportCase(harness.Case):
    def cli(self, *arguments, check=0, environment=None):
        result = subprocess.run([program("slipway"), *arguments], text=True, capture_output=True,
                                timeout=harness.PATIENCE_SECONDS, env={**os.environ, **(environment or {})})
        self.assertEqual(result.returncode, check, result.stdout + result.stderr)
        return result

    def write(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def report(self, *arguments):
        return json.loads(self.cli("report", "--json", "--since", "2026-09-28", "--until", "2026-11-06",
                                   *arguments).stdout)

    def assert_spread(self, got, values):
        wanted = spread(values)
        for name, value in wanted.items():
            if isinstance(value, float):
                self.assertAlmostEqual(got[name], value, delta=0.0006, msg=name)
            else:
                self.assertEqual(got[name], value, name)


class Figures(ReportCase):
    def test_sixty_deploys_have_the_figures_that_python_computes(self):
        log, builds = make_logs()
        expected = expected_figures(log)
        report = self.report("--log", self.write("prod.log", log.bytes()), "--log",
                             self.write("builder.log", builds.bytes()))
        counts = ("deploys", "failedDeploys", "takenBack", "failedChecks", "unchangedDeploys", "rollbacks",
                  "refusals", "openOutages")
        total = {name: sum(f[name] for f in expected.values()) for name in counts}
        self.assertEqual(total["deploys"] + total["failedDeploys"], 60)
        for name in counts[:7]:
            self.assertGreater(total[name], 0, f"a log without {name} tests nothing")
        self.assertEqual({name: report[name] for name in counts}, total)
        failures = total["failedDeploys"] + total["takenBack"] + total["failedChecks"]
        self.assertEqual(report["changeFailures"], failures)
        self.assertAlmostEqual(report["changeFailRate"], failures / 60, places=9)
        self.assertEqual((report["days"], report["workingDays"]), (40, 30))
        self.assertAlmostEqual(report["deploysPerDay"], total["deploys"] / 40, delta=0.0006)
        self.assertAlmostEqual(report["deploysPerWorkingDay"], total["deploys"] / 30, delta=0.0006)
        self.assert_spread(report["leadTime"], [x for f in expected.values() for x in f["leads"]])
        self.assert_spread(report["timeToRestore"], [x for f in expected.values() for x in f["restores"]])

    def test_each_service_and_each_action_has_its_own(self):
        log, builds = make_logs(seed=12)
        expected = expected_figures(log)
        report = self.report("--log", self.write("prod.log", log.bytes()), "--log",
                             self.write("builder.log", builds.bytes()))
        self.assertEqual([s["service"] for s in report["services"]], sorted(expected))
        for service in report["services"]:
            figures = expected[service["service"]]
            for name in ("deploys", "failedDeploys", "takenBack", "failedChecks", "rollbacks", "refusals"):
                self.assertEqual(service[name], figures[name], (service["service"], name))
            self.assert_spread(service["leadTime"], figures["leads"])
            self.assert_spread(service["timeToRestore"], figures["restores"])
        for action in report["actions"]:
            ends = [r for r in log.records + builds.records
                    if r["event"] == "finished" and r["action"] == action["action"]]
            self.assertEqual(action["failed"], sum(1 for e in ends if e["outcome"] == "failed"))
            self.assert_spread(action["time"], [e["seconds"] for e in ends
                                                if e["outcome"] == "succeeded" and not e.get("isUnchanged")])
        self.assertEqual([a["action"] for a in report["actions"]],
                         ["build", "test", "package", "deploy-prod", "verify-prod", "rollback-prod"])

    def test_who_released_what_newest_first(self):
        log, _ = make_logs()
        latest = self.report("--log", self.write("prod.log", log.bytes()))["latest"]
        ends = [r for r in log.records if r["event"] == "finished" and not r.get("isUnchanged")
                and (r["action"] != "verify-prod")]
        released_by = {r["call"]: r["approver"]["name"] for r in log.records if r["event"] == "decided"}
        self.assertEqual([row["call"] for row in latest], [r["call"] for r in reversed(ends)][:25])
        for row in latest:
            if row["action"] == "deploy-prod":
                self.assertEqual((row["who"], row["via"]), (released_by[row["call"]], "jenkins"))

    def test_periods(self):
        log, _ = make_logs()
        path = self.write("prod.log", log.bytes())
        whole = json.loads(self.cli("report", "--json", "--log", path).stdout)
        self.assertEqual(whole["since"], "2026-09-28T00:00:00Z")
        halves = [json.loads(self.cli("report", "--json", "--log", path, *period).stdout)["deploys"]
                  for period in (("--until", "2026-10-14"), ("--since", "2026-10-15"))]
        self.assertEqual(sum(halves), whole["deploys"])
        self.assertTrue(all(halves))
        none = json.loads(self.cli("report", "--json", "--log", path, "--since", "2026-10-03",
                                   "--until", "2026-10-04").stdout)
        self.assertEqual((none["deploys"], none["days"], none["workingDays"]), (0, 2, 0))
        self.assertIsNone(none["deploysPerWorkingDay"])
        self.assertIsNone(none["changeFailRate"])
        for wrong in (("--since", "yesterday"), ("--until", "2026-02-30"),
                      ("--since", "2026-10-05", "--until", "2026-10-04")):
            self.assertIn(wrong[1], self.cli("report", "--log", path, *wrong, check=2).stderr)

    def test_an_empty_log_and_one_of_another_environment(self):
        text = self.cli("report", "--log", self.write("empty.log", b"")).stdout
        self.assertIn("deploys              0", text)
        self.assertIn("note: no deploy to 'prod' is in the log\n", text)
        log, _ = make_logs(deploys=2)
        text = self.cli("report", "--env", "staging", "--log", self.write("prod.log", log.bytes())).stdout
        self.assertIn("no deploy to 'staging' is in the log; it tells of prod", text)

    def test_a_torn_last_line_is_left_out_and_told(self):
        log, _ = make_logs(deploys=5)
        whole = self.report("--log", self.write("whole.log", log.bytes()))
        torn = self.report("--log", self.write("torn.log", log.bytes() + b'{"seq":'))
        self.assertEqual(torn["deploys"], whole["deploys"])
        self.assertIn("torn.log: its last line is torn", torn["notes"][0])

    def test_a_log_that_was_tampered_with_gives_no_figures(self):
        log, _ = make_logs(deploys=5)
        page = os.path.join(self.directory, "page.html")
        path = self.write("log", log.bytes().replace(b"Change number 1", b"Change number 2", 1))
        result = self.cli("report", "--log", path, "--html", page, check=1)
        self.assertRegex(result.stderr, r"record \d+ was changed")
        self.assertEqual(result.stdout, "")
        self.assertFalse(os.path.exists(page))

    def test_help_says_what_each_figure_is(self):
        text = " ".join(self.cli("report", "--help").stdout.split())
        for words in ("Deploys that succeeded and changed what runs", "Change-fail rate: Deploys that failed",
                      "Time to restore: From the failed deploy or check", "nine of ten at most p90"):
            self.assertIn(words, text)


class Look(ReportCase):
    def render(self, *logs):
        page = os.path.join(self.directory, "report.html")
        paths = [argument for i, log in enumerate(logs)
                 for argument in ("--log", self.write(f"host-{i}.log", log.bytes()))]
        result = self.cli("report", "--json", "--since", "2026-09-28", "--until", "2026-11-06", *paths, "--html", page)
        return page, json.loads(result.stdout)

    def test_the_page_is_whole_and_alone(self):
        path, report = self.render(*make_logs())
        text, page = read_page(path)
        self.assertEqual((page.problems, page.open), ([], []))
        self.assertNotRegex(text, r"(?i)https?:|url\(|@import|javascript:")
        self.assertEqual(page.tiles[0], str(report["deploys"]))
        self.assertEqual(page.tiles[2], f"{100 * report['changeFailRate']:.1f}")
        self.assertEqual(page.tags["svg"], 3)
        self.assertEqual(page.tags["table"], 2)
        self.assertEqual(page.tags["tr"], 1 + 3 + 1 + 25)
        self.assertFalse(os.path.exists(path + ".part"))

    def test_nothing_in_a_log_becomes_markup(self):
        evil = "</td></svg></title>'\"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b[2J"
        log = AuditLog()
        when = SINCE + timedelta(hours=9)
        for number in range(3):
            log.release(when, "prod", f"{evil}{number}", who=f"name {evil}", name=f"service {number % 2} {evil}",
                        version=evil, subject=f"subject {evil}", reason=f"reason {evil}", repository=evil,
                        committedAt=when - timedelta(hours=1), outcome=("succeeded", "failed", "refused")[number])
        log.finished(when, f"build{evil}", seconds=1.0)
        path, _ = self.render(log)
        text, page = read_page(path)
        self.assertEqual((page.problems, page.open), ([], []))
        self.assertNotIn("\u202e", text)
        self.assertNotIn("\x1b", text)
        for word in ("name", "service 0", "subject", "reason"):
            self.assertIn(f"{word} &lt;/td&gt;", text)
        shown = self.cli("report", "--since", "2026-09-28", "--until", "2026-11-06", "--log",
                         os.path.join(self.directory, "host-0.log")).stdout
        self.assertNotIn("\x1b", shown)

    def test_a_page_that_cannot_be_written_is_told(self):
        log, _ = make_logs(deploys=1)
        path = self.write("log", log.bytes())
        result = self.cli("report", "--log", path, "--html", os.path.join(self.directory, "no/page.html"), check=1)
        self.assertIn("no/page.html': No such file", result.stderr)

    def test_a_browser_shows_it(self):
        """a browser shows it, wide and narrow (with Chromium; without it the structure alone is checked)"""
        path, _ = self.render(*make_logs())
        self.assertEqual(read_page(path)[1].problems, [])
        for name, width, height in (("wide", 1180, 2600), ("narrow", 500, 2600)) if CHROMIUM else ():
            image = os.path.join(self.directory, f"report-{name}.png")
            size, n_bytes = screenshot(path, image, f"{width},{height}")
            self.assertEqual(size, (width, height))
            self.assertGreater(n_bytes, 50000, "a blank page is far smaller")
            logs = os.path.join(harness.BUILD, "meson-logs")
            if os.path.isdir(logs):
                shutil.copy(image, logs)  # for a person to look at


class Audit(ReportCase):
    def setUp(self):
        super().setUp()
        self.host = self.agent({"name": "prod-1"})
        self.log, _ = make_logs(deploys=12)
        os.mkdir(os.path.join(self.host.state, "audit"))
        self.put(self.log.bytes())

    def put(self, data, head=None):
        path = os.path.join(self.host.state, "audit/log")
        with open(path, "wb") as f:
            f.write(data)
        with open(path + ".head", "w", encoding="utf-8") as f:
            json.dump(head or self.log.head(), f)

    def audit(self, *arguments, check=0):
        return self.cli("audit", *arguments, check=check,
                        environment={"SLIPWAY_AGENT": f"unix:{self.host.socket}"})

    def receipt(self, seq, agent="prod-1", call=None):
        """An envelope with a deployment's receipt. Nobody's signature: what is looked at is what it says."""
        record = self.log.records[seq - 1]
        statement = {
            "_type": "https://in-toto.io/Statement/v1", "predicateType": "slipway:deployment/v1",
            "subject": [{"name": "shop", "digest": {"sha256": digest_of("x")[7:]}}],
            "predicate": {"environment": "prod", "engine": "local", "deployment": "d1", "commit": commit_of("x"),
                          "agent": f"slipway:agent/{agent}", "call": call or record["call"],
                          "startedOn": "2026-10-01T10:00:00Z", "finishedOn": "2026-10-01T10:00:30Z",
                          "audit": self.log.head(seq)}}
        return json.dumps({"payloadType": "application/vnd.in-toto+json",
                           "payload": base64.b64encode(json.dumps(statement).encode()).decode(),
                           "signatures": [{"sig": base64.b64encode(bytes(64)).decode()}]},
                          separators=(",", ":")).encode() + b"\n"

    def test_show(self):
        lines = self.audit("show").stdout.splitlines()
        self.assertRegex(lines[0], r"TIME \(UTC\) +EVENT +ACTION +ENV +WHAT +WHO +OUTCOME")
        self.assertEqual(len(lines), 1 + len(self.log.records))
        self.assertTrue(all(name in lines[3] for name in ("finished", "deploy-prod", "prod", "1.0.0", "succeeded in")))
        self.assertIn(self.log.records[1]["approver"]["name"], lines[3])
        self.assertEqual(len(self.audit("show", "--limit", "2").stdout.splitlines()), 3)
        self.assertEqual(self.audit("show", "--limit", "2").stdout.splitlines()[-1].split()[:3],
                         lines[-1].split()[:3])

    def test_show_as_json_and_with_filters(self):
        def records(*arguments):
            return [json.loads(line) for line in self.audit("show", "--json", *arguments).stdout.splitlines()]
        self.assertEqual(records("--limit", "0"), self.log.records)
        since = self.log.records[20]["time"]
        self.assertEqual(records("--since", since), [r for r in self.log.records if r["time"] >= since])
        self.assertEqual(records("--env", "staging"), [])
        self.assertEqual(records("--limit", "5"), self.log.records[-5:])
        path = self.write("copy", self.log.bytes(7))
        self.assertEqual(records("--log", path), self.log.records[:7])

    def test_verify_the_agents_log(self):
        result = json.loads(self.audit("verify", "--json").stdout)
        self.assertEqual((result["records"], result["head"]), (len(self.log.records), self.log.head()))
        self.assertIn(f"prod-1: {len(self.log.records)} records", self.audit("verify").stdout)

    def test_verify_finds_what_was_done_to_a_log(self):
        lines = [line + b"\n" for line in self.log.lines]
        cases = (
            ("edited", lines[:4] + [lines[4].replace(b'"event":"', b'"event":"X')] + lines[5:], "record 5 was changed"),
            ("removed", lines[:4] + lines[5:], "record 5 is missing"),
            ("reordered", lines[:4] + [lines[5], lines[4]] + lines[6:], "record 5 is missing"),
            ("cut off", lines[:-1], f"record {len(lines)} is missing"),
            ("cut off further", lines[:-3], f"records {len(lines) - 2} to {len(lines)} are missing"),
            ("put in", lines[:4] + [lines[3]] + lines[4:], "record 5 is missing: record 4 stands in its place"),
        )
        for name, changed, words in cases:
            self.put(b"".join(changed))
            self.assertIn(words, self.audit("verify", check=1).stderr, name)
            answer = json.loads(self.audit("verify", "--json", check=1).stdout)
            self.assertEqual(answer["event"], "error", name)

    def test_verify_a_file_against_receipts(self):
        seq = 9
        bundle = self.write("release.intoto.jsonl", self.receipt(seq) + self.receipt(3, agent="staging-1", call="other"))
        whole = self.write("whole", self.log.bytes())
        result = json.loads(self.audit("verify", whole, "--evidence", bundle, "--json").stdout)
        self.assertEqual([(a["line"], a["seq"]) for a in result["anchors"]], [(1, seq)])
        self.assertIn("receipt of prod names (line 1", self.audit("verify", whole, "--evidence", bundle).stdout)
        # Without the last records nothing but the receipt can tell, and whose log it is has to be said.
        short = self.write("short", self.log.bytes(seq - 3))
        self.audit("verify", short)
        self.assertIn("--name", self.audit("verify", short, "--evidence", bundle, check=1).stderr)
        self.assertIn("are missing: the log was cut off",
                      self.audit("verify", short, "--evidence", bundle, "--name", "prod-1", check=1).stderr)
        # A whole chain that is another one from some record on.
        forged = AuditLog()
        for record in self.log.records:
            forged.append(at(record["time"]), record["event"],
                          **{k: v for k, v in record.items() if k not in ("seq", "time", "previous", "event")},
                          **({"reason": "nothing to see"} if record["seq"] == 2 and "reason" not in record else {}))
        path = self.write("forged", forged.bytes())
        self.audit("verify", path)
        self.assertIn(f"record {seq}: it is not the one", self.audit("verify", path, "--evidence", bundle, check=1).stderr)

    def test_verify_takes_the_head_that_lies_beside_a_file(self):
        path = self.write("log", self.log.bytes(5))
        self.audit("verify", path)
        self.write("log.head", json.dumps(self.log.head(6)).encode())
        self.assertIn("record 6 is missing", self.audit("verify", path, check=1).stderr)

    def test_verify_says_what_is_no_bundle(self):
        self.assertIn("nothing.jsonl", self.audit("verify", "--evidence", "nothing.jsonl", check=2).stderr)
        self.assertIn("line 1", self.audit("verify", "--evidence", self.write("b", b"{}\n"), check=1).stderr)
        empty = self.write("empty.jsonl", b"")
        self.assertIn("no receipt", self.audit("verify", "--evidence", empty, check=1).stderr)

    def test_export_goes_on_where_it_ended(self):
        path, n = os.path.join(self.directory, "export"), len(self.log.records)
        self.put(self.log.bytes(10), self.log.head(10))
        self.assertIn("10 records", self.audit("export", path).stderr)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), self.log.bytes(10))
        self.put(self.log.bytes() + b'{"seq":99', self.log.head())
        self.assertEqual(json.loads(self.audit("export", path, "--json").stdout)["records"], n)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), self.log.bytes())
        self.assertFalse(os.path.exists(path + ".part"))

    def test_export_refuses_what_is_no_beginning(self):
        path = os.path.join(self.directory, "export")
        self.audit("export", path)
        self.put(self.log.bytes(10), self.log.head(10))
        self.assertIn("taken away from its end", self.audit("export", path, check=1).stderr)
        other, _ = make_logs(seed=3, deploys=40)
        self.put(other.bytes(), other.head())
        self.assertIn("no beginning of the agent's log", self.audit("export", path, check=1).stderr)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), self.log.bytes())

    def test_a_report_of_the_agents_log(self):
        report = json.loads(self.cli("report", "--json", "--until", "2026-11-06", "--since", "2026-09-28",
                                     environment={"SLIPWAY_AGENT": f"unix:{self.host.socket}"}).stdout)
        self.assertEqual(report["logs"], ["prod-1"])
        self.assertEqual(report["deploys"], sum(f["deploys"] for f in expected_figures(self.log).values()))

    def test_what_is_said_wrongly(self):
        self.assertIn("'look'", self.audit("look", check=2).stderr)
        self.assertIn("export FILE", self.audit("export", check=2).stderr)
        self.assertIn("--log", self.audit("show", "file", check=2).stderr)
        self.assertIn("'soon'", self.audit("show", "--since", "soon", check=2).stderr)


if __name__ == "__main__":
    harness.main()
