# SPDX-License-Identifier: MIT
"""slipway-run-package makes an rpm: what rpm, rpmlint, createrepo_c and dnf think of it."""
import http.server
import json
import os
import re
import shutil
import struct
import subprocess
import threading

import harness
import runner
from sshd import Sshd

UNIT = """[Unit]
Description=Says hello
[Service]
ExecStart=/usr/bin/greeter
[Install]
WantedBy=multi-user.target
"""
RECIPE = {
    "name": "greeter",
    "package": {
        "files": [{"from": "bin/greeter", "to": "/app/greeter"}],
        "rpm": {
            "summary": "A service that says hello", "description": "It says hello to whoever asks.\nLoudly.",
            "license": "MIT", "url": "https://greeter.example/", "vendor": "Example", "group": "Applications/Internet",
            "packager": "Robin <robin@greeter.example>", "release": "2", "epoch": 3, "compression": "gzip",
            "requires": ["libfoo >= 1.2-3", "bar < 2:4", {"relation": "shadow-utils", "when": ["pre", "postun"]}],
            "provides": ["hello = 1", "webservice"], "conflicts": ["old-greeter <= 1"], "obsoletes": ["greet < 2"],
            "recommends": ["fortune-mod"], "suggests": ["cowsay"],
            "files": [
                {"from": "bin/greeter", "to": "/usr/bin/greeter", "mode": "0755"},
                {"from": "etc/greeter.conf", "to": "/etc/greeter/greeter.conf", "mode": "0640"},
                {"from": "etc/motd", "to": "/etc/greeter/motd", "config": False},
                {"from": "share", "to": "/usr/share/greeter"},
                {"from": "README", "to": "/usr/share/doc/greeter/README", "doc": True},
                {"from": "LICENSE", "to": "/usr/share/licenses/greeter/LICENSE", "license": True},
                {"to": "/var/lib/greeter", "dir": True, "mode": "0750"},
                {"to": "/var/log/greeter.log", "ghost": True, "mode": "0640"},
            ],
            "scripts": {"pre": "rpm/pre.sh", "post": "rpm/post.sh", "preun": "rpm/preun.sh", "postun": "rpm/postun.sh"},
            "units": [{"from": "rpm/greeter.service"}, {"from": "rpm/greeter@.socket", "enable": True, "restart": False}],
            "changelog": [{"date": "2023-11-14", "author": "Robin <robin@greeter.example>", "version": "3:1.2.3-2",
                           "changes": ["Say it louder", "Say it twice"]},
                          {"date": "2023-01-02", "author": "Sam <sam@greeter.example>", "changes": ["Say it"]}],
        },
    },
}
SCRIPT = "#!/bin/sh\nset -e\necho {name} $1 >> /log\nexit 0\n"
FILES = {
    "bin/greeter": ("#!/bin/sh\necho hello\n", 0o755), "etc/greeter.conf": "loud = yes\n", "etc/motd": "hi\n",
    "share/deep/b.txt": "b\n", "share/a.txt": "a\n", "share/naïve ☃.txt": "snow\n", "README": "Read me.\n", "LICENSE": "MIT\n",
    "rpm/greeter.service": UNIT, "rpm/greeter@.socket": "[Socket]\nListenStream=1234\n",
    **{f"rpm/{name}.sh": SCRIPT.format(name=name) for name in ("pre", "post", "preun", "postun")},
    "slipway.json": json.dumps(RECIPE),
}


def recipe_with(**changes):
    """The files with other members of `package.rpm`; None takes one away."""
    rpm = {name: value for name, value in {**RECIPE["package"]["rpm"], **changes}.items() if value is not None}
    return {**FILES, "slipway.json": json.dumps({**RECIPE, "package": {**RECIPE["package"], "rpm": rpm}})}


def small(sources, **members):
    """A package of these files alone, or of what `files` name."""
    return {**sources, "slipway.json": json.dumps({"name": "small", "package": {
        "files": [{"from": name, "to": f"/app/{name}"} for name in sources],
        "rpm": {"summary": "Small", "license": "MIT", "version": "1", **members}}})}


