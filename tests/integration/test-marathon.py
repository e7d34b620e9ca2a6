# SPDX-License-Identifier: MIT
"""What Marathon can do to a deployment that other engines cannot: each is played by the emulator (marathon_api.py)
while slipway-run-deploy works."""
import json
import os
import shutil
import time

import harness
from conformance_marathon import MarathonEngine
from deploy_case import DeployCase
from harness import wait_for

HTML = ("answer", 200, "<html>Please log in</html>", "text/html")


class MarathonCase(DeployCase):
    engine_class = MarathonEngine

    @property
    def marathon(self):
        return self.engine.marathon

    def app(self, app_id="/greeter-staging"):
        with self.marathon.lock:
            return self.marathon.apps.get(app_id)

    def gated(self, version):
        return self.package(version, mode="gated", template=self.engine.template(is_patient=True))[0]

    def begin(self, name, **others):
        """A deployment whose only task runs and is not healthy."""
        n = len(self.starts())
        runner = self.start("deploy", {"package": {"input": name}}, **others)
        wait_for(lambda: len(self.starts()) > n and runner.has_progress(), "its task runs")
        return runner

    def ends_badly(self, runner):
        ended = runner.wait()
        self.assertEqual(ended.status, 1, str(ended))
        return ended

    def ends_well(self, runner):
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        return ended


class Deployments(MarathonCase):
    """Lists that are late, and deployments that end in another way than ours."""

    def test_late_listing(self):
        """a deployment that is not listed yet is not taken for one that has ended"""
        self.deploy(self.package("1")[0])
        self.marathon.late_listing = 4
        runner = self.begin(self.gated("2"))
        wait_for(lambda: not self.marathon.deployments or not self.marathon.deployments[0].hidden_reads, "it is listed")
        self.assertIsNone(runner.process.poll())
        self.assertEqual(self.answer(), "1")
        self.open_gate()
        self.ends_well(runner)
        self.assertEqual(self.answer(), "2")

    def test_cancel_before_it_is_listed(self):
        """one that is to be cancelled before Marathon lists it is cancelled all the same"""
        self.deploy(self.package("1")[0])
        self.marathon.late_listing = 3
        runner = self.start("deploy", {"package": {"input": self.gated("2")}})
        wait_for(lambda: self.marathon.deployments, "Marathon has it")
        runner.process.terminate()
        ended = self.ends_badly(runner)
        self.assertIn("version 1 (commit", ended.reason)
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.answer(), "1")
        self.assertEqual([t.config["labels"]["slipway.version"] for t in self.marathon.tasks], ["1"])

    def test_dropped_without_a_way_back(self):
        """a deployment that somebody dropped by force is put right after the deadline"""
        self.deploy(self.package("1")[0])
        runner = self.begin(self.gated("2"), environment={"timeoutSeconds": 3})
        with self.marathon.lock:
            self.assertIsNone(self.marathon.cancel(self.marathon.deployments[0].id, True))
        ended = self.ends_badly(runner)
        self.assertIn("was not there within 3 s", ended.reason)
        self.assertIn("was put back", ended.reason)
        self.assertEqual(self.answer(), "1")

    def test_cancelled_by_somebody(self):
        """a deployment that somebody cancelled is a failure at once, though every task is healthy after it"""
        self.deploy(self.package("1")[0])
        runner = self.begin(self.gated("2"))
        with self.marathon.lock:
            self.marathon.cancel(self.marathon.deployments[0].id, False)
        ended = self.ends_badly(runner)
        self.assertIn("somebody else cancelled it at Marathon", ended.reason)
        self.assertLess(ended.outputs["seconds"], 15)
        self.assertEqual(self.answer(), "1")

    def test_deployed_over(self):
        """what somebody else deployed over ours by force is named, and left alone"""
        self.deploy(self.package("1")[0])
        runner = self.begin(self.gated("2"))
        with self.marathon.lock:
            config = {**self.app().config, "labels": {"slipway.deployment": "theirs"}, "args": ["well", "3", self.work]}
            config.pop("id")
            self.marathon.put_app("/greeter-staging", config, is_partial=False, is_forced=True)
        ended = self.ends_badly(runner)
        self.assertIn("'theirs' is wanted there now", ended.reason)
        wait_for(lambda: self.answer() == "3", "theirs serves")
        self.assertEqual(self.app().config["labels"], {"slipway.deployment": "theirs"})

    def test_too_many(self):
        """too many running deployments (403) is waited for as any other lock, and is no lack of rights"""
        self.marathon.max_deployments = 0
        runner = self.start("deploy", {"package": {"input": self.package("1")[0]}})
        wait_for(lambda: "Max number (0)" in runner.read("log"), "it is told why")
        self.marathon.max_deployments = 1
        self.ends_well(runner)

    def test_polls(self):
        """a deployment that takes its time is not asked for more than five times a second"""
        runner = self.begin(self.gated("1"))
        self.engine.leader.requests.clear()
        time.sleep(2)  # what is looked at is a rate
        self.open_gate()
        self.ends_well(runner)
        self.assertLessEqual(self.engine.leader.most_polls(), 5)


