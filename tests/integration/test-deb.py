# SPDX-License-Identifier: MIT
"""The Debian package that slipway-run-package makes, and the apt repository that it goes to, with Debian's own tools."""
import fcntl
import gzip
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import harness
import runner
from sshd import Sshd

RECIPE = {
    "name": "greeter",
    "package": {
        "files": [{"from": "bin/greeter", "to": "/app/greeter", "mode": "0755"}],
        "deb": {
            "architecture": "all", "maintainer": "Team <team@example.org>",
            "description": "says hello\nIt does so to everybody.\n\n  verbatim",
            "homepage": "https://example.org/greeter", "section": "net", "recommends": ["curl (>= 7) | wget"],
            "files": [{"from": "bin/greeter", "to": "/usr/bin/greeter", "mode": "0755"},
                      {"from": "etc", "to": "/etc/greeter/"},
                      {"from": "share/**/*.txt", "to": "/usr/share/greeter", "owner": "root", "group": "mail"},
                      {"to": "/var/lib/greeter", "dir": True, "mode": "2750", "group": "mail"}],
            "scripts": {"postinst": "debian/postinst"}, "units": [{"from": "deploy/greeter.service"}],
        },
    },
}
UNIT = "[Unit]\nDescription=Greeter\n[Service]\nExecStart=/usr/bin/greeter\n[Install]\nWantedBy=multi-user.target\n"
FILES = {
    "bin/greeter": ("#!/bin/sh\necho hello\n", 0o644), "etc/greeter.conf": "x = 1\n", "share/é.txt": "a",
    "share/deep/" + "long" * 30 + ".txt": "b", "deploy/greeter.service": UNIT, "LICENSE": "MIT\n",
    "debian/postinst": ("#!/bin/sh\nset -e\necho \"own $1\"\nexit 0\n", 0o755), "slipway.json": json.dumps(RECIPE),
}


def text_of(*command, **others):
    return subprocess.run(command, check=True, capture_output=True, text=True, **others).stdout


class DebCase(runner.RunnerCase):
    def origin_at(self, version, recipe=None, files=None, name="origin"):
        """A repository whose commit has a tag. Returns the `source`."""
        files = {**FILES, **(files or {}), "slipway.json": json.dumps(recipe or RECIPE)}
        path = os.path.join(self.directory, name)
        return self.next_version(path, files, version)

    def next_version(self, path, files, version):
        commit = harness.repository(path, files)
        harness.git(path, "tag", "-f", version)
        return self.source(path, commit, ref=f"refs/tags/{version}")

    def package(self, source, publish=None, run="r1", **others):
        return self.succeed("package", source, run=run, **({"publish": {"deb": publish}} if publish else {}), **others)


