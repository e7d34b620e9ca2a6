# SPDX-License-Identifier: MIT
"""Steps of a repository and the agent's state: what a build must not reach, and what it has to.

For root alone, who can make a state directory where one belongs (elsewhere nothing is confined), and be somebody else.
"""
import os
import shutil
import subprocess
import tempfile
import unittest

import harness

NOBODY = 65534
PLACE = "/var/lib"

# Each line of the answer is "NAME yes" or "NAME no".
BUILD = """\
#!/bin/sh
state=$(cd ../../.. && pwd)
key=$state/keys/agent.key
shim=$(cut -d' ' -f4 /proc/$PPID/stat)
try() {
    name=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "$name yes"; else echo "$name no"; fi
}
try key cat "$key"
try key-moved sh -c "mv $key moved && mv moved $key"
try key-linked ln "$key" linked
try key-detached setsid --wait sh -c "(cat $key)"
try key-emptied truncate -s 0 "$key"
try audit-read cat "$state/audit/log"
try audit-write sh -c "echo x >>$state/audit/log"
try audit-moved sh -c "mv $state/audit/log log && mv log $state/audit/log"
try other-run cat "$state/runs/other/workspace/build.sh"
try other-run-write sh -c "echo x >>$state/runs/other/workspace/build.sh"
try other-run-make mkdir "$state/runs/other/workspace/new$$"
try own-note sh -c "echo x >>$state/runs/mine/source.json"
try calls sh -c "cat $state/calls/*/spec.json"
try input cat "$state/inputs/secret"
try mirror-write sh -c "echo x >>$(cat .git/objects/info/alternates)/../config"
try runner-environment cat "/proc/$PPID/environ"
try runner-memory sh -c ": </proc/$PPID/mem"
try shim-environment cat "/proc/$shim/environ"
try shim-files ls -L "/proc/$shim/fd/3"
try trace /usr/bin/python3 -c "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0x4206, $PPID, 0, 0))"
try mount unshare --mount mount -t tmpfs none /mnt

try workspace sh -c 'echo x >file && mv file file2 && mkdir -p sub && mv file2 sub/ && rm -r sub'
try temporary sh -c 'd=$(mktemp -d) && echo x >$d/x && mv $d/x ./from-tmp && rm -r $d'
try home sh -c 'mkdir -p $HOME/.cache/tool && echo x >$HOME/.cache/tool/x'
try etc cat /etc/passwd
try proc sh -c 'cat /proc/self/status && ls /proc/self/fd'
try devices sh -c ': </dev/null && : >/dev/null && head -c 1 /dev/urandom'
try git-log git log -1
try git-status git status
try git-commit git -c user.name=x -c user.email=x@x commit --allow-empty -m x
try names ls "$state"
try no-new-privileges grep 'NoNewPrivs:.*1' /proc/self/status

mkdir -p reports
ln -s "$key" reports/TEST-key.xml
exit 0
"""
DENIED = {
    "key", "key-moved", "key-linked", "key-emptied", "key-detached", "audit-read", "audit-write", "audit-moved",
    "other-run", "other-run-write", "other-run-make", "own-note", "calls", "input", "mirror-write",
    "runner-environment", "runner-memory", "shim-environment", "shim-files", "trace", "mount",
}
ALLOWED = {"workspace", "temporary", "home", "etc", "proc", "devices", "git-log", "git-status", "git-commit", "names"}
LINK = """\
#!/bin/sh
mkdir d && ln -s "$(cd ../../.. && pwd)/keys/agent.key" d/key
"""
# What gets at git: it does what it finds in the workspace when the next call moves it.
TRAP = """\
#!/bin/sh
state=$(cd ../../.. && pwd)
printf '[filter "trap"]\\n\\tsmudge = "cat %s/keys/agent.key >%s/stolen; cat"\\n' "$state" "$HOME" >>.git/config
mkdir -p .git/info
echo '* filter=trap' >.git/info/attributes
rm README
"""
# The same for whoever reads the log of what a step has left.
LOG_TRAP = """\
#!/bin/sh
state=$(cd ../../.. && pwd)
printf '#!/bin/sh\\ncat %s/keys/agent.key >%s/stolen 2>&1\\n' "$state" "$HOME" >gpg
chmod +x gpg
git config log.showSignature true
git config gpg.program "$PWD/gpg"
"""
SIGNER = """\
#!/bin/sh
cat >/dev/null
echo '[GNUPG:] SIG_CREATED ' >&2
printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nnone\\n-----END PGP SIGNATURE-----\\n'
"""


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Confinement(harness.Case):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.place = tempfile.mkdtemp(prefix="slipway-test-", dir=PLACE)
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)

    def start(self, user=None, **config):
        """An agent whose state is where it belongs, with something of everything in it."""
        home = os.path.join(self.directory, "home")
        os.makedirs(home, exist_ok=True)
        agent = harness.Agent(self.place, config, {"HOME": home, "TMPDIR": "/tmp"}, user=user)
        for name in ("audit/log", "inputs/secret"):
            path = os.path.join(agent.state, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write("something\n")
        if user is not None:
            for path in (home, self.place):
                subprocess.run(["chown", "-R", f"{user}:{user}", path], check=True)
        agent.start()
        self.addCleanup(self.end_agent, agent)
        harness.wait_for(lambda: os.path.exists(os.path.join(agent.state, "keys", "agent.key")), "the key is made")
        return agent

    def connect(self, agent):
        connection = agent.connect()
        self.addCleanup(connection.close)
        note = connection.request("health")["confinement"]
        if "kernel" in note:
            self.skipTest(note)
        return connection

    def source(self, files):
        path = os.path.join(self.directory, "origin")
        return {"source": {"git": path, "commit": harness.repository(path, files), "ref": "main"}}

    def look(self, connection):
        """What the build could do, by name."""
        recipe = '{"test": {"command": "true", "junit": ["reports/*.xml"]}}'
        source = self.source({"build.sh": BUILD, "slipway.json": recipe})
        self.assertEqual(connection.call("build", source, run="other")["status"], "succeeded", connection.log)
        result = connection.call("build", source, run="mine")
        self.assertEqual(result["status"], "succeeded", connection.log)
        words = [line.split() for line in connection.log.decode().splitlines()]
        return {line[0]: line[1] == "yes" for line in words if len(line) == 2 and line[1] in ("yes", "no")}

    def check(self, user, has_no_new_privileges, ignored=()):
        agent = self.start(user)
        connection = self.connect(agent)
        health = connection.request("health")
        self.assertEqual((health["confinement"], health["problems"]), ("landlock", []))
        found = self.look(connection)
        self.assertEqual(found.pop("no-new-privileges"), has_no_new_privileges)
        for name in ignored:
            del found[name]
        self.assertEqual({name for name, could in found.items() if could}, ALLOWED)
        self.assertEqual({name for name, could in found.items() if not could}, DENIED - set(ignored))
        # Neither does the runner, who may, take it out for them.
        connection.call("test", {}, run="mine")
        self.assertNotIn(b"PRIVATE", connection.log)
        recipe = '{"build": {"artifacts": [{"name": "d", "files": ["d/*"]}]}}'
        source = self.source({"build.sh": LINK, "slipway.json": recipe})
        result = connection.call("build", source, run="links")
        self.assertEqual((result["status"], result["artifacts"]), ("failed", []))
        self.assertIn("link that leads out", result["reason"])

    def test_as_root(self):
        # From Linux 6.13 on who may watch performance may read every environment; memory stays out of reach.
        self.check(None, False, {"runner-environment", "shim-environment"})

    def test_as_a_user(self):
        self.check(NOBODY, True)

    def test_git_does_not_fetch_it_for_them(self):
        """what a step writes into the workspace's git configuration is confined, too"""
        stolen = os.path.join(self.directory, "home", "stolen")
        for confine in (False, True):
            agent = self.start(confine=confine)
            connection = self.connect(agent)
            source = self.source({"build.sh": TRAP, "README": "x"})
            self.assertEqual(connection.call("build", source, run="r")["status"], "succeeded", connection.log)
            self.assertFalse(os.path.exists(stolen))
            connection.call("test", {**source, "clean": True}, run="r")
            with open(stolen, encoding="utf-8") as f: # the trap has sprung
                self.assertEqual("PRIVATE" in f.read(), not confine)
            os.unlink(stolen)
            self.end_agent(agent)
            shutil.rmtree(agent.state)

    def test_git_does_not_tell_it_in_the_changes(self):
        """a changes call reads the log of a workspace whose configuration checks signatures in its own way"""
        stolen = os.path.join(self.directory, "home", "stolen")
        origin = os.path.join(self.directory, "signed")
        signer = os.path.join(self.directory, "signer")
        with open(signer, "w", encoding="utf-8") as f:
            f.write(SIGNER)
        os.chmod(signer, 0o755)
        harness.repository(origin, {"build.sh": LOG_TRAP})
        harness.git(origin, "-c", f"gpg.program={signer}", "commit", "-q", "--allow-empty", "-S", "-m", "Signed")
        source = {"source": {"git": origin, "commit": harness.git(origin, "rev-parse", "HEAD"), "ref": "main"}}
        for confine in (False, True):
            agent = self.start(confine=confine, environments={"qa": {"engine": "local", "address": "unix:/nowhere"}})
            connection = self.connect(agent)
            self.assertEqual(connection.call("build", source, run="r")["status"], "succeeded", connection.log)
            result = connection.call("changes-qa", {}, run="r")
            self.assertEqual(result["status"], "succeeded", connection.log)
            with open(stolen, encoding="utf-8") as f: # the trap has sprung
                self.assertEqual("PRIVATE" in f.read(), not confine)
            os.unlink(stolen)
            self.end_agent(agent)
            shutil.rmtree(agent.state)

    def test_an_operator_may_let_them_in(self):
        """without it the same build reaches all of that: the other tests prove something"""
        connection = self.connect(self.start(confine=False))
        health = connection.request("health")
        self.assertEqual((health["confinement"], health["status"]), ("none: agent.json says so", "ok"))
        found = self.look(connection)
        could = {name for name, could in found.items() if could}
        # A container may forbid these two by itself.
        self.assertLessEqual(DENIED - {"mount", "trace"}, could)

    def test_where_it_cannot_be(self):
        """in /tmp nothing is confined; who asked for it is told"""
        agent = self.agent({"confine": True})
        connection = agent.connect()
        self.addCleanup(connection.close)
        health = connection.request("health")
        self.assertEqual(health["status"], "degraded")
        self.assertIn("steps are not kept out of the state directory", " ".join(health["problems"]))
        self.assertTrue(health["confinement"].startswith("none: "))


if __name__ == "__main__":
    harness.main()
