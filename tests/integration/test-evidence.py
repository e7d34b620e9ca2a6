# SPDX-License-Identifier: MIT
"""Nothing reaches production that was not built, tested, staged and released by a person: two hosts, the real programs,
and evidence that is forged in every way that protocol/evidence/README.md forbids."""
import base64
import copy
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

import evidence_writer
import harness
from evidence_writer import Key, envelope, open_envelope, statement
from harness import program, wait_for

GREETER = os.path.join(harness.ROOT, "tests/samples/greeter")
BUNDLE = "release.intoto.jsonl"
PIECE = 192 * 1024
ROAD = ("build", "test", "package", "deploy-staging", "verify-staging")
STATES = {"test": "test-result", "package": "provenance", "deploy-staging": "deployment",
          "verify-staging": "verification"}


def moment(**delta):
    return (datetime.now(timezone.utc) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Hosts(harness.Case):
    """`builder` builds, tests, packages and stages; `production` holds production, and believes the builder's key."""

    def setUp(self):
        super().setUp()
        self.engine_socket = os.path.join(self.directory, "engine.sock")
        self.urls = {name: f"http://127.0.0.1:{harness.free_port()}" for name in ("staging", "prod")}
        self.start_engine()
        self.builder = self.agent({"name": "builder-1", "environments": {"staging": self.environment("staging")}})
        self.approver, self.intern, self.stranger = (
            Key(os.path.join(self.directory, name)) for name in ("approver", "intern", "stranger"))
        self.builder_key = Key(os.path.join(self.directory, "builder"), self.public_key(self.builder))
        self.production = self.agent(self.production_config())
        self.repository = os.path.join(self.directory, "greeter")
        shutil.copytree(GREETER, self.repository)
        self.commit = harness.repository(self.repository, {}, "Greet")
        self.n_inputs = 0

    def start_engine(self):
        with open(os.path.join(self.directory, "engine.log"), "ab") as log:
            self.engine = subprocess.Popen(
                [program("slipway-engine-local"), "--listen", f"unix:{self.engine_socket}", "--state",
                 os.path.join(self.directory, "engine")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.stop_engine)
        wait_for(lambda: os.path.exists(self.engine_socket), "the engine listens")

    def stop_engine(self):
        self.engine.terminate()
        self.engine.wait(harness.PATIENCE_SECONDS)

    def environment(self, name, **others):
        return {"engine": "local", "address": f"unix:{self.engine_socket}", "url": self.urls[name],
                "variables": {"port": self.urls[name].rpartition(":")[2]}, **others}

    def production_config(self, **others):
        return {
            "name": "production-1", "environments": {"prod": self.environment("prod", **others)},
            "keys": {
                "builder-1": {"publicKey": self.builder_key.public, "roles": ["builder", "tester", "stager"]},
                "controller": {"file": self.approver.public_path, "roles": ["approver"]},
                "intern": {"file": self.intern.public_path, "roles": ["tester"]},
            }}

    @staticmethod
    def public_key(agent):
        return wait_for(lambda: agent.connect().request("health").get("publicKey"), "the agent has a key")

    def reconfigure(self, **others):
        self.production.stop()
        self.production.configure(self.production_config(**others))
        self.production.start()

    def get(self, environment):
        try:
            with urllib.request.urlopen(self.urls[environment] + "/", timeout=10) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None

    # ---- the road to a release ---------------------------------------------------------------------

    def go(self, commit, run):
        """build … verify-staging of a commit. The release: its package, the line of each statement, its digest."""
        connection, release = self.builder.connect(), {"commit": commit, "lines": {}}
        source = {"git": self.repository, "commit": commit}
        for action in ROAD:
            started = connection.request("calls/start", {
                "action": action, "run": run, "attach": True, "idempotencyKey": f"{run}-{action}",
                "parameters": {} if action == "deploy-staging" else {"source": source}})["call"]
            events = connection.events_of(started)
            result = events[-1][1]["result"]
            self.assertEqual(result["status"], "succeeded", harness.log_of(events).decode() + str(result))
            artifacts = os.path.join(self.builder.call_directory(started), "artifacts")
            if action in STATES:
                with open(os.path.join(artifacts, BUNDLE), encoding="ascii") as f:
                    release["lines"][STATES[action]] = f.read().rstrip("\n")
            if action == "package":
                release["package"] = os.path.join(artifacts, "package.tar.zst")
                release["digest"] = result["outputs"]["digest"]
                release["hex"] = release["digest"].removeprefix("sha256:")
        return release

    def send(self, connection, data, sha256=None):
        """Sends bytes to a host as an input. Returns its name."""
        self.n_inputs += 1
        name = f"input-{self.n_inputs}"
        for offset in range(0, max(len(data), 1), PIECE):
            is_last = offset + PIECE >= len(data)
            connection.request("inputs/write", {
                "input": name, "offset": offset, "base64": base64.b64encode(data[offset:offset + PIECE]).decode(),
                "isLast": is_last,
                **({"sha256": sha256 or hashlib.sha256(data).hexdigest()} if is_last else {})})
        return name

    def deploy(self, release, lines):
        """deploy-prod with this evidence (None: none). Returns the result."""
        connection = self.production.connect()
        with open(release["package"], "rb") as f:
            parameters = {"package": {"input": self.send(connection, f.read())}}
        if lines is not None:
            text = "".join(line + "\n" for line in lines).encode()
            parameters["evidence"] = {"input": self.send(connection, text)}
        result = connection.call("deploy-prod", parameters)
        self.log = connection.log.decode()
        return result

    def change(self, commit):
        """What changes-prod says now: (text, the commit that runs or None)."""
        result = self.production.connect().call(
            "changes-prod", {"source": {"git": self.repository, "commit": commit}})
        self.assertEqual(result["status"], "succeeded", str(result))
        return result["outputs"]["text"], result["outputs"].get("from")

    def approval(self, release, **others):
        text, running = self.change(release["commit"])
        predicate = {
            "approver": {"name": "Ada", "via": "test", "url": "https://ci.example/job/7"}, "environment": "prod",
            "commit": release["commit"], "change": {"sha256": hashlib.sha256(text.encode()).hexdigest()},
            "issuedOn": moment(), "expiresOn": moment(hours=1), "nonce": secrets.token_hex(16),
            **({"previousCommit": running} if running else {}), **others}
        return {name: value for name, value in predicate.items() if value is not None}

    def approve(self, release, key=None, digest=None, **others):
        return envelope(key or self.approver, statement("approval", "sha256", digest or release["hex"],
                                                        self.approval(release, **others)))

    def next_commit(self, greeting, message, when):
        with open(os.path.join(GREETER, "greeter.c"), encoding="utf-8") as f:
            text = f.read().replace("Hello", greeting)
        return harness.commit(self.repository, {"greeter.c": text}, message, when)

    # ---- what must hold after a refusal ------------------------------------------------------------

    def assert_refused(self, release, lines, *expected):
        before = self.get("prod")
        result = self.deploy(release, lines)
        self.assertEqual(result["status"], "refused", f"{expected}: {result}\n{self.log}")
        for text in expected:
            self.assertIn(text, result["reason"])
        wait_for(lambda: self.get("prod") == before, "production says what it said before")
        decided = self.audit()[-2:]
        self.assertEqual([r["event"] for r in decided], ["decided", "finished"], str(decided))
        self.assertIs(decided[0]["isAllowed"], False)
        self.assertEqual(decided[0]["reason"], result["reason"])
        self.assertEqual(decided[1]["outcome"], "refused")

    def assert_deployed(self, release, lines):
        result = self.deploy(release, lines)
        self.assertEqual(result["status"], "succeeded", f"{result}\n{self.log}")
        return result

    def assert_answers(self, greeting):
        """Not at once: on a busy machine the engine may have found it slow for a moment."""
        wait_for(lambda: greeting in (self.get("prod") or ""), f"production says {greeting}")

    def audit(self):
        with open(os.path.join(self.production.state, "audit/log"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]


class Evidence(Hosts):
    def test_every_refusal_then_the_one_accepted_deploy(self):
        release = self.go(self.commit, "first")
        lines, sound = release["lines"], list(release["lines"].values())
        self.check_each_missing_piece(release)
        self.check_forged_lines(release)
        self.check_signed_untruths(release)
        self.check_approvals(release)
        self.check_other_bytes(release)
        self.assertIsNone(self.get("prod"))

        good = self.approve(release)
        result = self.assert_deployed(release, [*sound, good])
        self.assertIn("released by Ada at https://ci.example/job/7, signed by 'controller'", self.log)
        self.assertEqual(result["outputs"]["digest"], release["digest"])
        self.assert_answers("Hello")
        decided = [r for r in self.audit() if r["event"] == "decided"][-1]
        self.assertIs(decided["isAllowed"], True)
        self.assertEqual(decided["approver"]["name"], "Ada")
        self.assertEqual(decided["digest"], release["digest"])

        self.assert_refused(release, [*sound, good], "the approval by Ada", "then nothing ran")
        self.check_replay(release, sound)
        self.check_order_freeze_and_rollback(release, lines)
        self.slipway(self.production, "audit", "verify", check=0)

    def check_each_missing_piece(self, release):
        self.assert_refused(release, None, "the provenance of this package is missing", "`package` signs it")
        approval = self.approve(release)
        for kind, said in (("provenance", "the provenance of this package is missing"),
                           ("test-result", "a test result of this commit is missing"),
                           ("deployment", "the receipt of a deployment of this package to 'staging' is missing"),
                           ("verification", "the verification of this package in 'staging' is missing")):
            others = [line for name, line in release["lines"].items() if name != kind]
            self.assert_refused(release, [*others, approval], said)
        self.assert_refused(release, list(release["lines"].values()),
                            "an approval of this package for 'prod' is missing", "slipway approve")

    def check_forged_lines(self, release):
        """What is no envelope, no statement, or of no key that is believed."""
        sound = [*release["lines"].values(), self.approve(release)]
        line = release["lines"]["provenance"]
        rest = [other for other in sound if other is not line]
        payload = json.loads(base64.b64decode(json.loads(line)["payload"]))

        flipped = json.loads(line)
        flipped["payload"] = base64.b64encode(json.dumps({**payload, "subject": [
            {"digest": {"sha256": "0" * 64}}]}).encode()).decode()
        self.assert_refused(release, [json.dumps(flipped), *rest], "'builder-1' signed it", "altered")
        self.assert_refused(release, [envelope(self.stranger, payload), *rest],
                            "1 statement is signed by keys that this host does not know")

        whole = self.intern  # believed as a tester: its bytes are read, and have to be flawless
        passed = json.dumps(statement("test-result", "gitCommit", release["commit"],
                                      {"result": "PASSED", "configuration": []}))
        for broken, said in (
                (json.dumps({**json.loads(line), "alg": "none"}), "alg"),
                (line.replace('{"payloadType"', '{"payload":"AA==","payloadType"', 1), "a second member"),
                (envelope(whole, passed.encode(), payload_type="application/json"), "application/json"),
                (self.signed_by_another_algorithm(passed.encode()), "signature"),
                (envelope(whole, passed.replace('"_type"', '"_type": "x", "_type"', 1).encode()), "a second member"),
                (envelope(whole, passed.replace('"result"', '"more": 1, "result"', 1).encode()), "more"),
                (envelope(whole, passed.replace('"_type"', '"more": 1, "_type"', 1).encode()), "more"),
                (line[:-2], "is no evidence"),
                ("nothing like it", "is no evidence")):
            self.assert_refused(release, [*sound, broken], "line 6", said)

    def signed_by_another_algorithm(self, payload):
        key = Key.__new__(Key)
        key.directory = os.path.join(self.directory, "ecdsa")
        os.makedirs(key.directory, exist_ok=True)
        key.private_path, key.id = os.path.join(key.directory, "private.pem"), self.intern.id
        evidence_writer.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                                "-out", key.private_path)
        return envelope(key, payload)

    def check_signed_untruths(self, release):
        """Statements that are well signed, and do not say what is needed."""
        approval = self.approve(release)
        for kind, signer, algorithm, digest, predicate, said in (
                ("test-result", self.stranger, "gitCommit", release["commit"],
                 {"result": "PASSED", "configuration": []}, "keys that this host does not know"),
                ("test-result", self.intern, "gitCommit", release["commit"],
                 {"result": "FAILED", "configuration": []}, "did not pass (FAILED)"),
                ("test-result", self.intern, "gitCommit", "1" * 40,
                 {"result": "PASSED", "configuration": []}, "it is about gitCommit 1111"),
                ("provenance", self.intern, "sha256", release["hex"], self.predicate(release, "provenance"),
                 "signed by 'intern', which has not the role builder"),
                ("deployment", self.intern, "sha256", release["hex"], self.predicate(release, "deployment"),
                 "signed by 'intern', which has not the role stager"),
                ("verification", self.approver, "sha256", release["hex"], self.predicate(release, "verification"),
                 "signed by 'controller', which has not the role stager")):
            others = [line for name, line in release["lines"].items() if name != kind]
            forged = envelope(signer, statement(kind, algorithm, digest, predicate))
            self.assert_refused(release, [*others, forged, approval], said)

    @staticmethod
    def predicate(release, kind):
        return json.loads(base64.b64decode(json.loads(release["lines"][kind])["payload"]))["predicate"]

    def check_approvals(self, release):
        sound = list(release["lines"].values())
        for others, said in (
                ({"key": self.intern}, "signed by 'intern', which has not the role approver"),
                ({"digest": "2" * 64}, "it is about sha256 2222"),
                ({"environment": "staging"}, "in staging"),
                ({"issuedOn": moment(hours=-2), "expiresOn": moment(hours=-1)}, "expired at"),
                ({"issuedOn": moment(minutes=30), "expiresOn": moment(hours=1)}, "from the future"),
                ({"issuedOn": moment(hours=1), "expiresOn": moment()}, "no sensible time"),
                ({"commit": "3" * 40}, "is for commit 333333333333"),
                ({"previousCommit": "4" * 40}, "the change has moved since the approval by Ada"),
                ({"change": {"sha256": "5" * 64}}, "is not the one that would be made now"),
                ({"change": None}, "does not say which change was shown")):
            self.assert_refused(release, [*sound, self.approve(release, **others)], said)

    def check_other_bytes(self, release):
        """Evidence holds for the package it is about, and for no other."""
        other = {**release, "package": os.path.join(self.directory, "other.tar.zst")}
        with open(release["package"], "rb") as f:
            data = subprocess.run(["zstd", "-dc"], input=f.read(), check=True, capture_output=True).stdout
        changed = data.replace(b'"Architecture"', b'"Architecturf"').replace(b'"architecture"', b'"architecturf"')
        self.assertNotEqual(changed, data)
        with open(other["package"], "wb") as f:
            f.write(subprocess.run(["zstd", "-qc"], input=changed, check=True, capture_output=True).stdout)
        result = self.deploy(other, [*release["lines"].values(), self.approve(release)])
        self.assertEqual(result["status"], "refused", str(result))
        self.assertIn("no package that can be deployed", result["reason"])

    def check_replay(self, release, sound):
        """An approval is taken once, also by a host that was killed and started again."""
        again = self.approve(release)
        self.assert_deployed(release, [*sound, again])  # the same package: nothing to do, but the approval is used
        self.production.kill()
        self.production.start()
        self.assert_refused(release, [*sound, again], "was used already")

    def check_order_freeze_and_rollback(self, first, lines):
        second = self.go(self.next_commit("Good morning", "Greet in the morning", 1700000100), "second")
        stale = self.approve(second, previousCommit=None)
        self.assert_refused(second, [*second["lines"].values(), stale], "the change has moved")
        self.assert_deployed(second, [*second["lines"].values(), self.approve(second)])
        self.assert_answers("Good morning")
        self.assert_refused(first, [*lines.values(), self.approve(first)],
                            f"commit {first['commit'][:12]} is older than {second['commit'][:12]}", "rollback-prod")

        frozen = [{"from": "Mon 00:00", "to": "Sun 24:00", "timeZone": "Europe/Berlin", "reason": "the year's end"}]
        self.reconfigure(freeze=frozen)
        third = self.go(self.next_commit("Good evening", "Greet in the evening", 1700000200), "third")
        self.assert_refused(third, [*third["lines"].values(), self.approve(third)],
                            "'prod' is frozen from Mon 00:00 to Sun 24:00 (Europe/Berlin): the year's end")
        result = self.production.connect().call("rollback-prod")
        self.assertEqual(result["status"], "succeeded", str(result))
        self.assert_answers("Hello")
        self.reconfigure()

    def test_the_command_line_says_refused(self):
        release = self.go(self.commit, "first")
        connection = self.production.connect()
        with open(release["package"], "rb") as f:
            name = self.send(connection, f.read())
        result = self.slipway(self.production, "call", "deploy-prod", "--param",
                              "package:=" + json.dumps({"input": name}), check=4)
        self.assertIn("the provenance of this package is missing", result.stdout + result.stderr)

    def test_two_at_once_and_a_dead_owner(self):
        release = self.go(self.commit, "first")
        sound = list(release["lines"].values())
        place = os.path.join(self.production.state, "releases/prod")
        approval = self.approve(release)
        os.makedirs(place, exist_ok=True)
        lock = os.path.join(place, "lock")
        with open(lock, "w", encoding="utf-8") as f:
            f.write('{"call": "another", "action": "deploy-prod", "since": "2026-01-01T00:00:00Z", "pid": 1}')
        with open(lock, "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            result = self.deploy(release, [*sound, approval])
        self.assertEqual(result["status"], "refused", str(result))
        self.assertIn("the environment 'prod' is busy", result["reason"])
        self.assertIn("another", result["reason"])
        self.assert_deployed(release, [*sound, approval])  # its owner is dead, whatever the file says

    def test_what_was_signed_is_what_the_specifications_say(self):
        """An independent reader verifies each line, and finds the fields where the specifications have them."""
        release = self.go(self.commit, "first")
        read = {kind: open_envelope(line, self.builder_key) for kind, line in release["lines"].items()}
        for kind, said in read.items():
            self.assertEqual(set(said), {"_type", "subject", "predicateType", "predicate"})
            self.assertEqual(said["_type"], evidence_writer.STATEMENT_TYPE)
            self.assertEqual(said["predicateType"], evidence_writer.PREDICATES[kind])
            wanted = {"gitCommit": release["commit"]} if kind == "test-result" else {"sha256": release["hex"]}
            self.assertEqual(said["subject"][0]["digest"], wanted)
        definition = read["provenance"]["predicate"]["buildDefinition"]
        self.assertEqual(definition["resolvedDependencies"][0]["digest"], {"gitCommit": release["commit"]})
        self.assertTrue(definition["resolvedDependencies"][0]["uri"].startswith("git+"))
        self.assertEqual(read["provenance"]["predicate"]["runDetails"]["builder"]["id"], "slipway:agent/builder-1")
        self.assertEqual(read["test-result"]["predicate"]["result"], "PASSED")
        self.assertEqual(read["verification"]["predicate"]["verificationResult"], "PASSED")
        self.assertEqual(read["verification"]["predicate"]["resourceUri"], "slipway:environment/staging")
        self.assertEqual(read["verification"]["predicate"]["inputAttestations"], [
            {"digest": {"sha256": hashlib.sha256(release["lines"]["deployment"].encode()).hexdigest()}}])
        receipt = read["deployment"]["predicate"]
        with open(os.path.join(self.builder.state, "audit/log"), "rb") as f:
            log = f.read().splitlines()
        self.assertEqual(hashlib.sha256(log[receipt["audit"]["seq"] - 1]).hexdigest(), receipt["audit"]["sha256"])

    def test_a_key_is_rotated_with_both_valid_at_once(self):
        release = self.go(self.commit, "first")
        sound = list(release["lines"].values())
        config = self.production_config()
        config["keys"]["controller-2"] = {"file": self.stranger.public_path, "roles": ["approver"]}
        both, new_only = config, copy.deepcopy(config)
        del new_only["keys"]["controller"]
        for keys, signer, status in ((both, self.approver, "succeeded"), (both, self.stranger, "succeeded"),
                                     (new_only, self.approver, "refused"), (new_only, self.stranger, "succeeded")):
            self.production.stop()
            self.production.configure(keys)
            self.production.start()
            result = self.deploy(release, [*sound, self.approve(release, key=signer)])
            self.assertEqual(result["status"], status, f"{result}\n{self.log}")

    def test_the_package_of_another_commit_than_was_built(self):
        """what was built is what is packaged, and the smoke test is that of what runs"""
        connection = self.builder.connect()
        first = {"source": {"git": self.repository, "commit": self.commit}}
        second = {"source": {"git": self.repository,
                             "commit": self.next_commit("Good morning", "Greet in the morning", 1700000100)}}
        self.assertEqual(connection.call("build", first, run="r")["status"], "succeeded")
        result = connection.call("package", second, run="r")
        self.assertEqual(result["status"], "failed")
        self.assertIn(f"was built from commit {self.commit[:12]}", result["reason"])
        self.assertEqual(connection.call("package", first, run="r")["status"], "succeeded")
        self.assertEqual(connection.call("deploy-staging", run="r")["status"], "succeeded")
        result = connection.call("verify-staging", second, run="q")
        self.assertEqual(result["artifacts"], [])  # however it ended, it says nothing of the first
        self.assertIn(b"the smoke test is not of the commit that runs", connection.log)

    def test_a_host_key_stays_on_its_host(self):
        key = os.path.join(self.builder.state, "keys/agent.key")
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(os.path.dirname(key)).st_mode & 0o777, 0o700)
        before = os.stat(key)
        self.builder.kill()
        self.builder.start()
        time.sleep(0.2)  # longer than the first start waits before it makes one
        self.assertEqual((os.stat(key).st_ino, os.stat(key).st_mtime_ns), (before.st_ino, before.st_mtime_ns))
        self.assertEqual(self.public_key(self.builder), self.builder_key.public)


if __name__ == "__main__":
    harness.main()
