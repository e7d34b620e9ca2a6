# SPDX-License-Identifier: MIT
"""The ssh engine on several hosts: a real sshd each, web3 with nothing but busybox. What every engine has to do is in
conformance.py; here is what only several hosts can do, and what can be wrong with one of them."""
import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

import harness
from conformance_ssh import SshEngine
from deploy_case import DeployCase
from harness import wait_for
from ssh_hosts import SshHosts


class SharedHosts(SshEngine):
    """The same hosts for all cases, as new for each."""
    shared = None

    def start(self):
        self.hosts = self.shared
        self.port = self.shared.port
        self.host = self.hosts.hosts[0]

    def stop(self):
        for host in self.hosts.hosts:
            if host.sshd.process.poll() is not None:
                host.come_back()
            host.end_services()
            for name in os.listdir(host.home):
                if name not in ("bin", "arguments"):
                    subprocess.run(["rm", "-rf", host.path(name)], check=True)


class SshEngineCase(DeployCase):
    engine_class = SharedHosts
    n_hosts = 3

    @classmethod
    def setUpClass(cls):
        cls.hosts_directory = tempfile.mkdtemp(prefix="slipway-test-")
        cls.addClassCleanup(shutil.rmtree, cls.hosts_directory, ignore_errors=True)
        SharedHosts.shared = SshHosts(cls.hosts_directory, cls.n_hosts, harness.free_port(), busybox=("web3",))
        cls.addClassCleanup(SharedHosts.shared.stop)

    def setUp(self):
        super().setUp()
        self.hosts = self.engine.hosts.hosts

    def currents(self):
        return [host.current() for host in self.hosts]

    def deployments(self):
        return [record["deployment"] for record in self.records()]

    def assert_all_free(self):
        self.assertEqual([host.is_locked() for host in self.hosts], [False] * len(self.hosts))

    def template(self, **others):
        return self.engine.template(**others)


