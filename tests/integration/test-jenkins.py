# SPDX-License-Identifier: MIT
"""plugin/jenkins: its Groovy in the version that Jenkins embeds, over a Jenkins whose steps are a fake and whose
programs, agent and engine are real."""
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import harness
from harness import program, wait_for

GREETER = os.path.join(harness.ROOT, "tests/samples/greeter")
LIBRARY = os.path.join(harness.ROOT, "plugin/jenkins")
FAKE = os.path.join(harness.ROOT, "tests/integration/jenkins")

# What a shell, Groovy and a browser would each like to do something with.
EVIL = 'it\'s "${HOME}" $(touch pwned) `touch pwned` \\n; touch pwned #'

# A name that git takes for a branch.
BRANCH = 'it\'s-$(touch${IFS}pwned)-"${HOME}"-`id`'

ROAD = """
slipwayPipeline {{
    agent = 'unix:{socket}'
    to = env.BRANCH_NAME in [null, 'main'] ? 'verify-prod' : 'test'
    submitter = 'ops'
}}
"""

DECLARATIVE = """
pipeline {{
    agent none
    environment {{ SLIPWAY_AGENT = 'unix:{socket}' }}
    stages {{
        stage('Commit') {{
            agent any
            steps {{
                checkout scm
                slipway action: 'build', ref: {branch}
                slipway 'test'
                slipway action: 'package', archive: true
                slipway 'deploy-staging'
                slipway 'verify-staging'
            }}
        }}
        stage('Release') {{ steps {{ slipway action: 'approve', submitter: 'ops', reason: {evil} }} }}
        stage('Production') {{ agent any
            steps {{
                slipway 'deploy-prod'
                slipway 'verify-prod'
                slipway 'health'
                slipway 'rollback'
            }}
        }}
    }}
}}
"""

ACTIONS = {
    "slow": {"command": ["/bin/sh", "-c", "echo begun; exec sleep 300"]},
    "count": {"command": ["/bin/sh", "-c",
                          "for i in 1 2 3 4 5; do echo \"line $i\"; done; while [ ! -e \"$GO\" ]; do sleep 0.05; done; "
                          "for i in 6 7 8 9; do echo \"line $i\"; done"]},
    "flaky": {"command": ["/bin/sh", "-c", "echo tried >>\"$GO.tries\"; [ $(wc -l <\"$GO.tries\") -ge 2 ]"]},
    "show": {"command": ["/bin/sh", "-c", "cat >&2; exit 0"]},
}


def groovy_environment():
    """Debian's launcher wants a JAVA_HOME; a JVM for a few seconds needs neither much of a compiler nor of a collector."""
    java = os.path.realpath(shutil.which("java") or "/usr/bin/java")
    return {**os.environ, "JAVA_HOME": os.path.dirname(os.path.dirname(java)),
            "JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -Xmx256m -Dfile.encoding=UTF-8"}


def groovy(*arguments, **others):
    return subprocess.Popen(["groovy", "-cp", FAKE, "-c", "UTF-8", *arguments], env=groovy_environment(), text=True,
                            start_new_session=True, **others)


class Finished:
    """A build that is over: its log, and what Jenkins shows besides."""

    def __init__(self, log, events):
        self.log = log
        self.result = re.search(r"^Finished: (\w+)$", log, re.M)
        self.result = self.result and self.result[1]
        self.events = events

    def of(self, kind):
        return [event[kind] for event in self.events if kind in event]