class Rpm(runner.RunnerCase):
    def run_tool(self, *command, fails=False, **others):
        result = subprocess.run(command, capture_output=True, text=True, check=False, env={
            **os.environ, "HOME": self.directory, "LC_ALL": "C.UTF-8"}, **others)
        self.assertEqual(result.returncode != 0, fails, f"{command}\n{result.stdout}\n{result.stderr}")
        return result.stdout + result.stderr if fails else result.stdout

    def query(self, path, *arguments):
        return self.run_tool("rpm", "-qp", *arguments, path)

    def package(self, files=None, tag="v1.2.3", run="r1", name="origin", **others):
        """The path of the rpm of a repository with these files."""
        source = self.origin(files or FILES, name=name)
        if tag:
            harness.git(source["source"]["git"], "tag", tag)
        outcome = self.succeed("package", source, run=run, **others)
        self.outcome = outcome
        return outcome.artifact("rpm")

    def test_artifact_and_output(self):
        path = self.package()
        self.assertEqual(os.path.basename(path), "greeter-1.2.3-2.noarch.rpm")
        report = self.outcome.artifacts["rpm"]
        self.assertEqual(report["format"], "file")
        self.assertEqual(self.outcome.outputs["rpm"], {
            "file": report["file"], "name": "greeter", "version": "1.2.3", "release": "2", "architecture": "noarch",
            "sha256": report["sha256"], "size": report["size"]})
        self.assertEqual(report["size"], os.path.getsize(path))
        self.assertEqual(self.run_tool("sha256sum", path).split()[0], report["sha256"])
        self.assertEqual(sorted(os.listdir(os.path.dirname(path))), [report["file"], "package.tar.zst"])

    def test_what_it_is(self):
        path = self.package()
        told = self.query(path, "--queryformat", "\n".join(f"%{{{tag}}}" for tag in (
            "NAME", "EPOCH", "VERSION", "RELEASE", "ARCH", "OS", "SUMMARY", "DESCRIPTION", "LICENSE", "GROUP", "URL",
            "VENDOR", "PACKAGER", "BUILDTIME", "SOURCERPM", "PAYLOADCOMPRESSOR", "ENCODING")))
        self.assertEqual(told.splitlines(), [
            "greeter", "3", "1.2.3", "2", "noarch", "linux", "A service that says hello", "It says hello to whoever asks.",
            "Loudly.", "MIT", "Applications/Internet", "https://greeter.example/", "Example",
            "Robin <robin@greeter.example>", "1700000000", "greeter-1.2.3-2.src.rpm", "gzip", "utf-8"])
        self.assertIn("Name        : greeter", self.query(path, "-i"))
        self.assertEqual(self.query(path, "--changelog").splitlines()[:4], [
            "* Tue Nov 14 2023 Robin <robin@greeter.example> - 3:1.2.3-2", "- Say it louder", "- Say it twice", ""])

    def test_relations(self):
        path = self.package()
        self.assertEqual(self.query(path, "--requires").splitlines(), [
            "/bin/sh", "/bin/sh", "/bin/sh", "/bin/sh", "bar < 2:4", "config(greeter) = 3:1.2.3-2", "libfoo >= 1.2-3",
            "rpmlib(CompressedFileNames) <= 3.0.4-1", "rpmlib(FileDigests) <= 4.6.0-1",
            "rpmlib(PayloadFilesHavePrefix) <= 4.0-1", "shadow-utils"])
        self.assertEqual(self.query(path, "--provides").splitlines(), [
            "config(greeter) = 3:1.2.3-2", "greeter = 3:1.2.3-2", "hello = 1", "webservice"])
        for kind, wanted in (("conflicts", "old-greeter <= 1"), ("obsoletes", "greet < 2"), ("recommends", "fortune-mod"),
                             ("suggests", "cowsay")):
            self.assertEqual(self.query(path, f"--{kind}"), wanted + "\n")
        self.assertIn("shadow-utils pre,postun\n", self.query(
            path, "--queryformat", "[%{REQUIRENAME} %{REQUIREFLAGS:deptype}\n]"))
        self.assertIn("systemd post,preun,postun", self.query(
            path, "--queryformat", "[%{ORDERNAME} %{ORDERFLAGS:deptype}\n]"))

    def test_files(self):
        path = self.package()
        told = self.query(path, "--queryformat", "[%{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags} "
                                                 "%{FILESIZES} %{FILENAMES}\n]")
        self.assertEqual(told.splitlines(), [
            "40755 root:root  0 /etc/greeter", "100640 root:root cn 11 /etc/greeter/greeter.conf",
            "100644 root:root  3 /etc/greeter/motd", "100755 root:root  21 /usr/bin/greeter",
            "100644 root:root  104 /usr/lib/systemd/system/greeter.service",
            "100644 root:root  27 /usr/lib/systemd/system/greeter@.socket",
            "40755 root:root  0 /usr/share/doc/greeter", "100644 root:root d 9 /usr/share/doc/greeter/README",
            "40755 root:root  0 /usr/share/greeter", "100644 root:root  2 /usr/share/greeter/a.txt",
            "40755 root:root  0 /usr/share/greeter/deep", "100644 root:root  2 /usr/share/greeter/deep/b.txt",
            "100644 root:root  5 /usr/share/greeter/naïve ☃.txt", "40755 root:root  0 /usr/share/licenses/greeter",
            "100644 root:root l 4 /usr/share/licenses/greeter/LICENSE", "40750 root:root  0 /var/lib/greeter",
            "100640 root:root g 0 /var/log/greeter.log"])
        self.assertIn("/etc/greeter/greeter.conf\n", self.query(path, "-c"))
        self.assertEqual(self.query(path, "-d"), "/usr/share/doc/greeter/README\n")

    def test_compressions(self):
        for i, kind in enumerate(("gzip", "zstd", "xz")):
            path = self.package(recipe_with(compression=kind), name=f"o{i}", run=f"c{i}")
            self.assertIn("digests OK", self.run_tool("rpmkeys", "-K", path))
            with open(os.path.join(self.directory, f"{kind}.cpio"), "wb") as f:
                subprocess.run(["rpm2cpio", path], stdout=f, check=True)
            unpacked = os.path.join(self.directory, kind)
            os.mkdir(unpacked)
            with open(f.name, "rb") as f:
                subprocess.run(["cpio", "-id", "--quiet"], stdin=f, cwd=unpacked, check=True)
            with open(os.path.join(unpacked, "usr/share/greeter/naïve ☃.txt"), encoding="utf-8") as f:
                self.assertEqual(f.read(), "snow\n")
            self.assertFalse(os.path.exists(os.path.join(unpacked, "var/log/greeter.log")))
            self.assertEqual(f"rpmlib(PayloadIs{kind.capitalize()})" in self.query(path, "--requires"), kind != "gzip")

    def test_a_flipped_byte_is_found(self):
        path = self.package()
        told = self.run_tool("rpmkeys", "-Kv", path)
        for line in ("Header SHA256 digest: OK", "Header SHA1 digest: OK", "Payload SHA256 digest: OK"):
            self.assertIn(line, told)
        with open(path, "rb") as f:
            data = f.read()
        at = 96  # the lead; then two headers, the second at a multiple of eight
        for _ in range(2):
            index, size = struct.unpack(">II", data[(at + 7) // 8 * 8 + 8:][:8])
            at = (at + 7) // 8 * 8 + 16 + 16 * index + size
        payload = at
        for at, what in ((payload + 40, "Payload SHA256 digest: BAD"), (payload - 100, "Header SHA256 digest: BAD")):
            bad = os.path.join(self.directory, "bad.rpm")
            with open(bad, "wb") as f:
                f.write(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
            self.assertIn(what, self.run_tool("rpmkeys", "-Kv", bad, fails=True))

    def test_the_same_commit_gives_the_same_bytes(self):
        path = self.package()
        first = self.outcome.artifacts["rpm"]["sha256"]
        elsewhere = os.path.join(self.directory, "elsewhere", "clone.git")
        harness.git(self.directory, "clone", "-q", "--bare", os.path.join(self.directory, "origin"), elsewhere)
        commit = harness.git(elsewhere, "rev-parse", "HEAD").strip()
        second = self.succeed("package", self.source(elsewhere, commit), run="other", environment={"TZ": "Pacific/Auckland"},
                              wrapper=("sh", "-c", 'umask 077; exec "$0"'))
        self.assertEqual(second.artifacts["rpm"]["sha256"], first)
        self.assertEqual(os.path.basename(second.artifact("rpm")), os.path.basename(path))

    # ---- installed ----

    def root(self, name="root"):
        """A root with a shell and nothing else. Scriptlets run in it."""
        root = os.path.join(self.directory, name)
        for name in ("bin", "dev"):
            os.makedirs(os.path.join(root, name))
        with open(os.path.join(root, "dev/null"), "w", encoding="utf-8"):
            pass
        shutil.copy("/bin/busybox", os.path.join(root, "bin/busybox"))
        for applet in ("sh", "echo", "["):
            os.symlink("busybox", os.path.join(root, "bin", applet))
        return root

    def run_as_root(self, *command, fails=False):
        return self.run_tool(*([] if os.geteuid() == 0 else ["unshare", "-r"]), *command, fails=fails)

    def rpm(self, root, *arguments, fails=False):
        return self.run_as_root("rpm", "--root", root, "--dbpath", "/var/lib/rpm", *arguments, fails=fails)

    def log(self, root):
        with open(os.path.join(root, "log"), encoding="utf-8") as f:
            return f.read().split("\n")[:-1]

    def test_install_verify_upgrade_erase(self):
        root = self.root()
        first = self.package()
        second = self.package(recipe_with(release="3"), name="second", run="second")
        self.rpm(root, "-i", "--nodeps", first)
        self.assertEqual(self.log(root), ["pre 1", "post 1"])
        self.assertEqual(self.rpm(root, "-qa"), "greeter-1.2.3-2.noarch\n")
        conf = os.path.join(root, "etc/greeter/greeter.conf")
        self.assertEqual(os.stat(conf).st_mode & 0o777, 0o640)
        self.assertEqual(self.rpm(root, "-V", "--nodeps", "greeter"), "")
        with open(conf, "a", encoding="utf-8") as f:
            f.write("loud = no\n")
        self.assertIn("S.5....T.  c /etc/greeter/greeter.conf", self.rpm(root, "-V", "--nodeps", "greeter", fails=True))
        self.rpm(root, "-U", "--nodeps", second)
        self.assertEqual(self.log(root)[2:], ["pre 2", "post 2", "preun 1", "postun 1"])
        with open(conf, encoding="utf-8") as f:
            self.assertIn("loud = no", f.read())  # what the administrator changed
        self.rpm(root, "-U", "--nodeps", first, fails=True)
        self.rpm(root, "-e", "greeter")
        self.assertEqual(self.log(root)[6:], ["preun 0", "postun 0"])
        for gone in ("usr/share/greeter", "usr/bin/greeter", "var/lib/greeter", "usr/share/doc/greeter"):
            self.assertFalse(os.path.exists(os.path.join(root, gone)), gone)
        self.assertTrue(os.path.isdir(os.path.join(root, "usr/share")))

    def test_units(self):
        """As %systemd_post and its like: enabled once, restarted at an upgrade, stopped at the end."""
        root = self.root()
        fake = os.path.join(root, "bin/systemctl")
        with open(fake, "w", encoding="utf-8") as f:
            f.write('#!/bin/sh\necho systemctl "$@" >> /log\nexit 1\n')
        os.chmod(fake, 0o755)
        os.makedirs(os.path.join(root, "run/systemd/system"))
        first = self.package()
        second = self.package(recipe_with(release="3"), name="second", run="second")
        self.rpm(root, "-i", "--nodeps", first)
        self.rpm(root, "-U", "--nodeps", second)
        self.rpm(root, "-e", "greeter")
        self.assertEqual(self.log(root), [
            "pre 1", "post 1", "systemctl daemon-reload", "systemctl --no-reload preset greeter.service",
            "systemctl --no-reload enable greeter@.socket",
            "pre 2", "post 2", "systemctl daemon-reload", "preun 1", "postun 1", "systemctl daemon-reload",
            "systemctl try-restart greeter.service",
            "systemctl --no-reload disable greeter.service greeter@.socket", "systemctl stop greeter.service greeter@*.socket",
            "preun 0", "postun 0", "systemctl daemon-reload"])

    def test_a_program_and_rpmlint(self):
        """A package of a program, as rpmlint wants it; but for the signature, which it has where a key is."""
        files = recipe_with(
            obsoletes=None, scripts=None, units=[{"from": "rpm/greeter.service"}], license="MIT AND Apache-2.0", files=[
                {"from": "build/greeter", "to": "/usr/bin/"}, {"from": "etc/greeter.conf", "to": "/etc/"},
                {"from": "man/greeter.1.gz", "to": "/usr/share/man/man1/", "doc": True},
                {"from": "README", "to": "/usr/share/doc/greeter/", "doc": True}])
        source = self.origin({**files, "build.sh": ("#!/bin/sh\nmkdir -p build man\ncp /bin/true build/greeter\n"
                                                    "echo .TH GREETER 1 | gzip -n > man/greeter.1.gz\n", 0o755)})
        harness.git(source["source"]["git"], "tag", "v1.2.3")
        self.succeed("build", source)
        path = self.succeed("package", source).artifact("rpm")
        machine = {"aarch64": "aarch64", "ppc64le": "ppc64le"}.get(os.uname().machine, os.uname().machine)
        self.assertEqual(os.path.basename(path), f"greeter-1.2.3-2.{machine}.rpm")
        told = self.run_tool("rpmlint", path, fails=True)
        self.assertIn("E: no-signature", told)
        self.assertIn("1 packages and 0 specfiles checked; 1 errors", told)

    # ---- signed, and published ----

    def key(self, algorithm="rsa2048"):
        """A key without a passphrase, in a home of its own. Returns what agent.json says of it."""
        home = os.path.join("/tmp", "g" + os.path.basename(self.directory))  # the agent's socket needs a short path
        os.makedirs(home, mode=0o700, exist_ok=True)
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        self.addCleanup(subprocess.run, ["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        address = f"{algorithm}@greeter.example"
        self.run_tool("gpg", "--homedir", home, "--batch", "-q", "--passphrase", "", "--quick-gen-key", address, algorithm,
                      "sign", "never")
        self.public_key = os.path.join(self.directory, "key.asc")
        with open(self.public_key, "w", encoding="utf-8") as f:
            f.write(self.run_tool("gpg", "--homedir", home, "--armor", "--export", address))
        return {"signKey": address, "gnupgHome": home}

    def keyring(self, *public_keys):
        """An rpm database that knows these keys alone."""
        database = os.path.join(self.directory, f"keyring{len(os.listdir(self.directory))}")
        os.mkdir(database)
        for key in public_keys:
            self.run_tool("rpmkeys", "--dbpath", database, "--import", key)
        return database

    def test_signed(self):
        """By every kind of key: rpm takes it with the key, and without it says which is missing."""
        for i, algorithm in enumerate(("rsa2048", "ed25519")):
            key = self.key(algorithm)
            path = self.package(name=f"signed{i}", run=f"s{i}", publish={"rpm": key})
            self.assertNotIn("repository", self.outcome.outputs["rpm"])
            told = self.run_tool("rpmkeys", "--dbpath", self.keyring(self.public_key), "-Kv", path)
            self.assertRegex(told, r"Header V4 (RSA|EdDSA)/SHA[0-9]+ Signature, key ID [0-9a-f]+: OK")
            told = self.run_tool("rpmkeys", "--dbpath", self.keyring(), "-Kv", path, fails=True)
            self.assertIn("NOKEY", told)
            with open(path, "rb") as f:
                data = f.read()
            at = data.rindex(b"A service that says hello")
            bad = os.path.join(self.directory, "bad.rpm")
            with open(bad, "wb") as f:
                f.write(data[:at] + b"B" + data[at + 1:])
            self.assertIn("Signature, key ID", self.run_tool("rpmkeys", "--dbpath", self.keyring(self.public_key), "-Kv", bad,
                                                             fails=True))

    def test_a_key_that_is_not_there(self):
        key = {**self.key(), "signKey": "nobody@greeter.example"}
        outcome = self.fail_with("signing the rpm with 'nobody@greeter.example'", "package", self.origin(FILES),
                                 publish={"rpm": key})
        self.assertNotIn("rpm", outcome.artifacts)

    def installed(self, root):
        found = self.run_tool("find", root, "-name", "rpmdb.sqlite").splitlines()
        self.assertEqual(len(found), 1, found)
        told = self.run_tool("rpm", "--dbpath", os.path.dirname(found[0]), "-qa").split()
        return [name for name in told if not name.startswith("gpg-pubkey-")]

    def publish(self, version, publish, **others):
        outcome = self.run_published(version, publish, **others)
        self.assertEqual(outcome.code, 0, outcome.log.decode(errors="replace"))
        return outcome

    def run_published(self, version, publish, files=None):
        self.number = getattr(self, "number", 0) + 1
        name = f"p{self.number}"
        return self.run_action("package", self.origin(files or recipe_with(
            version=version, epoch=None, requires=None, provides=["/bin/sh"], scripts=None, recommends=None, suggests=None), name=name), run=name,
            publish={"rpm": publish})

    def dnf(self, repository, root, *arguments, fails=False, more=()):
        return self.run_as_root(
            "dnf", "-q", "-y", "--refresh", f"--installroot={root}", "--releasever=1", "--disableplugin=*",
            f"--repofrompath=greeter,{repository}", "--repoid=greeter", f"--setopt=cachedir={root}.cache",
            f"--setopt=reposdir={self.directory}/none", "--setopt=install_weak_deps=0", "--setopt=metadata_expire=0", *more,
            *arguments, fails=fails)
    def test_published(self):
        """Three versions, two kept: dnf finds and installs the newest, and an upgrade goes to the next."""
        repository = os.path.join(self.directory, "www", "${name}")
        publish = {"target": repository, "keep": 2, **self.key()}
        for version in ("1.9", "1.10", "1.11~rc1"):
            outcome = self.publish(version, publish)
        address = repository.replace("${name}", "greeter")
        self.assertEqual(outcome.outputs["rpm"]["repository"], address)
        self.assertEqual(sorted(os.listdir(address)), [".slipway-lock", ".slipway-retired", "Packages", "RPM-GPG-KEY",
                                                        "repodata"])
        self.assertIn("is in", outcome.log.decode())
        signed = (f"--setopt=greeter.gpgkey=file://{address}/RPM-GPG-KEY", "--setopt=greeter.gpgcheck=1",
                  "--setopt=greeter.repo_gpgcheck=1")
        root = self.root()
        told = self.dnf(address, root, "repoquery", "--show-duplicates", more=signed)
        self.assertEqual(told.split(), ["greeter-0:1.10-2.noarch", "greeter-0:1.11~rc1-2.noarch"])
        told = self.dnf(address, root, "repoquery", "--provides", "greeter", more=signed)
        self.assertIn("config(greeter) = 1.11~rc1-2", told)
        self.dnf(address, root, "install", "greeter-1.10", more=signed)
        self.assertEqual(self.installed(root), ["greeter-1.10-2.noarch"])
        self.publish("1.11", publish)
        self.dnf(address, root, "upgrade", more=signed)
        self.assertEqual(self.installed(root), ["greeter-1.11-2.noarch"])
        self.assertTrue(os.path.exists(os.path.join(root, "usr/bin/greeter")))

    def test_what_dnf_refuses(self):
        """A package or an index that somebody changed, and one that nobody signed."""
        address = os.path.join(self.directory, "www")
        key = self.key()
        self.publish("1", {"target": address, **key})
        checks = (f"--setopt=greeter.gpgkey=file://{address}/RPM-GPG-KEY", "--setopt=greeter.gpgcheck=1",
                  "--setopt=greeter.repo_gpgcheck=1")
        path = os.path.join(address, "Packages/greeter-1-2.noarch.rpm")
        with open(path, "rb") as f:
            data = f.read()
        for i, changed in enumerate((data[:-9] + b"x" + data[-8:], data)):
            with open(path, "wb") as f:
                f.write(changed)
            self.dnf(address, self.root(f"root{i}"), "install", "greeter", more=checks, fails=i == 0)
        index = os.path.join(address, "repodata/repomd.xml")
        with open(index, "a", encoding="utf-8") as f:
            f.write("\n<!-- changed -->\n")
        self.dnf(address, self.root("other"), "install", "greeter", more=checks, fails=True)
        # Nor is it signed again by the next publication.
        outcome = self.run_published("2", {"target": address, **key})
        self.assertEqual(outcome.code, 1)
        self.assertIn("its signature is not of our keyring", outcome.reason)
        os.remove(index + ".asc")
        self.assertIn("it is not signed", self.run_published("3", {"target": address, **key}).reason)
        unsigned = os.path.join(self.directory, "unsigned")
        self.publish("1", {"target": unsigned})
        self.dnf(unsigned, self.root("third"), "install", "greeter", more=checks[:2], fails=True)
        self.dnf(unsigned, self.root("fourth"), "install", "greeter", more=("--nogpgcheck",))

    def test_a_version_is_published_once(self):
        publish = {"target": os.path.join(self.directory, "www")}
        source = self.origin(recipe_with(version="1"))
        for run, words in (("a", "now"), ("b", "already")):
            outcome = self.succeed("package", source, run=run, publish={"rpm": publish})
            self.assertIn(f"is in '{publish['target']}' {words}", outcome.log.decode())
        outcome = self.run_published("1", publish, recipe_with(version="1", description="Another"))
        self.assertEqual(outcome.code, 1)
        self.assertIn("a version is published once", outcome.reason)

    def test_killed_while_publishing(self):
        """Wherever it is killed, readers see the repository as it was, and the next publication is whole."""
        address = os.path.join(self.directory, "www")
        self.publish("1", {"target": address})
        wrapper = os.path.join(self.directory, "bin")
        os.mkdir(wrapper)
        with open(os.path.join(wrapper, "createrepo_c"), "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nkill -9 $PPID\n")
        os.chmod(f.name, 0o755)
        files = recipe_with(version="2", epoch=None, requires=None, provides=["/bin/sh"], scripts=None)
        outcome = self.run_action("package", self.origin(files, name="killed"), run="killed", publish={"rpm": {"target": address}},
                                  environment={"PATH": f"{wrapper}:{os.environ['PATH']}"})
        self.assertEqual(outcome.code, -9)
        self.assertEqual(self.dnf(address, self.root(), "repoquery").split(), ["greeter-0:1-2.noarch"])
        self.publish("3", {"target": address})
        self.assertEqual(self.dnf(address, self.root("again"), "repoquery", "--show-duplicates").split(),
                         ["greeter-0:1-2.noarch", "greeter-0:3-2.noarch"])

    def test_no_createrepo(self):
        wrapper = os.path.join(self.directory, "bin")
        os.mkdir(wrapper)
        for name in ("git", "sh"):
            os.symlink(shutil.which(name), os.path.join(wrapper, name))
        outcome = self.run_action("package", self.origin(recipe_with(version="1")), environment={"PATH": wrapper},
                                  publish={"rpm": {"target": os.path.join(self.directory, "www")}})
        self.assertEqual(outcome.code, 1)
        self.assertIn("createrepo_c is not on this host", outcome.reason)
        self.assertIn("rpm", outcome.artifacts)  # it was made, and only not published

    def test_published_over_http(self):
        """To a server that takes PUT: what was there is not fetched again, but for its lists, and dnf installs from it."""
        top = os.path.join(self.directory, "www")
        os.mkdir(top)
        requests = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=top)

            def log_message(self, *_):
                requests.append(f"{self.command} {self.path}")

            def do_PUT(self):
                path = self.translate_path(self.path)
                if self.headers.get("If-None-Match") == "*" and os.path.exists(path):
                    self.send_error(412)
                    return
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as f:
                    f.write(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_DELETE(self):
                os.remove(self.translate_path(self.path))
                self.send_response(204)
                self.end_headers()

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/greeter"
        publish = {"target": address, "keep": 5}
        self.publish("1", publish)
        requests.clear()
        self.publish("2", publish)
        puts = [line for line in requests if line.startswith("PUT") and "lock" not in line]
        self.assertEqual(puts[-1], "PUT /greeter/repodata/repomd.xml")
        self.assertIn("PUT /greeter/Packages/greeter-2-2.noarch.rpm", puts)
        self.assertFalse([line for line in requests if "Packages/greeter-1" in line], requests)
        root = self.root()
        self.dnf(address, root, "install", "greeter", more=("--nogpgcheck",))
        self.assertEqual(self.installed(root), ["greeter-2-2.noarch"])

    def test_published_over_ssh(self):
        """By a real sshd: signed, two of three versions kept, and dnf installs from what is there then."""
        directory = os.path.join(self.directory, "sshd")
        os.mkdir(directory)
        sshd = Sshd(directory)
        self.addCleanup(sshd.stop)
        place = os.path.join(self.directory, "www", "greeter")
        publish = {"target": f"ssh://127.0.0.1:{sshd.port}{os.path.dirname(place)}/${{name}}", "keep": 2,
                   "sshConfigFile": sshd.path("ssh_config"), **self.key()}
        for version in ("1", "2", "3"):
            outcome = self.publish(version, publish)
        self.assertEqual(outcome.outputs["rpm"]["repository"], publish["target"].replace("${name}", "greeter"))
        root = self.root()
        signed = (f"--setopt=greeter.gpgkey=file://{place}/RPM-GPG-KEY", "--setopt=greeter.gpgcheck=1",
                  "--setopt=greeter.repo_gpgcheck=1")
        told = self.dnf(place, root, "repoquery", "--show-duplicates", more=signed)
        self.assertEqual(told.split(), ["greeter-0:2-2.noarch", "greeter-0:3-2.noarch"])
        self.dnf(place, root, "install", "greeter", more=signed)
        self.assertEqual(self.installed(root), ["greeter-3-2.noarch"])
        sshd.stop()
        outcome = self.run_published("4", publish)
        self.assertEqual(outcome.code, 1)
        self.assertIn(f"cannot lock 'ssh://127.0.0.1:{sshd.port}{place}'", outcome.reason)

    # ---- versions ----

    def test_rpm_sorts_versions_as_people_mean_them(self):
        """The list of tests/unit/rpm/test-rpm-version.c, put before rpm itself."""
        with open(os.path.join(harness.ROOT, "tests/unit/rpm/test-rpm-version.c"), encoding="utf-8") as f:
            text = f.read()
        versions = re.findall(r'"([^"]+)"', text[text.index("in_order[] = {"):].split("};")[0])
        self.assertGreater(len(versions), 15)
        pairs = [(a, b) for i, a in enumerate(versions) for b in versions[i + 1:]]
        script = "".join(f'print(rpm.vercmp("{a}", "{b}") .. "\\n") ' for a, b in pairs)
        self.assertEqual(self.run_tool("rpm", "--eval", "%{lua:" + script + "}").split(), ["-1"] * len(pairs))

    def test_a_version_from_the_commits_since(self):
        path = os.path.join(self.directory, "origin")
        harness.repository(path, FILES)
        harness.git(path, "tag", "v1.2.3-rc.1")
        commit = harness.commit(path, {"README": "Read on.\n"}, "Second")
        rpm = self.succeed("package", self.source(path, commit)).artifact("rpm")
        self.assertEqual(self.query(rpm, "--queryformat", "%{VERSION}"), f"1.2.3~rc.1^1.g{commit[:7]}")
        self.assertIn("rpmlib(CaretInVersions) <= 4.15.0-1", self.query(rpm, "--requires"))
        self.assertIn("rpmlib(TildeInVersions) <= 4.10.0-1", self.query(rpm, "--requires"))
        self.rpm(self.root(), "-i", "--nodeps", rpm)

    # ---- what is refused ----

    def refuse(self, reason, files, **others):
        self.count_of_refused = getattr(self, "count_of_refused", 0) + 1
        name = f"bad{self.count_of_refused}"
        source = self.origin(files, name=name)
        outcome = self.fail_with(reason, "package", source, run=name, **others)
        self.assertNotIn("rpm", outcome.artifacts)
        return outcome

    def test_mistakes_in_slipway_json(self):
        outcome = self.refuse("/package/rpm/name", recipe_with(
            name="grüße", version="1-2", release="", epoch=-1, arch="vax", summary="two\nlines", license=None, url="x",
            compression="bzip2", requires=["foo >> 1"], scripts={"pre": "/etc/passwd", "post": "../x"}, surprise=1,
            files=[{"from": "../a", "to": "/x"}, {"to": "relative"}, {"from": "a", "to": "/b/../../c"},
                   {"from": "a", "to": "/b", "mode": "99"}, {"from": "a", "to": "/b", "owner": "a:b"}, {"to": "/x"},
                   {"from": "a", "to": "/b", "dir": True}],
            units=[{"from": "greeter.conf"}], changelog=[{"date": "14.11.2023", "author": "x", "changes": []}]))
        for pointer in ("name", "version", "release", "epoch", "arch", "summary", "license", "url", "compression", "requires/0",
                        "scripts/pre", "scripts/post", "surprise", "files/0/from", "files/1/to", "files/2/to", "files/3/mode",
                        "files/4/owner", "files/5", "files/6", "units/0/from", "changelog/0/date", "changelog/0/changes"):
            where = pointer if pointer not in ("license", "surprise") else ""
            self.assertRegex(outcome.reason, rf"line [0-9]+: /package/rpm{'/' if where else ''}{where}\b.*", pointer)

    def test_a_missing_script_or_unit(self):
        self.refuse("/package/rpm/scripts/pre: cannot read 'gone.sh'", recipe_with(scripts={"pre": "gone.sh"}))
        self.refuse("/package/rpm/units/0/from: 'gone.service'", recipe_with(units=[{"from": "gone.service"}]))

    def test_a_tag_that_rpm_would_sort_wrongly(self):
        source = self.origin(FILES)
        for i, tag in enumerate(("v1.2.3-4", "nightly", "v1.2.3-foo")):
            harness.git(source["source"]["git"], "tag", tag)
            self.fail_with(f"/package/rpm/version: the tag '{tag}' makes no version", "package",
                           self.source(source["source"]["git"], source["source"]["commit"], ref=f"refs/tags/{tag}"), run=f"t{i}")

    def test_odd_files(self):
        """What cannot be in git is made by the build."""
        files = small({"a": "a"}, files=[{"from": "odd", "to": "/opt/odd"}])
        for i, (make, reason) in enumerate((
                ("mkfifo odd/pipe", "'odd/pipe' is a named pipe"),
                ("cp /bin/true odd/su; chmod 4755 odd/su", "'odd/su' is setuid"),
                ("touch \"$(printf 'odd/\\344')\"", "is not UTF-8"),
                ("truncate -s 5G odd/huge", "'odd/huge' has 4 GiB or more"),
                ("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"odd/s\")'", "'odd/s' is a socket"),
        )):
            source = self.origin({**files, "build.sh": (f"#!/bin/sh\nset -e\nmkdir odd\n{make}\n", 0o755)}, name=f"odd{i}")
            self.succeed("build", source, run=f"odd{i}")
            self.fail_with(reason, "package", source, run=f"odd{i}")

    def test_hard_links_sparse_files_and_links(self):
        """Kept: each name of a hard link has the content, a hole is zeros, a link says what it said."""
        files = small({"a": "a"}, files=[{"from": "odd", "to": "/opt/odd"}])
        source = self.origin({**files, "build.sh": (
            "#!/bin/sh\nset -e\nmkdir -p odd/empty\necho x > odd/one\nln odd/one odd/two\ntruncate -s 1M odd/sparse\n"
            "ln -s /nowhere odd/dangling\n", 0o755)})
        self.succeed("build", source)
        path = self.succeed("package", source).artifact("rpm")
        root = self.root()
        self.rpm(root, "-i", path)
        odd = os.path.join(root, "opt/odd")
        for name in ("one", "two"):
            with open(os.path.join(odd, name), encoding="utf-8") as f:
                self.assertEqual(f.read(), "x\n")
        self.assertEqual(os.path.getsize(os.path.join(odd, "sparse")), 1 << 20)
        self.assertEqual(os.readlink(os.path.join(odd, "dangling")), "/nowhere")
        self.assertTrue(os.path.isdir(os.path.join(odd, "empty")))
        self.assertLess(os.path.getsize(path), 20000)
        self.assertEqual(self.rpm(root, "-V", "small"), "")

    def test_setuid_and_capabilities_that_are_meant(self):
        path = self.package(small({"a": "a"}, files=[
            {"from": "a", "to": "/opt/a", "mode": "4755"},
            {"from": "a", "to": "/opt/b", "mode": "0755", "capabilities": "cap_net_bind_service=ep"}]), tag=None)
        self.assertEqual(self.query(path, "--queryformat", "[%{FILEMODES:perms} %{FILECAPS} %{FILENAMES}\n]"),
                         "-rwsr-xr-x  /opt/a\n-rwxr-xr-x cap_net_bind_service=ep /opt/b\n")
        self.assertIn("rpmlib(FileCaps) <= 4.6.1-1", self.query(path, "--requires"))
        self.assertIn("digests OK", self.run_tool("rpmkeys", "-K", path))


if __name__ == "__main__":
    harness.main()