class Deb(DebCase):
    def test_dpkg_reads_it(self):
        outcome = self.package(self.origin_at("v1.2.3"))
        deb = outcome.outputs["deb"]
        path = outcome.artifact("deb")
        self.assertEqual(os.path.basename(path), "greeter_1.2.3_all.deb")
        with open(path, "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), deb["sha256"])
        self.assertEqual(deb, {"file": "greeter_1.2.3_all.deb", "name": "greeter", "version": "1.2.3",
                               "architecture": "all", "sha256": deb["sha256"], "size": os.path.getsize(path)})
        self.assertEqual(sorted(os.listdir(os.path.dirname(path))), ["greeter_1.2.3_all.deb", "package.tar.zst"])
        control = text_of("dpkg-deb", "-f", path)
        self.assertEqual(control, (
            "Package: greeter\nVersion: 1.2.3\nArchitecture: all\nMaintainer: Team <team@example.org>\n"
            f"Installed-Size: {self.installed_size(path)}\nRecommends: curl (>= 7) | wget\nSection: net\n"
            "Priority: optional\nHomepage: https://example.org/greeter\n"
            "Description: says hello\n It does so to everybody.\n .\n   verbatim\n"))
        listing = [line.split() for line in text_of("dpkg-deb", "-c", path).splitlines()]
        found = {line[-1]: (line[0], line[1]) for line in listing}
        self.assertEqual(found["./"], ("drwxr-xr-x", "root/root"))
        self.assertEqual(found["./usr/bin/greeter"], ("-rwxr-xr-x", "root/root"))
        self.assertEqual(found["./usr/share/greeter/é.txt"], ("-rw-r--r--", "root/mail"))
        self.assertEqual(found["./var/lib/greeter/"], ("drwxr-s---", "root/mail"))
        self.assertIn("./usr/share/greeter/deep/" + "long" * 30 + ".txt", found)
        self.assertIn("./usr/lib/systemd/system/greeter.service", found)
        self.assertIn("./usr/share/doc/greeter/copyright", found)
        self.assertEqual(text_of("dpkg-deb", "-I", path, "conffiles"), "/etc/greeter/greeter.conf\n")
        changelog = gzip.decompress(subprocess.run(
            f"dpkg-deb --fsys-tarfile {path} | tar -xO ./usr/share/doc/greeter/changelog.gz", shell=True, check=True,
            capture_output=True).stdout).decode()
        self.assertTrue(changelog.startswith("greeter (1.2.3) unstable; urgency=medium\n"), changelog)
        self.assertIn("Tue, 14 Nov 2023 22:13:20 +0000", changelog)

    def installed_size(self, path):
        """As dpkg-gencontrol counts: a KiB begun is a KiB, and one for whatever is no file."""
        total = 0
        for line in text_of("dpkg-deb", "-c", path).splitlines():
            fields = line.split()
            total += (int(fields[2]) + 1023) // 1024 if fields[0].startswith("-") else 1
        return total - 1  # not for the root

    def unpack(self, path, name):
        """As `dpkg -i` into a root of its own; without root's rights as far as that goes."""
        root = os.path.join(self.directory, name)
        os.makedirs(os.path.join(root, "var/lib/dpkg/updates"), exist_ok=True)
        os.makedirs(os.path.join(root, "var/lib/dpkg/info"), exist_ok=True)
        open(os.path.join(root, "var/lib/dpkg/status"), "a", encoding="utf-8").close()
        log = text_of("dpkg", "--force-not-root", "--force-script-chrootless", "--force-bad-path", "--root=" + root,
                      "--log=/dev/null", "-i", path, env={**os.environ, "LC_ALL": "C.UTF-8"})
        return root, log

    def test_dpkg_installs_it(self):
        if os.geteuid() != 0:
            self.skipTest("dpkg needs root for owners")
        root, log = self.unpack(self.package(self.origin_at("v1.2.3")).artifact("deb"), "root")
        self.assertIn("own configure", log)
        self.assertEqual(text_of(os.path.join(root, "usr/bin/greeter")), "hello\n")
        self.assertEqual(text_of("dpkg", "--root=" + root, "--verify", "greeter"), "")  # md5sums
        with open(os.path.join(root, "etc/greeter/greeter.conf"), "w", encoding="utf-8") as f:
            f.write("mine")
        self.assertIn("c /etc/greeter/greeter.conf", text_of("dpkg", "--root=" + root, "--verify", "greeter"))
        # Upgraded: the administrator's file stays. Removed: so it does. Purged: all is gone.
        _, log = self.unpack(self.package(self.origin_at("v1.2.4"), run="r2").artifact("deb"), "root")
        self.assertIn("(1.2.4) over (1.2.3)", log)
        common = ["dpkg", "--force-not-root", "--force-script-chrootless", "--log=/dev/null", "--root=" + root]
        text_of(*common, "-r", "greeter")
        self.assertFalse(os.path.exists(os.path.join(root, "usr/bin/greeter")))
        with open(os.path.join(root, "etc/greeter/greeter.conf"), encoding="utf-8") as f:
            self.assertEqual(f.read(), "mine")
        text_of(*common, "-P", "greeter")
        self.assertFalse(os.path.exists(os.path.join(root, "etc/greeter")))

    def test_the_same_commit_gives_the_same_bytes(self):
        for compression, run in (("xz", "a"), ("gzip", "b"), ("zstd", "c")):
            recipe = json.loads(json.dumps(RECIPE))
            recipe["package"]["deb"]["compression"] = compression
            source = self.origin_at("v1.2.3", recipe, name="origin-" + run)
            first = self.package(source, run=run)
            wrapper = ("faketime", "2031-05-05 05:05:05", "sh", "-c", 'umask 077; exec "$0"')
            second = self.package(source, run=run + "2", wrapper=wrapper, environment={
                "TZ": "Pacific/Auckland", "LC_ALL": "C",
                "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"})
            self.assertEqual(first.outputs["deb"], second.outputs["deb"])
            suffix = {"xz": "xz", "gzip": "gz", "zstd": "zst"}[compression]
            self.assertEqual(text_of("ar", "t", first.artifact("deb")).split(),
                             ["debian-binary", "control.tar." + suffix, "data.tar." + suffix])
            text_of("dpkg-deb", "-x", first.artifact("deb"), os.path.join(self.directory, "x" + run))

    def test_scripts_run_by_a_shell(self):
        """What is generated is understood by sh, and does what it says where systemd is not, and where it is."""
        outcome = self.package(self.origin_at("v1.2.3"))
        control = os.path.join(self.directory, "control")
        text_of("dpkg-deb", "-e", outcome.artifact("deb"), control)
        for name in ("postinst", "prerm", "postrm"):
            path = os.path.join(control, name)
            text_of("sh", "-n", path)
            self.assertTrue(os.access(path, os.X_OK))
        # The programs that they call are ours here, found by PATH; the tests for systemd are turned around.
        bin_directory = os.path.join(self.directory, "bin")
        calls = os.path.join(self.directory, "calls")
        os.mkdir(bin_directory)
        for name in ("deb-systemd-helper", "deb-systemd-invoke", "systemctl"):
            with open(os.path.join(bin_directory, name), "w", encoding="utf-8") as f:
                f.write(f'#!/bin/sh\necho "{name} $*" >> {calls}\n')
            os.chmod(f.name, 0o755)

        def run_script(name, *arguments, is_running=True):
            open(calls, "w", encoding="utf-8").close()
            with open(os.path.join(control, name), encoding="utf-8") as f:
                script = f.read()
            script = script.replace("/run/systemd/system", "/" if is_running else "/nowhere")
            output = text_of("sh", "-c", script, name, *arguments, env={"PATH": bin_directory + ":" + os.environ["PATH"]})
            with open(calls, encoding="utf-8") as f:
                return output, f.read().splitlines()

        enable = ["deb-systemd-helper --quiet was-enabled greeter.service", "deb-systemd-helper enable greeter.service"]
        reload = ["systemctl --system daemon-reload"]
        self.assertEqual(run_script("postinst", "configure"), (
            "own configure\n", enable + reload + ["deb-systemd-invoke start greeter.service"]))
        self.assertEqual(run_script("postinst", "configure", "1.2.2"), (
            "own configure\n", enable + reload + ["deb-systemd-invoke restart greeter.service"]))
        self.assertEqual(run_script("postinst", "configure", is_running=False)[1], enable)
        self.assertEqual(run_script("postinst", "triggered")[1], [])
        self.assertEqual(run_script("prerm", "remove"), ("", ["deb-systemd-invoke stop greeter.service"]))
        self.assertEqual(run_script("prerm", "upgrade", "1.2.4"), ("", []))
        self.assertEqual(run_script("postrm", "remove"), ("", reload))
        self.assertEqual(run_script("postrm", "purge"), ("", ["deb-systemd-helper purge greeter.service"]))

    def test_versions_sort_as_dpkg_sorts(self):
        """Versions of one history, in the order in which they were made."""
        path = os.path.join(self.directory, "origin")
        versions = []

        def make(when, *tags):
            commit = harness.commit(path, {"share/a.txt": str(when)}, f"at {when}", when=1700000000 + when) \
                if os.path.exists(path) else harness.repository(path, FILES)
            for tag in tags:
                harness.git(path, "tag", tag)
            outcome = self.package(self.source(path, commit))
            versions.append(outcome.outputs["deb"]["version"])

        make(0)
        make(60)
        make(120, "v0.9.0-rc.1")
        make(180)
        make(240, "greeter-0.9.0")
        make(300)
        make(360, "0.10.0beta2")
        self.assertRegex(versions[0], r"^0~git20231114221320\.[0-9a-f]{7}$")
        self.assertEqual([v.rpartition(".g")[0] or v for v in versions[2:]],
                         ["0.9.0~rc.1", "0.9.0~rc.1+1", "0.9.0", "0.9.0+1", "0.10.0~beta2"])
        for earlier, later in zip(versions, versions[1:]):
            subprocess.run(["dpkg", "--compare-versions", earlier, "lt", later], check=True)

    def test_without_an_image(self):
        """Nothing is there of one: the deb, or with the rpm the first of them, is the release, and travels in the package."""
        recipe = {"name": "greeter", "package": {"deb": RECIPE["package"]["deb"]}}
        self.check_without_an_image(recipe, "deb", ["greeter_1.2.3_all.deb"])
        rpm = {"summary": "Greets", "license": "MIT", "arch": "noarch", "files": [{"from": "bin/greeter", "to": "/usr/bin/greeter"}]}
        self.check_without_an_image({"name": "greeter", "package": {"rpm": rpm}}, "rpm", ["greeter-1.2.3-1.noarch.rpm"])
        recipe["package"]["rpm"] = rpm
        outcome = self.check_without_an_image(recipe, "deb", ["greeter-1.2.3-1.noarch.rpm", "greeter_1.2.3_all.deb"])
        self.assertIn("rpm", outcome.outputs)

    def check_without_an_image(self, recipe, kind, names):
        self.count_of_origins = getattr(self, "count_of_origins", 0) + 1
        run = f"w{self.count_of_origins}"
        outcome = self.package(self.origin_at("v1.2.3", recipe, name=run), run=run)
        self.assertEqual(outcome.outputs["digest"], "sha256:" + outcome.outputs[kind]["sha256"])
        for name in ("imageSize", "layers", "reference"):
            self.assertNotIn(name, outcome.outputs)
        place = os.path.join(self.directory, run)
        listed = text_of("tar", "-tf", outcome.artifact("package")).split()
        self.assertEqual([name for name in listed if not name.endswith("/")], [*(f"packages/{n}" for n in names), "release.json"])
        release = json.loads(text_of("tar", "-xOf", outcome.artifact("package"), "release.json", cwd=place))
        self.assertEqual(release["digest"], outcome.outputs["digest"])
        self.assertEqual(release["package"], "packages/" + outcome.outputs[kind]["file"])
        content = subprocess.run(["tar", "-xOf", outcome.artifact("package"), release["package"]], check=True, capture_output=True)
        self.assertEqual("sha256:" + hashlib.sha256(content.stdout).hexdigest(), release["digest"])
        return outcome

    def test_the_sample_is_clean(self):
        """What lintian says of the greeter, where there is one; that it can be made, everywhere."""
        path = os.path.join(self.directory, "greeter")
        shutil.copytree(os.path.join(harness.ROOT, "tests/samples/greeter"), path)
        source = self.next_version(path, {}, "v1.2.3")
        self.succeed("build", source)
        deb = self.succeed("package", source).artifact("deb")
        self.assertEqual(text_of("dpkg-deb", "-I", deb, "conffiles"), "/etc/greeter/greeter.conf\n")
        if shutil.which("lintian"):
            told = subprocess.run(["lintian", "--no-cfg", "--allow-root", "--fail-on", "error,warning", deb], check=False,
                                  capture_output=True, text=True)
            self.assertEqual((told.returncode, told.stdout), (0, ""))

    def test_mistakes(self):
        def deb(**members):
            recipe = json.loads(json.dumps(RECIPE))
            recipe["package"]["deb"].update(members)
            return recipe

        rows = [
            ("/package/deb/depends/0: does not match", deb(depends=["libc6 >= 2"]), "v1"),
            ("/package/deb/scripts/postinst: '../gone' leads out", deb(scripts={"postinst": "../gone"}), "v1"),
            ("/package/deb/files/0: 'gone' matches nothing", deb(files=[{"from": "gone", "to": "/x"}]), "v1"),
            ("/package/deb/files/0: '/x' has no `from`, and is neither", deb(files=[{"to": "/x"}]), "v1"),
            ("/package/deb: the version 'latest' does not begin with a number", deb(), "latest"),
        ]
        for i, (reason, recipe, tag) in enumerate(rows):
            source = self.origin_at(tag, recipe, name=f"o{i}")
            spec = self.run_action("package", source, run=f"m{i}")
            self.assertEqual(spec.code, 1, (reason, spec.log))
            self.assertIn(reason, spec.reason)
            self.assertNotIn("deb", spec.artifacts)


class Repository(DebCase):
    def setUp(self):
        super().setUp()
        self.home = os.path.join(self.directory, "gnupg")
        os.mkdir(self.home, 0o700)
        self.gpg("--quick-generate-key", "Repository <repository@example.org>", "ed25519", "sign", "0")
        self.addCleanup(self.end_agent)
        self.repository = os.path.join(self.directory, "apt", "greeter")
        self.publish = {"target": os.path.join(self.directory, "apt", "${name}"), "signKey": "repository@example.org",
                        "gnupgHome": self.home, "origin": "Example", "label": "Greeter"}

    def gpg(self, *arguments):
        return text_of("gpg", "--homedir", self.home, "--batch", "--quiet", "--pinentry-mode", "loopback",
                       "--passphrase", "", *arguments)

    def end_agent(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "gpg-agent"], check=False, capture_output=True)

    def apt(self, *arguments, check=True, uri=None):
        """apt-get with nothing of this host's: its own lists, cache, sources and dpkg."""
        root = os.path.join(self.directory, "client")
        for name in ("lists/partial", "cache/archives/partial", "dpkg/updates", "dpkg/info", "etc"):
            os.makedirs(os.path.join(root, name), exist_ok=True)
        open(os.path.join(root, "dpkg/status"), "a", encoding="utf-8").close()
        with open(os.path.join(root, "sources.list"), "w", encoding="utf-8") as f:
            f.write(f"deb [signed-by={self.repository}/archive-key.asc] {uri or 'file:' + self.repository} stable main\n")
        options = {
            "Dir::State::lists": root + "/lists", "Dir::State::status": root + "/dpkg/status",
            "Dir::Cache": root + "/cache", "Dir::Etc::sourcelist": root + "/sources.list",
            "Dir::Etc::sourceparts": "-", "Dir::Etc::preferencesparts": "-", "Dir::Etc::trustedparts": "-",
            "Dir::Etc::trusted": "-", "Acquire::Languages": "none", "APT::Sandbox::User": "", "Debug::NoLocking": "1",
            "APT::Get::Assume-Yes": "1", "pkgCacheGen::Essential": "none",
        }
        return subprocess.run(["apt-get", *(f"-o{k}={v}" for k, v in options.items()), *arguments], check=check,
                              capture_output=True, text=True, cwd=root, env={**os.environ, "LC_ALL": "C.UTF-8"})

    def files(self):
        found = {}
        for root, _, names in os.walk(self.repository):
            for name in names:
                path = os.path.join(root, name)
                with open(path, "rb") as f:
                    found[os.path.relpath(path, self.repository)] = f.read()
        return found

    def test_apt_takes_it(self):
        outcome = self.package(self.origin_at("v1.2.3"), self.publish)
        self.assertEqual(outcome.outputs["deb"]["repository"], self.repository)
        update = self.apt("update")
        self.assertNotRegex(update.stdout + update.stderr, r"(?m)^[WEN]:")
        self.assertIn("Inst greeter (1.2.3 Greeter:stable [all])", self.apt("install", "-s", "greeter").stdout)
        self.apt("download", "greeter")
        with open(os.path.join(self.directory, "client/greeter_1.2.3_all.deb"), "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), outcome.outputs["deb"]["sha256"])
        self.package(self.origin_at("v1.3.0"), self.publish, run="r2")
        self.apt("update")
        self.assertIn("Inst greeter (1.3.0 ", self.apt("install", "-s", "greeter").stdout)
        self.assertIn("Inst greeter (1.2.3 ", self.apt("install", "-s", "greeter=1.2.3").stdout)

    def test_several_architectures(self):
        for i, architecture in enumerate(("amd64", "arm64", "all", "amd64")):
            recipe = json.loads(json.dumps(RECIPE))
            recipe["package"]["deb"]["architecture"] = architecture
            self.package(self.origin_at(f"v1.{i}", recipe), self.publish, run=f"r{i}")
        for i, architecture in enumerate(("amd64", "arm64", "all", "amd64")):
            client = "-oAPT::Architecture=" + ("arm64" if architecture == "arm64" else "amd64")
            update = self.apt(client, "update")
            self.assertNotRegex(update.stdout + update.stderr, r"(?m)^[WEN]:")
            simulated = self.apt(client, "install", "-s", f"greeter=1.{i}").stdout
            self.assertIn(f"Inst greeter (1.{i} Greeter:stable [{architecture}])", simulated)
        with open(self.repository + "/dists/stable/Release", encoding="utf-8") as f:
            release = f.read()
        self.assertIn("\nArchitectures: all amd64 arm64\nComponents: main\n", release)
        self.assertIn("\nAcquire-By-Hash: yes\n", release)

    def test_tampering_is_refused(self):
        self.package(self.origin_at("v1.2.3"), self.publish)
        in_release = self.repository + "/dists/stable/InRelease"
        with open(in_release, encoding="utf-8") as f:
            good = f.read()
        with open(in_release, "w", encoding="utf-8") as f:
            f.write(good.replace("Label: Greeter", "Label: Gretter"))
        refused = self.apt("update", check=False)
        self.assertIn("BADSIG", refused.stdout + refused.stderr)
        # Nor do we put our signature under what we have not signed.
        outcome = self.fail_with("its signature is not of our keyring", "package", self.origin_at("v1.2.4"), run="r2",
                                 publish={"deb": self.publish})
        self.assertNotIn("deb", outcome.outputs)
        with open(in_release, "w", encoding="utf-8") as f:
            f.write(good)
        with open(self.repository + "/pool/main/g/greeter/greeter_1.2.3_all.deb", "r+b") as f:
            f.seek(200)
            f.write(b"x")
        self.apt("update")
        refused = self.apt("download", "greeter", check=False)
        self.assertRegex(refused.stderr, "(?i)hash sum mismatch|does not match")
        for root, _, names in os.walk(self.repository):
            for name in names:
                if root.endswith("by-hash/SHA256") or name.startswith("Packages"):
                    with open(os.path.join(root, name), "ab") as f:
                        f.write(b"\n")
        self.fail_with("is not what its InRelease says", "package", self.origin_at("v1.2.5"), run="r3",
                       publish={"deb": self.publish})

    def test_a_version_is_published_once(self):
        source = self.origin_at("v1.2.3")
        self.package(source, self.publish)
        before = self.files()
        outcome = self.package(source, self.publish, run="r2")
        self.assertIn(b"in '" + self.repository.encode() + b"' already", outcome.log)
        self.assertEqual(self.files(), {**before, ".slipway-lock": self.files()[".slipway-lock"]})
        self.fail_with("greeter 1.2.3 (all) is in '" + self.repository + "' already, with other bytes", "package",
                       self.origin_at("v1.2.3", files={"share/é.txt": "other"}), run="r3", publish={"deb": self.publish})
        self.assertEqual(self.files(), {**before, ".slipway-lock": self.files()[".slipway-lock"]})

    def test_keep_and_validity(self):
        publish = {**self.publish, "keep": 2, "validDays": 10}
        for i in range(4):
            self.package(self.origin_at(f"v1.{i}"), publish, run=f"r{i}")
        packages = self.files()["dists/stable/main/binary-all/Packages"].decode()
        self.assertEqual([line for line in packages.splitlines() if line.startswith("Version")],
                         ["Version: 1.2", "Version: 1.3"])
        self.assertRegex(self.files()["dists/stable/InRelease"].decode(), r"\nValid-Until: [A-Z][a-z]{2}, .* UTC\n")
        # What nobody names any more stays for a day. Then it goes, when somebody publishes.
        listed = json.loads(self.files()[".slipway-retired"])
        self.assertIn("pool/main/g/greeter/greeter_1.0_all.deb", [f["name"] for f in listed])
        self.assertIn("pool/main/g/greeter/greeter_1.0_all.deb", self.files())
        for entry in listed:
            entry["since"] = "2020-01-01T00:00:00.000000Z"
        with open(self.repository + "/.slipway-retired", "w", encoding="utf-8") as f:
            json.dump(listed, f)
        self.package(self.origin_at("v1.4"), publish, run="r9")
        self.assertNotIn("pool/main/g/greeter/greeter_1.0_all.deb", self.files())
        self.assertIn("pool/main/g/greeter/greeter_1.4_all.deb", self.files())
        self.apt("update")
        self.assertIn("Inst greeter (1.3 ", self.apt("install", "-s", "greeter=1.3").stdout)

    def test_lock(self):
        os.makedirs(self.repository)
        lock = os.open(self.repository + "/.slipway-lock", os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, lock)
        os.write(lock, b"call c77 (process 1 on elsewhere)\n2026-11-25T00:00:00.000000Z\n")
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.fail_with("call c77 (process 1 on elsewhere) has been publishing to", "package", self.origin_at("v1"),
                       publish={"deb": {**self.publish, "waitSeconds": 0.2}})

    def test_killed_anywhere(self):
        """kill -9 again and again, then once more to the end; a reader is never shown half of it."""
        self.package(self.origin_at("v1.0"), self.publish)
        self.apt("update")
        moments = random.Random(7)
        source = self.origin_at("v1.1")
        self.package(source, run="warm")  # so that all of its time is publishing
        whole = time.monotonic()
        self.package(source, {**self.publish, "target": self.directory + "/elsewhere"}, run="warm")
        whole = time.monotonic() - whole
        for _ in range(8):
            self.run_and_kill(source, moments.uniform(0, whole * 1.1))
            self.apt("update")
            policy = self.apt("install", "-s", "greeter").stdout
            self.assertRegex(policy, r"Inst greeter \(1\.[01] ")
        self.apt("download", "greeter")
        self.package(source, self.publish, run="warm")
        self.apt("update")
        self.assertIn("Inst greeter (1.1 ", self.apt("install", "-s", "greeter").stdout)
        packages = self.files()["dists/stable/main/binary-all/Packages"].decode()
        self.assertEqual(packages.count("Package: greeter\n"), 2)

    def run_and_kill(self, source, seconds):
        spec = self.spec("package", source, run="warm", publish={"deb": self.publish})
        path = os.path.join(self.directory, "spec.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(spec, f)
        with open(path, "rb") as stdin, open(os.devnull, "wb") as sink:
            pid = os.posix_spawn(harness.program("slipway-run-package"), ["run"], self.environment_of(), setpgroup=0,
                                 file_actions=[(os.POSIX_SPAWN_DUP2, stdin.fileno(), 0),
                                               (os.POSIX_SPAWN_DUP2, sink.fileno(), 1),
                                               (os.POSIX_SPAWN_DUP2, sink.fileno(), 2),
                                               (os.POSIX_SPAWN_DUP2, sink.fileno(), 3)])
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def test_without_a_key(self):
        self.fail_with("gpg cannot sign", "package", self.origin_at("v1"),
                       publish={"deb": {**self.publish, "signKey": "nobody@example.org"}})
        self.assertEqual([name for name in self.files() if "pool" in name or "dists" in name], [])

    def test_http(self):
        server = WebServer(os.path.join(self.directory, "web"))
        self.addCleanup(server.stop)
        secret = os.path.join(self.directory, "authorization")
        with open(secret, "w", encoding="utf-8") as f:
            f.write("Bearer abc\n")
        publish = {**self.publish, "target": server.address + "/apt/${name}", "authorizationFile": secret}
        self.package(self.origin_at("v1.2.3+x"), publish)
        server.fail_next = 2  # what passes is tried again
        self.package(self.origin_at("v1.2.4"), publish, run="r2")
        self.assertEqual(server.fail_next, 0)
        self.repository = os.path.join(server.root, "apt", "greeter")
        self.assertNotIn(".slipway-lock", self.files())
        self.apt("update", uri=server.address + "/apt/greeter")
        self.assertIn("Inst greeter (1.2.4 ", self.apt("install", "-s", "greeter", uri=server.address + "/apt/greeter").stdout)
        self.apt("download", "greeter=1.2.3+x", uri=server.address + "/apt/greeter")
        with open(secret, "w", encoding="utf-8") as f:
            f.write("Bearer wrong\n")
        self.fail_with("answered GET with status 401: it wants another authorization", "package",
                       self.origin_at("v1.2.5"), run="r3", publish={"deb": publish})

    # ---- over ssh ----

    def start_sshd(self):
        """A real sshd; from now on `publish` goes to the repository by it."""
        directory = os.path.join(self.directory, "sshd")
        os.mkdir(directory)
        sshd = Sshd(directory)
        self.addCleanup(sshd.stop)
        self.publish = {**self.publish, "sshConfigFile": sshd.path("ssh_config"),
                        "target": f"ssh://127.0.0.1:{sshd.port}{self.directory}/apt/${{name}}"}
        return sshd

    def simulated(self, what="greeter"):
        update = self.apt("update")
        self.assertNotRegex(update.stdout + update.stderr, r"(?m)^[WEN]:")
        return self.apt("install", "-s", what).stdout

    def test_ssh(self):
        sshd = self.start_sshd()
        outcome = self.package(self.origin_at("v1.2.3+x"), self.publish)
        address = self.publish["target"].replace("${name}", "greeter")
        self.assertEqual(outcome.outputs["deb"]["repository"], address)
        self.package(self.origin_at("v1.2.4"), self.publish, run="r2")
        self.assertIn("Inst greeter (1.2.4 ", self.simulated())
        self.apt("download", "greeter=1.2.3+x")
        names = list(self.files())
        self.assertEqual([name for name in names if "slipway-" in os.path.basename(name) and "retired" not in name], [])
        self.assertEqual(len([name for name in names if name.startswith(".slipway-lock.d/")]), 1, names)
        source = self.origin_at("v1.2.5")
        self.fail_with("is in '" + address + "' already, with other bytes", "package",
                       self.origin_at("v1.2.4", files={"share/é.txt": "other"}, name="other"), run="r3",
                       publish={"deb": self.publish})
        # Another host than the one that is known.
        with open(sshd.path("known_hosts"), "w", encoding="utf-8") as known, \
                open(sshd.path("id_stranger.pub"), encoding="utf-8") as key:
            known.write(f"[127.0.0.1]:{sshd.port} {key.read()}")
        before = self.files()
        self.fail_with(f"cannot lock '{address}': ", "package", source, run="r4", publish={"deb": self.publish})
        self.assertEqual(self.files(), before)

    def test_ssh_killed_and_cut(self):
        """kill -9 here and there, and cuts; readers are never shown half of it, and it comes to its end."""
        sshd = self.start_sshd()
        self.package(self.origin_at("v1.0"), self.publish)
        moments = random.Random(11)
        source = self.origin_at("v1.1")
        self.package(source, run="warm")
        whole = time.monotonic()
        self.package(source, {**self.publish, "target": self.publish["target"] + "-other"}, run="warm")
        whole = time.monotonic() - whole
        for _ in range(5):
            self.run_and_kill(source, moments.uniform(whole * 0.2, whole))
            self.assertRegex(self.simulated(), r"Inst greeter \(1\.[01] ")
        cuts = self.cut_while(sshd, lambda: self.package(source, self.publish, run="warm"))
        self.assertGreater(cuts, 0)
        self.assertIn("Inst greeter (1.1 ", self.simulated())
        packages = self.files()["dists/stable/main/binary-all/Packages"].decode()
        self.assertEqual(packages.count("Package: greeter\n"), 2)
        self.package(self.origin_at("v1.2"), self.publish, run="after")
        self.assertIn("Inst greeter (1.2 ", self.simulated())

    def cut_while(self, sshd, work):
        """Ends three connections while it works. Returns how many it were."""
        is_over = threading.Event()
        ended = set()

        def cut():
            while len(ended) < 3 and not is_over.wait(0.05):
                for pid in set(sshd.sessions()) - ended:
                    try:
                        os.kill(pid, signal.SIGKILL)
                        ended.add(pid)
                    except ProcessLookupError:
                        pass

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            work()
        finally:
            is_over.set()
            thread.join()
        return len(ended)


class WebServer:
    """A file server that takes PUT, DELETE and MKCOL, as nginx does with its dav module."""

    def __init__(self, root):
        self.root = root
        self.fail_next = 0
        os.makedirs(root)
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=root)

            def log_message(self, *arguments):
                pass

            def is_allowed(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length)
                if outer.fail_next and self.command == "PUT":
                    outer.fail_next -= 1
                    self.answer(503)
                    return False
                if self.headers.get("Authorization") not in ("Bearer abc", None):
                    self.answer(401)
                    return False
                return True

            def answer(self, status):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):
                if self.is_allowed():
                    super().do_GET()

            def do_PUT(self):
                if not self.is_allowed():
                    return
                path = self.translate_path(self.path)
                if not os.path.isdir(os.path.dirname(path)):
                    self.answer(409)
                elif self.headers.get("If-None-Match") == "*" and os.path.exists(path):
                    self.answer(412)
                else:
                    with open(path + ".tmp", "wb") as f:
                        f.write(self.body)
                    os.rename(path + ".tmp", path)
                    self.answer(201)

            def do_MKCOL(self):
                if self.is_allowed():
                    path = self.translate_path(self.path)
                    exists = os.path.isdir(path)
                    os.makedirs(path, exist_ok=True)
                    self.answer(405 if exists else 201)

            def do_DELETE(self):
                if self.is_allowed():
                    path = self.translate_path(self.path)
                    exists = os.path.exists(path)
                    if exists:
                        os.remove(path)
                    self.answer(204 if exists else 404)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = "http://127.0.0.1:%d" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


if __name__ == "__main__":
    harness.main()