class Rollout(SshEngineCase):
    def test_all_hosts(self):
        """every host gets the release, by its digest checked there, and the oldest are forgotten"""
        for version in ("1", "2", "3"):
            ended = self.deploy(self.package(version, template=self.template(keep=2, batch=2))[0])
            self.assertEqual(ended.outputs["instances"], 3)
        deployments = self.deployments()
        self.assertEqual(self.currents(), [deployments[2]] * 3)
        for host in self.hosts:
            self.assertEqual(host.restarts(), deployments)
            self.assertEqual(host.releases(), deployments[1:])
            self.assertEqual(host.state(deployments[2]), "done")
            self.assertEqual(os.listdir(host.base()).sort(), ["current", "releases"].sort())
            self.assertTrue(os.access(host.base("current", "root", "app", "service"), os.X_OK))
            with open(host.base("current", "specification.json"), encoding="utf-8") as f:
                self.assertEqual(json.load(f)["labels"]["slipway.version"], "3")
        self.assert_all_free()
        content = self.hosts[2].read("greeter-staging", "releases", deployments[1], "content")
        self.rollback()
        self.assertEqual(self.currents(), [self.deployments()[3]] * 3)
        # The bytes were there: what was unpacked once is not sent again.
        self.assertEqual(self.hosts[2].read("greeter-staging", "current", "content"), content)

    def test_a_host_more(self):
        """a host that is added makes the same release a change; it is unchanged once it is everywhere"""
        name, _ = self.package("1")
        self.deploy(name, environment={"hosts": ["web1", "web2"]})
        self.assertIs(self.deploy(name, environment={"hosts": ["web1", "web2"]}).outputs["isUnchanged"], True)
        self.assertIsNone(self.hosts[2].current())
        ended = self.deploy(name)
        self.assertIs(ended.outputs["isUnchanged"], False)
        self.assertEqual(ended.outputs["instances"], 3)
        self.assertIs(self.deploy(name).outputs["isUnchanged"], True)
        self.assertEqual(self.currents(), [self.deployments()[-1]] * 3)

    def test_canary(self):
        """nothing but the canary is touched while it is not healthy"""
        runner = self.start("deploy", {"package": {"input": self.package(
            "1", mode="gated", template=self.template(is_patient=True, batch=2))[0]}})
        wait_for(lambda: self.starts() == ["1"], "the canary was started")
        deployment = self.deployments()[0]
        self.assertEqual([host.state(deployment) for host in self.hosts], ["started", "staged", "staged"])
        self.assertEqual(self.currents(), [deployment, None, None])
        self.open_gate()
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assertEqual(self.starts(), ["1"] * 3)

    def test_passes(self):
        """so many health checks in a row have to pass"""
        started = time.monotonic()
        health = {"url": "http://$${host}:${port}/health", "passes": 4, "intervalSeconds": 0.2}
        self.deploy(self.package("1", template=self.template(health=health))[0], environment={"hosts": ["web1"]})
        self.assertGreater(time.monotonic() - started, 0.6)

    def test_killed_between_hosts(self):
        """after kill -9 between two hosts, the next call goes on with the rest and starts nothing twice"""
        name, _ = self.package("1", mode="gated@127.0.0.2", template=self.template(is_patient=True))
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(lambda: self.starts() == ["1", "1"], "the second host was started")
        runner.kill()
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(runner.has_progress, "the next one looks at it")
        self.open_gate()
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assertIn("going on with it", ended.log)
        for host in self.hosts:
            self.assertEqual(host.restarts(), self.deployments())
        self.assert_all_free()

    def test_killed_while_sending(self):
        """after kill -9 before it began, the same deploy begins under the same name"""
        with open(self.hosts[2].path("lose"), "w", encoding="ascii") as f:
            f.write("receive")
        runner = self.start("deploy", {"package": {"input": self.package("1")[0]}})
        wait_for(lambda: os.path.exists(self.hosts[2].path("lost")), "the last host has it")
        runner.kill()
        self.assertEqual(self.starts(), [])
        self.deploy("package-1")
        self.assertEqual(self.currents(), self.deployments() * 3)
        self.assertEqual(len(self.starts()), 3)