class Controller(harness.Case):
    def setUp(self):
        super().setUp()
        self.number = 0
        self.go = os.path.join(self.directory, "go")

    def start_agent(self, environments=None, **others):
        self.host = self.agent({
            "environments": environments or {}, **others,
            "actions": {name: {"title": name, **action, "env": {"GO": self.go}} for name, action in ACTIONS.items()}})

    def home(self, *names):
        return os.path.join(self.directory, f"build-{self.number}", *names)

    def begin(self, jenkinsfile, job="greeter/main", environment=None, **config):
        """Begins a build of this text."""
        self.number += 1
        os.makedirs(self.home())
        with open(self.home("Jenkinsfile"), "w", encoding="utf-8") as f:
            f.write(jenkinsfile.replace("{socket}", self.host.socket))
        with open(self.home("config.json"), "w", encoding="utf-8") as f:
            json.dump({
                "jenkinsfile": self.home("Jenkinsfile"), "library": LIBRARY, "home": self.home(),
                "events": self.home("events"), "workspace": self.home("workspace"),
                "started": int(time.time() * 1000), "causes": [{"userId": "bob"}], "input": {"by": "ann"},
                "credentials": {"slipway-approver-key": getattr(self, "key", "")},
                "scm": getattr(self, "repository", ""), "hasScmVariables": True,
                "env": {"PATH": os.environ["PATH"], "HOME": self.directory, "LANG": "C.UTF-8",
                        "SLIPWAY_CLI": program("slipway"), "JENKINS_URL": "http://jenkins.example/", "JOB_NAME": job,
                        "BUILD_NUMBER": str(self.number), "SLIPWAY_AGENT": f"unix:{self.host.socket}",
                        "BUILD_URL": f"http://jenkins.example/job/greeter/{self.number}/", **(environment or {})},
                **config}, f)
        return self.resume()

    def resume(self):
        log = open(self.home("log"), "ab")  # pylint: disable=consider-using-with
        self.addCleanup(log.close)
        controller = groovy(os.path.join(FAKE, "Main.groovy"), self.home("config.json"), stdout=log,
                            stderr=subprocess.STDOUT)
        self.addCleanup(self.stop, controller)
        return controller

    @staticmethod
    def stop(controller):
        if controller.poll() is None:
            os.killpg(controller.pid, signal.SIGKILL)
            controller.wait()

    def log(self):
        with open(self.home("log"), encoding="utf-8") as f:
            return f.read()

    def end(self, controller, result):
        controller.wait(harness.PATIENCE_SECONDS)
        events = []
        if os.path.exists(self.home("events")):
            with open(self.home("events"), encoding="utf-8") as f:
                events = [json.loads(line) for line in f]
        build = Finished(self.log(), events)
        self.assertEqual(build.result, result, build.log)
        return build

    def run_build(self, jenkinsfile, result="SUCCESS", **config):
        return self.end(self.begin(jenkinsfile, **config), result)

    def calls(self, action=None):
        listed = self.host.connect().request("calls/list", {"limit": 1000})["calls"]
        return [c for c in reversed(listed) if action in (None, c["action"])]