class Apps(MarathonCase):
    """What is sent, and what Marathon makes of it."""

    def test_removed_members(self):
        """a member that the template has no more is gone from the app"""
        self.deploy(self.package("1", template=self.engine.template(env={"A": "1"}, constraints=[["rack", "UNIQUE"]]))[0])
        self.assertEqual(self.app().config["env"], {"A": "1"})
        ended = self.deploy(self.package("2")[0])
        self.assertNotIn("env", self.app().config)
        self.assertNotIn("constraints", self.app().config)
        self.assertIn('/constraints: [["rack","UNIQUE"]] → (none)', ended.log)

    def test_only_what_was_sent_is_compared(self):
        """Marathon's defaults and ports are no changes, in the log as in the decision"""
        self.deploy(self.package("1")[0])
        ended = self.deploy(self.package("2")[0])
        changes = ended.log.partition("what changes for the engine:\n")[2].partition("deploying")[0].splitlines()
        self.assertEqual([line.split(":")[0] for line in changes], ["  /container/docker/image"])

    def test_changed_by_hand(self):
        """what somebody changed by hand is put right, and not taken for unchanged"""
        name, _ = self.package("1")
        self.deploy(name)
        with self.marathon.lock:
            self.marathon.put_app("/greeter-staging", {"env": {"DEBUG": "1"}})
        wait_for(lambda: not self.marathon.deployments, "that is there")
        ended = self.deploy(name)
        self.assertIs(ended.outputs["isUnchanged"], False)
        self.assertNotIn("env", self.app().config)

    def test_memory_lost(self):
        """a host that has forgotten what it deployed does not restart what runs"""
        name, _ = self.package("1")
        self.deploy(name)
        shutil.rmtree(self.path("releases"))
        ended = self.deploy(name)
        self.assertIs(ended.outputs["isUnchanged"], True)
        self.assertEqual(self.starts(), ["1"])

    def test_foreign(self):
        """an app that somebody else deployed is taken over, and comes back when that fails"""
        self.engine.begin_elsewhere("greeter-staging", ["well", "0", self.work])
        wait_for(lambda: self.answer() == "0" and not self.marathon.deployments, "it serves")
        ended = self.deploy(self.package("1", mode="crash")[0], wanted=1)
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.answer(), "0")
        self.deploy(self.package("2")[0])
        self.assertEqual(self.answer(), "2")

    def test_command_and_fetch(self):
        """an app without a container: a command, and what it fetches, in a group"""
        files = os.path.join(self.directory, "service.py")
        template = {"id": "/team/${name}", "cmd": f"exec python3 ./service.py well ${{version}} {self.work}",
                    "fetch": [{"uri": f"file://{files}", "extract": False}], "portDefinitions": [{"port": 0}],
                    "labels": {"port": "${port}"}, "healthChecks": [{"path": "/health", "intervalSeconds": 1}]}
        name, _ = self.package("1", template=json.dumps(template))
        self.deploy(name)
        self.assertEqual(self.answer(), "1")
        self.assertIs(self.deploy(name).outputs["isUnchanged"], True)
        template["fetch"][0]["uri"] = "file:///nonexistent/service.tgz"
        ended = self.deploy(self.package("2", template=json.dumps(template))[0], wanted=1)
        self.assertIn("what the app fetches cannot be had", ended.reason)
        self.assertEqual(self.answer(), "1")

    def test_no_checks(self):
        """an app without checks is healthy when its tasks run: Marathon counts none of them as healthy"""
        self.deploy(self.package("1", template=self.engine.template(healthChecks=[]))[0])
        with self.marathon.lock:
            self.assertEqual(self.marathon.app_json(self.app())["tasksHealthy"], 0)

    def test_failed_check(self):
        """the answer of a failing check is in the log while the deployment runs, and in the reason"""
        self.deploy(self.package("1")[0])
        template = self.engine.template(healthChecks=[{"path": "/health", "intervalSeconds": 10, "timeoutSeconds": 10,
                                                       "gracePeriodSeconds": 1, "maxConsecutiveFailures": 2}])
        ended = self.deploy(self.package("2", mode="ill", template=template)[0], wanted=1)
        self.assertIn("so far: the health check of an instance on 127.0.0.1 fails: 503 X", ended.log)
        self.assertIn("health check failed. Reason: 503 X", ended.reason)

    def test_no_room(self):
        """a cluster without room is told as soon as Marathon knows, and is the reason at the deadline"""
        self.deploy(self.package("1")[0])
        self.marathon.capacity = 1
        ended = self.deploy(self.package("2")[0], wanted=1, environment={"timeoutSeconds": 3})
        self.assertIn("so far: no room: InsufficientCpus declined 3 of 3 offers\n", ended.log)
        self.assertIn("no room: InsufficientCpus declined 3 of 3 offers", ended.reason)
        self.assertIn("still serves", ended.reason)

    def test_no_way_back(self):
        """when what ran before does not come back either, that is said"""
        self.deploy(self.package("1")[0])
        runner = self.begin(self.gated("2"), environment={"timeoutSeconds": 2})
        with self.marathon.lock:
            self.marathon.is_stuck = True
        ended = self.ends_badly(runner)
        self.assertIn("was not there within 2 s", ended.reason)
        self.assertNotIn("isRestored", ended.outputs if "is not well" in ended.reason else {})