class Failure(SshEngineCase):
    def fail_on_second(self, good="1", bad="2", **others):
        """Deploys one that is well, and one that is not on web2. Returns how that ended."""
        self.deploy(self.package(good)[0])
        before = self.deployments()[0]
        ended = self.deploy(self.package(bad, **others)[0], wanted=1)
        self.assertIn("version 1", ended.reason)
        self.assertIn("still serves", ended.reason)
        self.assertEqual(self.currents(), [before] * 3)
        failed = self.deployments()[1]
        self.assertEqual(self.hosts[0].restarts(), [before, failed, before])
        self.assertEqual(self.hosts[1].restarts(), [before, failed, before])
        self.assertEqual(self.hosts[2].restarts(), [before])
        self.assert_all_free()
        return ended

    def test_ill_on_the_second(self):
        """what is not healthy on one host is rolled back on all, and the rest is never touched"""
        ended = self.fail_on_second(mode="ill@127.0.0.2")
        self.assertIn("web2: http://127.0.0.2", ended.reason)
        self.assertIn("status 503", ended.reason)
        self.assertEqual(self.outcomes(), ["succeeded", "failed"])

    def test_crash_on_the_second(self):
        """what dies on one host fails at once, with its last words"""
        ended = self.fail_on_second(mode="crash@127.0.0.2", template=self.template(is_patient=True))
        self.assertIn("web2: it does not run: the unit is failed", ended.reason)
        self.assertIn("no such table: greetings", ended.log)

    def test_restart_refused(self):
        """a restart that fails tells its exit status and what it said"""
        name, _ = self.package("1")
        with open(self.hosts[0].path("refuse-restart"), "w", encoding="ascii"):
            pass
        ended = self.deploy(name, wanted=1)
        self.assertIn("web1: restarting ended with exit status 1: Job for greeter.service failed.", ended.reason)
        self.assertIn("nothing ran before it, and nothing runs now", ended.reason)
        self.assertEqual(self.currents(), [None] * 3)

    def test_restart_hangs(self):
        """a restart that does not end is ended"""
        for host in (self.hosts[0], self.hosts[2]):
            with open(host.path("hang-restart"), "w", encoding="ascii"):
                pass
            template = self.template(restart={"unit": "greeter", "timeoutSeconds": 1})
            ended = self.deploy(self.package("1", template=template)[0], wanted=1, environment={"hosts": [host.name]})
            self.assertIn(f"{host.name}: restarting did not end within 1 s", ended.reason)
            self.assertFalse(harness.is_alive(int(host.read("hanging"))))
        self.assert_all_free()

    def test_cannot_get_back(self):
        """a host that does not get back is named"""
        self.deploy(self.package("1")[0])
        slow, _ = self.package("2", mode="gated", template=self.template(is_patient=True))
        runner = self.start("deploy", {"package": {"input": slow}})
        wait_for(lambda: self.starts() == ["1"] * 3 + ["2"], "the canary was started")
        with open(self.hosts[0].path("refuse-restart"), "w", encoding="ascii"):
            pass
        runner.process.terminate()
        ended = runner.wait()
        self.assertEqual(ended.status, 1, str(ended))
        self.assertIn("it is not well: 2 of 3 instances are healthy", ended.reason)

    def test_away_at_first(self):
        """while a host is away nothing is deployed anywhere"""
        self.deploy(self.package("1")[0])
        self.hosts[1].leave()
        runner = self.start("deploy", {"package": {"input": self.package("2")[0]}})
        wait_for(lambda: "web2 is away" in runner.read("log"), "it waits")
        runner.process.terminate()
        ended = runner.wait()
        self.assertNotEqual(ended.status, 0)
        self.assertEqual(self.currents(), self.deployments()[:1] * 3)
        self.assertEqual(len(self.starts()), 3)

    def test_away_in_the_middle(self):
        """a host that goes away for good is a failure: the others get back, and the next deploy finds it"""
        self.deploy(self.package("1")[0])
        template = json.loads(self.template())
        template["health"]["deadlineSeconds"] = 2
        slow, _ = self.package("2", mode="gated@127.0.0.2", template=json.dumps(template))
        runner = self.start("deploy", {"package": {"input": slow}})
        wait_for(lambda: self.starts() == ["1"] * 3 + ["2"] * 2, "the second host was started")
        self.hosts[1].leave()
        wait_for(lambda: self.hosts[0].restarts()[-1] == self.deployments()[0], "the canary was rolled back")
        ended = runner.wait()
        self.assertEqual(ended.status, 1, str(ended))
        self.assertIn("web2 is away", ended.reason)
        self.assertIn("what runs on web2 is not known", ended.reason)
        self.assertEqual(self.currents(), [self.deployments()[0], self.deployments()[1], self.deployments()[0]])
        self.hosts[1].come_back()
        self.expire_lock(self.hosts[1])
        self.deploy("package-1")
        self.assertEqual(self.currents(), [self.deployments()[-1]] * 3)
        self.assert_all_free()

    def expire_lock(self, host):
        owner, _, agent = os.readlink(host.base("lock")).split(":")
        os.unlink(host.base("lock"))
        os.symlink(f"{owner}:1000:{agent}", host.base("lock"))

    def test_locked(self):
        """a lock that somebody holds is respected, and told; one that ran out is taken over"""
        name, _ = self.package("1")
        os.makedirs(self.hosts[1].base())
        os.symlink(f"other-000001:{int(time.time()) + 1000}:elsewhere", self.hosts[1].base("lock"))
        runner = self.start("deploy", {"package": {"input": name}})
        wait_for(lambda: "web2: deployment 'other-000001' is under way there; asking again" in runner.read("log"), "it waits")
        self.assertEqual([host.is_locked() for host in self.hosts], [False, True, False])
        self.expire_lock(self.hosts[1])
        ended = runner.wait()
        self.assertEqual(ended.status, 0, str(ended))
        self.assert_all_free()
        self.assertEqual(glob.glob(self.hosts[1].base("steal*")), [])

    def test_lost_lock(self):
        """who lost a lock touches that host no more"""
        self.deploy(self.package("1")[0])
        slow, _ = self.package("2", mode="gated", template=self.template(is_patient=True))
        runner = self.start("deploy", {"package": {"input": slow}})
        wait_for(lambda: self.starts() == ["1"] * 3 + ["2"], "the canary was started")
        lock = self.hosts[2].base("lock")
        os.unlink(lock)
        os.symlink(f"other-000001:{int(time.time()) + 1000}:elsewhere", lock)
        ended = runner.wait()
        self.assertEqual(ended.status, 1, str(ended))
        self.assertIn("web3: its lock was lost to deployment other-000001", ended.reason)
        self.assertEqual(self.currents(), self.deployments()[:1] * 3)
        self.assertTrue(self.hosts[2].is_locked())

    def test_host_key_changed(self):
        """a host with another key than the known one is not deployed to, nor is any other"""
        self.deploy(self.package("1")[0])
        known = self.hosts[1].sshd.path("known_hosts")
        with open(known, encoding="utf-8") as f:
            text = f.read()
        with open(self.hosts[0].sshd.path("host_ed25519.pub"), encoding="utf-8") as f:
            other = f.read().split()[1]
        with open(known, "w", encoding="utf-8") as f:
            f.write(" ".join([*text.split()[:2], other]) + "\n")
        try:
            ended = self.deploy(self.package("2")[0], wanted=1)
        finally:
            with open(known, "w", encoding="utf-8") as f:
                f.write(text)
        self.assertIn("web2", ended.reason)
        self.assertIn("changed", ended.reason)
        self.assertEqual(self.currents(), self.deployments()[:1] * 3)

    def test_no_key_accepted(self):
        """a host that takes none of our keys is named, and nothing is deployed"""
        path = self.path("strange_config")
        with open(self.engine.hosts.config, encoding="utf-8") as f, open(path, "w", encoding="utf-8") as strange:
            strange.write(f.read().replace("id_ed25519", "id_stranger"))
        ended = self.deploy(self.package("1")[0], wanted=1, environment={"sshConfig": path})
        self.assertIn("web1", ended.reason)
        self.assertIn("key", ended.reason)
        self.assertEqual(self.currents(), [None] * 3)

    def fail_on_full_disk(self, name):
        with open(self.hosts[1].path("full"), "w", encoding="ascii"):
            pass
        ended = self.deploy(name, wanted=1)
        os.unlink(self.hosts[1].path("full"))
        self.assertRegex(ended.reason, "web2: .*(No space left on device|it could not be (written|copied))")
        self.assertIn("nothing has changed", ended.reason)
        self.assert_all_free()

    def test_disk_full(self):
        """a disk that is full is told before anything is switched, and what was sent is taken away again"""
        self.fail_on_full_disk(self.package("1")[0])
        self.assertEqual(self.currents(), [None] * 3)
        self.assertEqual([host.releases() for host in self.hosts[:2]], [[], []])
        self.deploy("package-1")
        before = self.deployments()[-1]
        self.fail_on_full_disk(self.package("2")[0])  # whose bytes are there: they find no room for a second time
        self.assertEqual(self.currents(), [before] * 3)
        self.assertEqual([host.releases() for host in self.hosts], [[before]] * 3)

    def test_base_of_another(self):
        """what is no work of the engine is not replaced"""
        os.makedirs(self.hosts[0].base("current"))
        ended = self.deploy(self.package("1")[0], wanted=1)
        self.assertIn("is no symbolic link, so it is not the engine's", ended.reason)
        shutil.rmtree(self.hosts[0].base())
        self.deploy(self.package("1")[0])
        other = json.dumps({**json.loads(self.template()), "id": "other", "base": "~/greeter-staging"})
        ended = self.deploy(self.package("2", template=other)[0], wanted=1)
        self.assertIn("is the base of another app, 'greeter-staging'", ended.reason)


