# SPDX-License-Identifier: MIT
"""Adding the 1,000th package to an apt repository: the action `package` beside what Debian has for it.

Each side makes a package and adds it, signed by the same key: ours is the whole action, image included; theirs is dpkg-deb
and then reprepro, or apt-ftparchive with its cache and gpg.
"""
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import time

COUNT = 999
CONF = "Codename: stable\nComponents: main\nArchitectures: amd64\nSignWith: bench@example.org\n"
CONTROL = ("Package: {}\nVersion: {}\nArchitecture: amd64\nMaintainer: B <b@example.org>\nInstalled-Size: 1\n"
           "Section: misc\nPriority: optional\nDescription: a package\n With some lines about it.\n .\n As packages have.\n")
RECIPE = ('{"name": "bench", "package": {"files": [{"from": "f", "to": "/f"}], "deb": {"architecture": "amd64", "maintainer": '
          '"B <b@example.org>", "description": "a package", "files": [{"from": "f", "to": "/usr/share/bench/f"}]}}}')


def tar_of(files):
    """A tar.gz of name → text."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def write_deb(path, name, version):
    with open(path, "wb") as f:
        f.write(b"!<arch>\n")
        for member, content in (("debian-binary", b"2.0\n"),
                                ("control.tar.gz", tar_of({"./control": CONTROL.format(name, version)})),
                                ("data.tar.gz", tar_of({"./usr/share/bench/f": version}))):
            f.write(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (member.encode(), 0, 0, 0, b"100644", len(content)))
            f.write(content + b"\n" * (len(content) % 2))


class AptBench:
    def __init__(self, directory, runner_case):
        self.directory, self.case = directory, runner_case
        self.home = os.path.join(directory, "gnupg")
        self.environment = {**os.environ, "GNUPGHOME": self.home}
        os.makedirs(self.home, 0o700)
        self.run("gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-generate-key",
                 "bench@example.org", "ed25519", "sign", "0")
        self.pool = os.path.join(directory, "debs")
        os.makedirs(self.pool)
        for i in range(COUNT):
            # A name for each: reprepro keeps one version.
            write_deb(os.path.join(self.pool, f"bench-{i}_0.{i}_amd64.deb"), f"bench-{i}", f"0.{i}")
        self.version = 0

    def run(self, *command, **others):
        return subprocess.run(command, check=True, capture_output=True, env=self.environment, **others).stdout

    def stop(self):
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False, env=self.environment)

    def sign(self, repository, release):
        self.run("gpg", "--batch", "--yes", "--local-user", "bench@example.org", "--clearsign", "--output",
                 repository + "/dists/stable/InRelease", release)

    def fresh_repository(self, name):
        """The 999 packages with the index that apt-ftparchive makes of them."""
        repository = os.path.join(self.directory, name)
        index = repository + "/dists/stable/main/binary-amd64"
        os.makedirs(index)
        shutil.copytree(self.pool, repository + "/pool")
        packages = self.run("apt-ftparchive", "--db", self.directory + "/" + name + ".db", "packages", "pool", cwd=repository)
        with open(index + "/Packages", "wb") as f:
            f.write(packages)
        with open(repository + "/dists/stable/Release", "w", encoding="utf-8") as f:
            f.write(f"Suite: stable\nSHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} "
                    "main/binary-amd64/Packages\n")
        self.sign(repository, f.name)
        return repository

    def next_version(self):
        self.version += 1
        return f"1.{self.version}"

    def ours(self):
        """A function that makes and adds one package, and returns the seconds."""
        import harness
        repository = self.fresh_repository("ours")
        origin = os.path.join(self.directory, "origin")
        publish = {"target": repository, "signKey": "bench@example.org", "gnupgHome": self.home}
        harness.repository(origin, {"slipway.json": RECIPE, "f": "0"})

        def add():
            version = self.next_version()
            commit = harness.commit(origin, {"f": version}, version)
            harness.git(origin, "tag", "v" + version)
            source = self.case.source(origin, commit, ref=f"refs/tags/v{version}")
            self.case.succeed("build", source)
            begin = time.perf_counter()
            self.case.succeed("package", source, publish={"deb": publish})
            return time.perf_counter() - begin
        return add

    def build(self, version):
        tree = os.path.join(self.directory, "tree")
        shutil.rmtree(tree, ignore_errors=True)
        os.makedirs(tree + "/DEBIAN")
        os.makedirs(tree + "/usr/share/bench")
        for name, text in (("DEBIAN/control", CONTROL.format("bench", version)), ("usr/share/bench/f", version)):
            with open(os.path.join(tree, name), "w", encoding="utf-8") as f:
                f.write(text)
        path = os.path.join(self.directory, f"bench_{version}_amd64.deb")
        begin = time.perf_counter()
        self.run("dpkg-deb", "--root-owner-group", "-b", tree, path)
        return path, begin

    def reprepro(self):
        base = os.path.join(self.directory, "reprepro")
        os.makedirs(base + "/conf")
        with open(base + "/conf/distributions", "w", encoding="utf-8") as f:
            f.write(CONF)
        self.run("reprepro", "-b", base, "includedeb", "stable", *sorted(
            os.path.join(self.pool, name) for name in os.listdir(self.pool)))

        def add():
            path, begin = self.build(self.next_version())
            self.run("reprepro", "-b", base, "includedeb", "stable", path)
            return time.perf_counter() - begin
        return add

    def ftparchive(self):
        repository = self.fresh_repository("ftparchive")
        database = self.directory + "/ftparchive.db"

        def add():
            path, begin = self.build(self.next_version())
            shutil.copy(path, repository + "/pool")
            suite = repository + "/dists/stable"
            with open(suite + "/main/binary-amd64/Packages", "wb") as f:
                f.write(self.run("apt-ftparchive", "--db", database, "packages", "pool", cwd=repository))
            self.run("gzip", "-kf", f.name)
            with open(suite + "/Release", "wb") as f:
                f.write(self.run("apt-ftparchive", "release", ".", cwd=suite))
            self.sign(repository, f.name)
            return time.perf_counter() - begin
        return add