class Answers(MarathonCase):
    """Answers that are none, and leaders that change."""

    def test_leader_changes(self):
        """a deployment goes on under the next leader; standbys redirect, pass on, or know no leader"""
        runner = self.begin(self.gated("1"))
        standby, leader = self.engine.standby, self.engine.leader
        standby.mode, leader.mode = "leader", "no leader"
        standby.authorization = leader.authorization
        n = len(standby.requests)
        wait_for(lambda: len(standby.requests) > n + 1, "the new leader is asked")
        leader.mode = standby.address
        self.open_gate()
        self.ends_well(runner)
        self.deploy(self.package("2")[0])
        self.assertEqual(self.answer(), "2")

    def test_redirect(self):
        """a standby that redirects is followed to the leader, with the credentials"""
        self.engine.standby.mode = self.engine.leader.address
        self.deploy(self.package("1")[0])
        self.assertEqual(self.starts(), ["1"])
        self.assertTrue(self.engine.standby.requests)
        self.assertIn("PUT", [method for _, method, _, _ in self.engine.leader.requests])

    def test_redirect_elsewhere(self):
        """a redirect to an address that nobody configured is not followed"""
        self.engine.standby.mode = "http://127.0.0.1:1"
        ended = self.deploy(self.package("1")[0], wanted=1)
        self.assertIn("redirects to 'http://127.0.0.1:1/v2/apps/greeter-staging", ended.reason)
        self.assertIn("none of this environment's addresses", ended.reason)

    def test_no_answers_at_first(self):
        """an answer that is none, before anything was begun, is a failure that says what came instead"""
        for what, said in ((HTML, "begins with '<html>Please log in</html>'. Is that Marathon?"),
                           (("answer", 200, '{"ok": true}', "application/json"), "has no app in it"),
                           (("answer", 404, "<html>nginx</html>", "text/html"), None)):
            self.engine.leader.faults = [("GET", "/v2/apps", what)]
            ended = self.start("deploy", {"package": {"input": self.package("1")[0]}}).wait()
            self.assertEqual(ended.status, 1 if said else 0, str(ended))
            self.assertIn(said or "", ended.reason or "")
        self.assertEqual(self.starts(), ["1"])

    def test_no_answers_meanwhile(self):
        """while a deployment is observed, answers that are none are as good as no answer"""
        runner = self.begin(self.gated("1"))
        faults = [HTML, "hang up", "truncate", ("answer", 503, "{}", "application/json"),
                  ("answer", 500, '{"message": "store timed out"}', "application/json"), ("delay", 0.3)]
        self.engine.leader.faults = [("GET", "/v2/apps", what) for what in faults]
        wait_for(lambda: not self.engine.leader.faults, "all of them were given")
        self.open_gate()
        self.ends_well(runner)
        self.assertEqual(self.starts(), ["1"])

    def test_reply_lost(self):
        """PUT and DELETE whose answers are lost are not done twice"""
        self.deploy(self.package("1")[0])
        self.engine.leader.faults = [("PUT", "/v2/apps", "lose"), ("DELETE", "/v2/deployments", "lose")]
        ended = self.deploy(self.gated("2"), wanted=1, environment={"timeoutSeconds": 2})
        self.assertEqual(self.engine.leader.faults, [])
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.starts(), ["1", "2", "1"])  # going back is a new version, so Marathon restarts what it has
        self.assertEqual([m for _, m, _, _ in self.engine.leader.requests].count("PUT"), 2)

    def test_put_never_arrived(self):
        """a PUT that never arrived is sent again"""
        self.engine.leader.faults = [("PUT", "/v2/apps", "hang up"),
                                     ("PUT", "/v2/apps", ("answer", 503, "{}", "application/json"))]
        self.deploy(self.package("1")[0])
        self.assertEqual(self.starts(), ["1"])


del MarathonCase, DeployCase

if __name__ == "__main__":
    harness.main()
