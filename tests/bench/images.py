# SPDX-License-Identifier: MIT
"""Rows of tests/bench/run: a tree of about 100 MB packaged and pushed to a docker-registry, by the action package,
by docker build + docker push and by buildah bud + buildah push. What is not installed is left out."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

MEGABYTES = 100
FILE_BYTES_MAX = 8_000_000
PLACES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/python3", "/usr/lib", "/usr/share", "/usr/bin")


def make_tree(directory):
    """Libraries, programs and texts of this machine: what images are made of. Returns its bytes."""
    total = 0
    for place in PLACES:
        for root, _, names in os.walk(place):
            target = os.path.join(directory, root.lstrip("/"))
            for name in sorted(names):
                path = os.path.join(root, name)
                if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > FILE_BYTES_MAX:
                    continue
                os.makedirs(target, exist_ok=True)
                shutil.copyfile(path, os.path.join(target, name))
                total += os.path.getsize(path)
                if total >= MEGABYTES * 1_000_000:
                    return total
    return total


class Setting:
    """The tree, a registry, and whoever packages it. A `cold` one has made nothing before, and neither has the
    registry; an `unchanged` one has made just this."""

    def __init__(self, bench):
        import containers  # needs tests/integration on the path
        self.bench = bench
        self.directory = bench.path("images")
        os.mkdir(self.directory)
        self.registry = containers.Registry(self.directory)
        self.tree = os.path.join(self.directory, "tree")
        self.bytes = make_tree(os.path.join(self.tree, "dist"))
        with open(os.path.join(self.tree, "Dockerfile"), "w", encoding="utf-8") as f:
            f.write("FROM scratch\nCOPY dist /app\n")
        self.daemon = None
        if shutil.which("dockerd") and shutil.which("docker") and os.geteuid() == 0:
            self.daemon = containers.Daemon(self.directory, storage=None)
            if not self.daemon.wait():
                self.daemon.stop()
                self.daemon = None
        self.agent = bench.harness.Agent(os.path.join(self.directory, "agent"), {
            "publish": {"image": {"registry": f"{self.registry.address}/ours"}}}).start()
        self.connection = self.agent.connect()
        self.checkout()

    def checkout(self):
        """A workspace with the tree in it: what the build has left."""
        repository = os.path.join(self.directory, "repository")
        commit = self.bench.harness.repository(repository, {"slipway.json": json.dumps(
            {"name": "tree", "package": {"files": [{"from": "dist", "to": "/app"}]},
             "build": {"command": ["cp", "-r", os.path.join(self.tree, "dist"), "."]}})})
        result = self.connection.call("build", {"source": {"git": repository, "commit": commit}}, run="images")
        assert result["status"] == "succeeded", result

    def forget_pushed(self):
        shutil.rmtree(os.path.join(self.directory, "registry"), ignore_errors=True)

    def ours(self, is_cold):
        if is_cold:
            self.forget_pushed()
            shutil.rmtree(os.path.join(self.agent.state, "cache/blobs"), ignore_errors=True)
            digests = os.path.join(self.agent.state, "runs/images/file-digests")
            if os.path.exists(digests):
                os.unlink(digests)
        begin = time.perf_counter()
        result = self.connection.call("package", run="images")
        seconds = time.perf_counter() - begin
        assert result["status"] == "succeeded" and result["outputs"]["reference"], result
        return seconds

    def docker(self, is_cold):
        if is_cold:
            self.forget_pushed()
        name = f"{self.registry.address}/docker/tree:1"
        begin = time.perf_counter()
        self.daemon.docker("build", *(["--no-cache"] if is_cold else []), "--tag", name, self.tree)
        self.daemon.docker("push", name)
        return time.perf_counter() - begin

    def buildah(self, is_cold):
        if is_cold:
            self.forget_pushed()
        storage = ["buildah", "--root", f"{self.directory}/storage", "--runroot", f"{self.directory}/runroot"]
        name = f"{self.registry.address}/buildah/tree:1"
        begin = time.perf_counter()
        subprocess.run([*storage, "bud", "--quiet", "--layers", *(["--no-cache"] if is_cold else []), "--tag", name,
                        self.tree], check=True, capture_output=True)
        subprocess.run([*storage, "push", "--quiet", "--tls-verify=false", name, f"docker://{name}"], check=True,
                       capture_output=True)
        return time.perf_counter() - begin

    def stop(self):
        self.connection.close()
        self.agent.stop()
        if self.daemon:
            self.daemon.stop()
        self.registry.stop()


def compare(bench, is_cold):
    """(ours, docker's or else buildah's, whose), in milliseconds; buildah beside docker is in the note."""
    if not shutil.which("docker-registry"):
        print("images: docker-registry is not installed", file=sys.stderr)
        return 0, None, ""
    if not hasattr(bench, "images"):
        bench.images = Setting(bench)
        bench.at_end.append(bench.images.stop)
    setting = bench.images
    theirs = {}
    runs = max(1, bench.args.runs // 2) if is_cold else bench.args.runs

    def median(function):
        if not is_cold:
            function(False)  # so that there is something to be unchanged
        return statistics.median(function(is_cold) for _ in range(runs)) * 1e3

    if setting.daemon:
        theirs["docker build + push"] = median(setting.docker)
    if shutil.which("buildah") and os.geteuid() == 0:
        theirs["buildah bud + push"] = median(setting.buildah)
    ours = median(setting.ours)
    what = next(iter(theirs), "")
    bench.note = "; ".join([f"{setting.bytes / 1e6:.0f} MB"] + [
        f"{name} {value:.0f} ms, ratio {ours / value:.2f}" for name, value in list(theirs.items())[1:]])
    return ours, theirs.get(what), what


def register(row):
    @row("image: package + push, cold", "ms", "≤ 1/3 of docker build + push")
    def cold(bench):
        return compare(bench, True)

    @row("image: package + push, unchanged", "ms", "≤ 100 ms")
    def unchanged(bench):
        return compare(bench, False)
