# SPDX-License-Identifier: MIT
"""Going back when everything else is down: with the host alone, and what it has kept."""
import json
import os
import shutil
import time

import harness
from road import RoadCase


class Rollback(RoadCase):
    def setUp(self):
        super().setUp()
        self.digests = [self.release(text, f"Greet {text}") for text in ("one", "two", "three")]

    def rollback(self, *arguments, check=0):
        return self.slipway(self.road, "rollback", *arguments, check=check)

    def lose_everything(self):
        """No repository, no mirror of it, no run, no call, no input, no bundle; the agent starts anew in a freeze."""
        self.connection.close()
        self.road.stop()
        shutil.rmtree(self.repository)
        for name in ("cache", "calls", "runs", "inputs", "idempotency"):
            shutil.rmtree(os.path.join(self.road.state, name))
        with open(self.road.config_path, encoding="utf-8") as f:
            config = json.load(f)
        environment = config["environments"]["prod"]
        del environment["requires"]  # production demands all evidence there is
        environment["freeze"] = [{"from": "Mon 00:00", "to": "Sun 24:00", "reason": "inventory"}]
        self.road.configure(config)
        self.road.start()
        self.connection = self.road.connect()

    def test_with_nothing_but_the_host(self):
        """repository, mirror, runs, calls and bundles gone, production frozen: one command brings back the one before"""
        self.assertEqual(self.answer(), "three")
        self.lose_everything()
        began = time.monotonic()
        said = self.rollback()
        took = time.monotonic() - began
        self.assertEqual(self.answer(), "two")
        self.assertRegex(said.stderr, r"prod runs version \w+ \(commit \w{12}\) again, .* after it was asked for")
        (end,) = self.ends("rollback-prod")
        self.assertEqual((end["outcome"], end["digest"], end["previousDigest"]),
                         ("succeeded", self.digests[1], self.digests[2]))
        self.assertLessEqual(end["seconds"], took)
        self.assertGreater(end["seconds"], 0)
        requested, decided = [r for r in self.records() if r["event"] != "finished" and r["call"] == end["call"]]
        self.assertTrue(requested["origin"]["user"])
        self.assertTrue(decided["isAllowed"])
        result = self.connection.request("calls/result", {"call": end["call"]})
        self.assertEqual(result["outputs"]["seconds"], end["seconds"])
        self.assertIn(f"rollback-prod took {end['seconds']:.1f} s", self.log_of(end["call"]))
        # Further back, to an older commit still; and then there is nowhere to go.
        self.rollback()
        self.assertEqual(self.answer(), "one")
        self.assertIn("no kept release of 'prod' from before", self.rollback(check=4).stderr)
        self.assertEqual(self.answer(), "one")
        # It was the freeze that was let pass, and only by a rollback.
        self.assertEqual([r["isAllowed"] for r in self.records()[-4:] if r["event"] == "decided"], [True])

    def log_of(self, call):
        with open(os.path.join(self.road.call_directory(call), "output.log"), encoding="utf-8") as f:
            return f.read()

    def check_targets(self):
        releases = json.loads(self.rollback("--list", "--json").stdout)
        self.assertTrue(releases["isConfirmed"])
        by_digest = {r["digest"]: r for r in releases["releases"]}
        self.assertEqual([r["digest"] for r in releases["releases"]], self.digests[::-1])
        self.assertEqual([(r["isRunning"], r["isBefore"]) for r in releases["releases"]],
                         [(True, False), (False, True), (False, False)])
        first = by_digest[self.digests[0]]
        self.rollback("--to", first["commit"][:9])
        self.assertEqual(self.answer(), "one")
        self.rollback("--to", by_digest[self.digests[2]]["version"])
        self.assertEqual(self.answer(), "three")
        self.rollback("--to", self.digests[1])
        self.assertEqual(self.answer(), "two")
        again = self.rollback("--to", self.digests[1])
        self.assertIn("nothing to do: prod runs version", again.stderr)
        self.assertIn("'v9' is not among the kept releases of 'prod'", self.rollback("--to", "v9", check=4).stderr)
        self.assertEqual(self.answer(), "two")

    def check_list(self):
        lines = self.rollback("--list").stdout.splitlines()
        self.assertRegex(lines[0], r"VERSION +COMMIT +DEPLOYED \(UTC\) +DIGEST +SUBJECT")
        self.assertRegex(lines[1], r"^runs +\w+ .* Greet three$")
        self.assertRegex(lines[2], r"^before +\w+ .* Greet two$")
        self.assertEqual(len(lines), 4)
        self.assertIn("exclude each other", self.rollback("--list", "--to", "x", check=2).stderr)
        self.assertIn("nope", self.rollback("--env", "nope", check=2).stderr)

    def check_list_without_an_engine(self):
        """An engine that does not answer keeps nobody from seeing what there is."""
        self.engine.stop()
        listed = self.rollback("--list")
        self.assertIn("the engine does not answer", listed.stderr)
        self.assertRegex(listed.stdout.splitlines()[1], r"^runs .* Greet two$")

    def test_what_there_is_and_choosing_among_it(self):
        """--list shows what there is, also without the engine; --to takes a version, a commit or a digest"""
        self.check_list()
        self.check_targets()
        self.check_list_without_an_engine()


if __name__ == "__main__":
    harness.main()
