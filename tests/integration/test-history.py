# SPDX-License-Identifier: MIT
"""What real deploys leave in the audit log, and what slipway report and slipway audit make of it."""
import hashlib
import json
import os
import shutil
from datetime import datetime, timezone

import harness
from page import CHROMIUM, read_page, screenshot
from road import RoadCase


def moment(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class RealLog(RoadCase):
    """Six deploys: one that changes nothing, one that fails and is put back, one that a rollback takes back, one refused."""
    environments = {"prod": {"requires": {}},
                    "frozen": {"requires": {}, "freeze": [{"from": "Mon 00:00", "to": "Sun 24:00", "reason": "inventory"}]}}

    def setUp(self):
        super().setUp()
        began = self.when
        self.committed = {str(n): moment(began + 60 * n) for n in range(1, 5)}
        self.first = self.release("one", "Greet\n\nAnd more of it")
        self.call("verify-prod")
        self.call("deploy-prod", run="run-one")
        self.failed = self.release("bad", "Be ill", is_ill=True)
        self.second = self.release("two", "Greet twice")
        self.back = self.call("rollback-prod", origin={"user": "grace", "url": "https://ci.example/7"})
        self.third = self.release("three", "Greet again")
        self.call("deploy-prod", {"package": {"call": "none"}}, wanted="refused", run="run-none")
        self.assertEqual(self.answer(), "three")

    def report(self, *arguments):
        return json.loads(self.slipway(self.road, "report", "--json", *arguments, check=0).stdout)

    def check_records(self):
        """Each record says what the contract says it does."""
        ends = self.ends("deploy-prod")
        self.assertEqual([(e["outcome"], e.get("digest"), e.get("isUnchanged"), e.get("isRestored")) for e in ends], [
            ("succeeded", self.first, None, None), ("succeeded", self.first, True, None),
            ("failed", self.failed, None, True), ("succeeded", self.second, None, None),
            ("succeeded", self.third, None, None), ("refused", None, None, None)])
        self.assertEqual([e.get("previousDigest") for e in ends],
                         [None, None, self.first, self.first, self.first, None])
        self.assertEqual([e.get("subject") for e in ends[:5]],
                         ["Greet", "Greet", "Be ill", "Greet twice", "Greet again"])
        self.assertEqual([e["committedAt"] for e in ends[:5]], [self.committed[k] for k in "11234"])
        self.assertEqual({e.get("name") for e in ends[:5]}, {"greeter"})
        self.assertTrue(all(0 < e["seconds"] < 60 for e in ends))
        self.assertIn("still serves", ends[2]["reason"])
        self.assertIn("package", ends[5]["reason"])
        self.assertNotIn("reason", ends[0])
        (back,) = self.ends("rollback-prod")
        self.assertEqual((back["digest"], back["previousDigest"], back["subject"]), (self.first, self.second, "Greet"))
        self.assertAlmostEqual(back["seconds"], self.back["outputs"]["seconds"], places=3)
        (verified,) = self.ends("verify-prod")
        self.assertEqual((verified["outcome"], verified["digest"], verified["name"], verified["environment"]),
                         ("succeeded", self.first, "greeter", "prod"))
        self.assertEqual([e["digest"] for e in self.ends("package")],
                         [self.first, self.failed, self.second, self.third])

    def check_report(self):
        report = self.report()
        ends = self.ends("deploy-prod")
        self.assertEqual({name: report[name] for name in (
            "deploys", "unchangedDeploys", "failedDeploys", "takenBack", "failedChecks", "rollbacks", "refusals",
            "openOutages")}, {
                "deploys": 3, "unchangedDeploys": 1, "failedDeploys": 1, "takenBack": 1, "failedChecks": 0,
                "rollbacks": 1, "refusals": 1, "openOutages": 0})
        self.assertEqual((report["changeFailures"], report["changeFailRate"]), (2, 0.5))
        self.assertEqual([s["service"] for s in report["services"]], ["greeter"])
        leads = [(at(e["time"]) - at(e["committedAt"])).total_seconds() for e in (ends[0], ends[3], ends[4])]
        self.assertEqual(report["leadTime"]["count"], 3)
        self.assertAlmostEqual(report["leadTime"]["maxSeconds"], max(leads), delta=0.001)
        (back,) = self.ends("rollback-prod")
        self.assertEqual(report["timeToRestore"]["count"], 1, "what was put back at once was no outage")
        self.assertAlmostEqual(report["timeToRestore"]["maxSeconds"],
                               (at(back["time"]) - at(ends[3]["time"])).total_seconds(), delta=0.001)
        self.assertEqual([a["action"] for a in report["actions"]], ["package", "deploy-prod", "verify-prod",
                                                                     "rollback-prod"])
        self.assertEqual([row.get("subject") for row in report["latest"]],
                         [None, "Greet again", "Greet", "Greet twice", "Be ill", "Greet"])
        self.assertEqual([row["who"] for row in report["latest"] if row["action"] == "rollback-prod"], ["grace"])

    def check_text(self):
        text = self.slipway(self.road, "report", check=0).stdout
        for words in ("Greet twice", "taken back", "50", "greeter"):
            self.assertIn(words, text)
        shown = self.slipway(self.road, "audit", "show", check=0).stdout
        self.assertRegex(shown, r"rollback-prod .* grace +succeeded in")
        self.assertRegex(shown, r"deploy-prod .* failed in")

    def check_page(self):
        path = os.path.join(self.directory, "real.html")
        report = self.report("--html", path)
        text, page = read_page(path)
        self.assertEqual((page.problems, page.open), ([], []))
        self.assertEqual(page.tiles[0], str(report["deploys"]))
        self.assertIn("Greet twice", text)
        if CHROMIUM:
            image = os.path.join(self.directory, "report-real.png")
            self.assertGreater(screenshot(path, image, "1180,1900")[1], 50000)
            logs = os.path.join(harness.BUILD, "meson-logs")
            if os.path.isdir(logs):
                shutil.copy(image, logs)

    def check_verification(self):
        """The receipts that the agent keeps are in its log."""
        answer = json.loads(self.slipway(self.road, "audit", "verify", "--json", check=0).stdout)
        self.assertEqual(answer["records"], len(self.records()))
        kept = [a for a in answer["anchors"] if "artifactOf" in a]
        decided = [r["seq"] for r in self.records() if r["event"] == "decided" and r["isAllowed"]
                   and r["digest"] != self.failed]
        self.assertEqual(sorted(a["seq"] for a in kept), decided)
        self.assertIn(f"5 receipts of its calls name records that are in it, up to record {decided[-1]}",
                      self.slipway(self.road, "audit", "verify", check=0).stdout)

    def check_freeze(self):
        result = self.call("deploy-frozen", run="run-three", wanted="refused")
        self.assertIn("inventory", result["reason"])
        self.assertEqual(self.report()["refusals"], 1, "it is another environment's")
        frozen = self.report("--env", "frozen")
        self.assertEqual((frozen["refusals"], frozen["deploys"]), (1, 0))

    def test_what_real_deploys_leave(self):
        """the log of real deploys says what it should, and report, page and verification make the right of it"""
        self.check_records()
        self.check_report()
        self.check_text()
        self.check_page()
        self.check_verification()
        self.check_freeze()


class Tampering(RoadCase):
    """Somebody with all rights on the host edits its log, and the head beside it. The receipts know better."""

    def setUp(self):
        super().setUp()
        self.release("one", "Greet")
        self.release("two", "Greet twice")
        with open(self.audit_path(), "rb") as f:
            self.lines = f.readlines()
        self.keys = self.write("keys.json", self.slipway(self.road, "keys", "--json", check=0).stdout)
        call = next(c["call"] for c in self.connection.request("calls/list")["calls"] if c["action"] == "deploy-prod")
        self.slipway(self.road, "artifacts", "get", f"{call}/release.intoto.jsonl", "--output", self.directory, check=0)
        self.bundle = os.path.join(self.directory, "release.intoto.jsonl")

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def put(self, lines):
        """A log of these lines, with the head that it would have."""
        with open(self.audit_path(), "wb") as f:
            f.write(b"".join(lines))
        head = {"seq": len(lines), "sha256": hashlib.sha256(lines[-1].rstrip(b"\n")).hexdigest()}
        with open(self.audit_path() + ".head", "w", encoding="utf-8") as f:
            json.dump(head, f)

    def rewritten(self, lines):
        """The same from there on, as somebody writes it who knows how a chain is made."""
        out, previous = [], "0" * 64
        for line in lines:
            record = {**json.loads(line), "previous": previous}
            out.append(json.dumps(record, separators=(",", ":")).encode() + b"\n")
            previous = hashlib.sha256(out[-1][:-1]).hexdigest()
        return out

    def verify(self, *arguments, check=1):
        result = self.slipway(self.road, "audit", "verify", *arguments, check=check)
        return result.stdout if check == 0 else result.stderr

    def cut(self):
        n = len(self.lines)
        self.put(self.lines[:-3])
        said = self.verify()
        self.assertRegex(said, f"record.* {n - 2}.* missing: the log was cut off")
        self.assertRegex(said, r"the newest receipt, of prod \(call .*\), names record")

    def test_each_is_found_and_named(self):
        """an edited, a removed, a moved and a cut off record are named, each with exit code 1"""
        self.assertIn("2 receipts of its calls", self.verify(check=0))
        self.cut()
        self.put(self.lines[:2] + [self.lines[2].replace(b'"event"', b'"tnevE"')] + self.lines[3:])
        self.assertIn("record 3 was changed", self.verify())
        self.put(self.lines[:2] + self.lines[3:])
        self.assertIn("record 3 is missing", self.verify())
        self.put([self.lines[1], self.lines[0]] + self.lines[2:])
        self.assertIn("record 1 is missing: record 2 stands in its place", self.verify())
        # And a whole chain that was made anew, with one word changed.
        edited = [line.replace(b'"outcome":"succeeded"', b'"outcome":"failed"') for line in self.lines]
        self.put(self.rewritten(edited))
        self.assertRegex(self.verify(), r"record \d+: it is not the one that was written")
        self.put(self.lines)
        self.verify(check=0)

    def test_who_signed_the_receipts(self):
        shown = self.verify("--evidence", self.bundle, "--keys", self.keys, check=0)
        self.assertRegex(shown, r"receipt of prod names \(line 1 of '.*', signed by prod-1\)")
        stranger = self.write("stranger.json", '{"keys": {}}')
        self.assertIn("proves nothing: no key that you believe has signed it", self.verify("--keys", stranger))
        with open(self.keys, encoding="utf-8") as f:
            builder = json.load(f)
        builder["key"]["roles"] = ["builder"]
        wrong = self.write("builder.json", json.dumps(builder))
        self.assertIn("it is signed by a key that may not say so", self.verify("--keys", wrong))
        # Elsewhere, against an export: the receipt that travelled is enough.
        export = os.path.join(self.directory, "export")
        self.slipway(self.road, "audit", "export", export, check=0)
        self.verify(export, "--evidence", self.bundle, "--keys", self.keys, check=0)
        with open(export, "rb") as f:
            lines = f.readlines()
        short = self.write("short", b"".join(lines[:-4]).decode())
        self.assertRegex(self.verify(short, "--evidence", self.bundle, "--keys", self.keys, "--name", "prod-1"),
                         r"missing: the log was cut off.*\n.*the newest receipt, of prod \(line 1 of")

    def test_what_is_said_wrongly(self):
        self.assertIn("no-such-file", self.verify("--keys", "no-such-file", check=2))
        self.assertIn("no-such-file", self.verify("--evidence", "no-such-file", check=2))


if __name__ == "__main__":
    harness.main()