class Road(Controller):
    def setUp(self):
        super().setUp()
        self.key = os.path.join(self.directory, "controller.key")
        subprocess.run([program("slipway"), "keygen", self.key], check=True, capture_output=True)
        socket = os.path.join(self.directory, "engine.sock")
        with open(os.path.join(self.directory, "engine.log"), "ab") as log:
            self.engine = subprocess.Popen(
                [program("slipway-engine-local"), "--listen", f"unix:{socket}", "--state",
                 os.path.join(self.directory, "engine")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.engine.wait, harness.PATIENCE_SECONDS)
        self.addCleanup(self.engine.terminate)
        wait_for(lambda: os.path.exists(socket), "the engine listens")
        self.urls = {name: f"http://127.0.0.1:{harness.free_port()}" for name in ("staging", "prod")}
        self.start_agent(
            {name: {"engine": "local", "address": f"unix:{socket}", "url": url,
                    "variables": {"port": url.rpartition(":")[2]}} for name, url in self.urls.items()},
            keys={"controller": {"file": self.key + ".pub", "roles": ["approver"]}})
        self.repository = os.path.join(self.directory, "greeter")
        shutil.copytree(GREETER, self.repository)
        self.commit = harness.repository(self.repository, {}, f"Greet\n\n{EVIL}")

    def get(self, environment):
        try:
            with urllib.request.urlopen(self.urls[environment] + "/", timeout=10) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None

    def decided(self):
        with open(os.path.join(self.host.state, "audit/log"), encoding="utf-8") as f:
            return [r for r in map(json.loads, f) if r["event"] == "decided" and r["environment"] == "prod"]

    def test_two_commits_reach_production_by_the_button(self):
        evil = "Ann " + EVIL
        build = self.run_build(ROAD.format(socket="{socket}"), job=f"team/{EVIL}", input={"by": evil})
        self.assertEqual(build.of("stage"), ["Source", "Build", "Test", "Package", "Staging", "Verify staging", "Release",
                                             "Production", "Verify production"])
        self.assertIn("Hello", self.get("prod"))
        self.assertIn("build |", build.log, "the live log")
        self.assertEqual(build.of("junit"), [{"tests": 9, "failed": 0}])
        self.assertEqual(build.of("archived"), [["binaries/dist/greeter"], ["release.intoto.jsonl"]])
        question, = build.of("input")
        self.assertEqual([e["isOnNode"] for e in build.events if "input" in e], [False])
        self.assertEqual((question["submitter"], question["id"]), ("ops", "release-prod"))
        self.assertIn(self.commit[:7], question["message"])
        self.assertIn("Greet", question["message"])
        decision, = self.decided()
        self.assertTrue(decision["isAllowed"])
        self.assertEqual(decision["approver"], {"name": evil, "via": "jenkins",
                                                "url": "http://jenkins.example/job/greeter/1/"})
        self.assertEqual({c["origin"]["url"] for c in self.calls() if c["action"] != "changes-prod"}, {"http://jenkins.example/job/greeter/1/"})
        self.assertNotIn(self.key, build.log, "the place of the credential is masked")
        self.check_declarative()
        self.check_refusals()
        self.check_branch()
        self.assertEqual(subprocess.run(["find", self.directory, "-name", "pwned"], capture_output=True, text=True,
                                        check=True).stdout, "")

    def check_declarative(self):
        with open(os.path.join(self.repository, "greeter.c"), encoding="utf-8") as f:
            text = f.read().replace("Hello", "Good morning")
        harness.commit(self.repository, {"greeter.c": text}, f"Greet in the morning {EVIL}", 1700000100)
        harness.git(self.repository, "branch", BRANCH)
        text = DECLARATIVE.replace("{{", "{").replace("}}", "}")
        for name, value in (("evil", EVIL), ("branch", BRANCH)):
            text = text.replace("{" + name + "}", json.dumps(value).replace("$", "\\$"))
        build = self.run_build(text, input={"by": "ann", "as": "map"})
        with open(self.home("archive/release.intoto.jsonl"), encoding="ascii") as f:
            statements = [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in f]
        self.assertIn(BRANCH, [s["predicate"]["buildDefinition"]["externalParameters"]["ref"]
                               for s in statements if "buildDefinition" in s["predicate"]])
        self.assertIn(EVIL, [s["predicate"].get("reason") for s in statements])
        question, = build.of("input")
        self.assertIn(f"Greet in the morning {EVIL}"[:60], question["message"], "shown as it is")
        self.assertEqual([e["isOnNode"] for e in build.events if "input" in e], [False])
        self.assertIn("package.tar.zst", sum(build.of("archived"), []))
        self.assertEqual([r["approver"]["name"] for r in self.decided() if "approver" in r][-1], "ann")
        self.assertIn("Hello", self.get("prod"), "it was rolled back")
        rollback, = self.calls("rollback-prod")
        self.assertEqual((rollback["status"], rollback["origin"]["user"]), ("succeeded", "bob"))

    def check_refusals(self):
        before = len(self.calls("deploy-prod"))
        build = self.run_build(ROAD.format(socket="{socket}"), "ABORTED", input={"reject": "carl"})
        self.assertIn("Rejected by carl", build.log)
        self.assertEqual(len(self.calls("deploy-prod")), before)
        build = self.run_build("""
            node {
                checkout scm
                slipway.build()
                slipway.package()
                def tries = [[:], [evidence: 'nothing']]
                for (int i = 0; i < tries.size(); i++) {
                    try { slipway.deployProd(tries[i]) } catch (Exception e) { echo "CAUGHT ${e.message}" }
                }
                try { slipway.approve(credentialsId: 'other') } catch (Exception e) { echo "CAUGHT ${e.message}" }
            }""")
        caught = re.findall("^CAUGHT (.*)$", build.log, re.M)
        self.assertEqual(len(caught), 3, build.log)
        self.assertRegex(caught[0], "'deploy-prod' was refused: .+")
        self.assertIn("cannot be called like this", caught[1])
        self.assertIn("'other'", caught[2])
        self.assertIn("Hello", self.get("prod"))


    def check_branch(self):
        """Ends after its tests; what fails is Jenkins' test result all the same."""
        path = os.path.join(self.repository, "test.sh")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        failure = '<testsuite><testcase name="a"/><testcase name="b"><failure message="no"/></testcase></testsuite>'
        harness.commit(self.repository, {"test.sh": text + f"\necho '{failure}' >build/junit/more.xml\n"}, "Break it",
                       1700000200)
        build = self.run_build(ROAD.format(socket="{socket}"), "FAILURE", environment={"BRANCH_NAME": "topic"})
        self.assertEqual(build.of("stage"), ["Source", "Build", "Test"])
        self.assertEqual(build.of("junit"), [{"tests": 11, "failed": 1}])
        self.assertRegex(build.log, "ERROR: slipway: 'test' failed: 1 of 11 tests failed")


class Calls(Controller):
    def setUp(self):
        super().setUp()
        self.start_agent()

    def wait_for_log(self, controller, text):
        wait_for(lambda: text in self.log() or controller.poll() is not None, f"the log says {text!r}")
        self.assertIn(text, self.log())

    def has_read_all(self):
        durable = next(name for name in os.listdir(self.home()) if name.startswith("durable-"))
        try:
            with open(self.home(durable, "read"), encoding="ascii") as f:
                return f.read() == str(os.path.getsize(self.home(durable, "log")))
        except FileNotFoundError:
            return False

    def test_an_aborted_build_leaves_nothing_running(self):
        build = self.run_build("node { slipway.action('slow') }", "ABORTED", abortAt="begun")
        self.assertIn("Aborted by bob", build.log)
        wait_for(lambda: self.calls("slow")[0].get("status") == "cancelled", "the call is cancelled")

    def test_a_restart_of_the_controller_loses_no_line(self):
        controller = self.begin("node { slipway.action('count'); echo 'over' }")
        self.wait_for_log(controller, "line 5")
        wait_for(self.has_read_all, "the controller has noted how far it has read")
        self.stop(controller)
        with open(self.go, "w", encoding="utf-8"):
            pass
        wait_for(lambda: self.calls("count")[0].get("status") == "succeeded", "the call goes on without it")
        build = self.end(self.resume(), "SUCCESS")
        self.assertEqual(re.findall(r"line (\d)", build.log), list("123456789"))
        self.assertEqual(len(self.calls("count")), 1)

    def test_a_lost_process_is_followed_again(self):
        controller = self.begin("node { slipway.action('count'); echo 'over' }", loseAt="line 5")
        self.wait_for_log(controller, "following it again")
        with open(self.go, "w", encoding="utf-8"):
            pass
        build = self.end(controller, "SUCCESS")
        self.assertEqual(re.findall(r"line (\d)", build.log.partition("following it again")[2]), list("123456789"))
        self.assertEqual(len(self.calls("count")), 1)

    def test_mistakes_are_explained(self):
        build = self.run_build("""
            def attempt(Closure body) { try { body() } catch (Exception e) { echo "CAUGHT ${e.message}" } }
            node {
                attempt { slipway.action('biuld') }
                attempt { slipway.action('slow', agent: 'unix:/nowhere/agent.sock') }
                attempt { slipway.action('slow', timeout: 0.2) }
                attempt { slipway.build(comit: 'x') }
                attempt { slipway.action('../x') }
                attempt { slipway([:]) }
                attempt { slipwayPipeline(to: 'prd') }
                attempt { slipway.build() }
                attempt { slipway.health(agent: 'unix:/nowhere/agent.sock') }
                withEnv(['SLIPWAY_CLI=/nowhere/slipway']) { attempt { slipway.test() } }
                attempt { slipway.action('flaky') }
                slipway.action('flaky')
                slipway.action('flaky')
                slipway.action('show', params: [text: EVIL, number: 7, list: ['a b', '$x']])
                echo "AGENT ${slipway.health().status}"
            }""".replace("EVIL", json.dumps(EVIL).replace("$", "\\$")))
        caught = re.findall("^CAUGHT (.*)$", build.log, re.M)
        for text, said in zip(("'biuld' cannot be called", "agent cannot be reached", "'slow' timed out",
                               "no option 'comit'", "'../x' is no name", "say which action", "'prd' is none of",
                               "cannot be called", "agent cannot be reached", "no program `slipway`",
                               "'flaky' failed"), caught, strict=True):
            self.assertIn(text, said)
        self.assertIn("biuld", build.log)
        self.assertIn("no git repository", build.log)
        self.assertEqual([c["status"] for c in self.calls("flaky")], ["failed", "succeeded"],
                         "what failed is tried anew, what succeeded is not")
        self.assertIn("AGENT ok", build.log)
        self.assertIn(json.dumps(EVIL)[1:-1], build.log.replace("\\/", "/"))

    def test_the_groovy_keeps_to_continuations_and_sandbox(self):
        lint = os.path.join(FAKE, "Lint.groovy")
        bad = os.path.join(self.directory, "bad.groovy")
        with open(bad, "w", encoding="utf-8") as f:
            f.write("""
                import com.cloudbees.groovy.cps.NonCPS
                @groovy.transform.Field Map state = [:]
                def a() { [1, 2].each { echo 'x' } }
                def b() { for (x in [1]) { echo 'x' } }
                @NonCPS def c() { echo 'x' }
                @NonCPS def d() { a() }
                def e() { Jenkins.instance.doSafeRestart() }
                def f() { new File('/etc/passwd') }
                def g() { java.util.regex.Matcher m = null; echo 'x' }
                def h(x) { sh "echo ${x}" }
                def i() { sleepy 5 }
                private j() { }
            """)
        names = sorted(os.listdir(os.path.join(LIBRARY, "vars")))
        process = groovy(lint, bad, *(os.path.join(LIBRARY, "vars", n) for n in names if n.endswith(".groovy")),
                         stdout=subprocess.PIPE)
        lines = process.communicate(timeout=harness.PATIENCE_SECONDS)[0].splitlines()
        self.assertEqual(process.returncode, 0)
        self.assertEqual([line for line in lines if not line.startswith("bad.groovy")], [])
        for method in "abcdefghij":
            self.assertTrue(any(re.match(rf"bad\.groovy:\d+: {method}: ", line) for line in lines), (method, lines))


if __name__ == "__main__":
    harness.main()