NASTY = "it's \"$(touch pwned)\" `touch pwned` \\ $HOME ;|&<>*?[a]{b,c}~!#\ttab\n  two lines"


class Commands(SshEngineCase):
    """The form without systemd, on a host that has busybox only."""

    def command_template(self, restart, **others):
        return json.dumps({
            "id": "greeter", "base": "~/greeter-staging", "root": "${root}", "restart": {"command": restart},
            "env": {"NASTY": "${nasty}"}, **others}).replace("${digest}", "")

    def deploy_commands(self, restart, wanted=0, **others):
        name, _ = self.package("1", template=self.command_template(restart, **others))
        return self.deploy(name, wanted, environment={"hosts": ["web3"], "variables": {"nasty": NASTY}})

    def test_values_do_not_break_out(self):
        """whatever is in a value or an argument, it arrives, and nothing of it is run"""
        self.deploy_commands(["sh", "-c", 'printf %s "$NASTY" >"$HOME/env"; printf %s "$1" >"$HOME/argument"; pwd >"$HOME/pwd"',
                              "sh", "${nasty}"],
                             health={"command": ["test", "-n", "${nasty}"]}, status={"command": ["true"]})
        host = self.hosts[2]
        self.assertEqual(host.read("env"), NASTY)
        self.assertEqual(host.read("argument"), NASTY)
        self.assertEqual(os.path.realpath(host.read("pwd").strip()), os.path.realpath(host.base("current", "root")))
        self.assertEqual([n for _, names, files in os.walk(host.home) for n in [*names, *files] if "pwned" in n], [])
        # As systemd and a shell read it.
        text = subprocess.run(["sh", "-c", '. "$0"; printf %s "$NASTY"', host.base("current", "env")], check=True,
                              capture_output=True, text=True).stdout
        self.assertEqual(text, NASTY)
        self.assertEqual(os.stat(host.base("current", "env")).st_mode & 0o777, 0o600)

    def test_signal(self):
        """a command that was ended by a signal is no success"""
        ended = self.deploy_commands(["sh", "-c", "echo ${nasty} >/dev/null; kill -9 $$".replace("${nasty}", "x"), "${nasty}"], wanted=1)
        self.assertIn("web3: restarting was ended by SIGKILL", ended.reason)

    def test_status_health_log_stop(self):
        """what the commands say decides, is told, and stopping is done when it is taken back"""
        ended = self.deploy_commands(
            ["true"], wanted=1, status={"command": ["sh", "-c", "echo gone; exit 3"]},
            log={"command": ["echo", "last words", "${nasty}"]}, stop={"command": ["touch", "../../../stopped"]})
        self.assertIn("web3: it does not run: gone", ended.reason)
        self.assertIn("last words it's", ended.log)
        self.assertTrue(os.path.exists(self.hosts[2].base("stopped")))
        ended = self.deploy_commands(
            ["true", "${nasty}"], wanted=1, health={"command": ["sh", "-c", "echo not me; exit 9"], "deadlineSeconds": 1})
        self.assertIn("its health command ended with exit status 9: not me", ended.reason)

    def test_program_of_the_image(self):
        """an absolute path that the release has is the release's"""
        ended = self.deploy_commands(["/app/service", "${nasty}"], wanted=1)
        self.assertIn("restarting ended with exit status 1", ended.reason)
        self.assertIn("IndexError", str(ended))


if __name__ == "__main__":
    harness.main()
