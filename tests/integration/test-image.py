# SPDX-License-Identifier: MIT
"""Images, and every tool that users have: docker (a daemon of our own), skopeo, buildah, umoci, docker-registry."""
import json
import os
import shutil
import subprocess
import unittest
import urllib.request

import harness
import runner
from containers import Daemon, Registry

# A program that needs nothing: the image has no base.
PROGRAM = b"""
static long call(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
void _start(void)
{
    call(1, 1, (long)"hello from the image\\n", 21);
    call(60, 0, 0, 0);
}
"""


def need(program):
    if not shutil.which(program):
        raise unittest.SkipTest(f"{program} is not installed")


def compile_program(path):
    subprocess.run(["cc", "-static", "-nostdlib", "-ffreestanding", "-O1", "-fno-stack-protector", "-x", "c", "-",
                    "-o", path], input=PROGRAM, check=True)


@unittest.skipIf(os.uname().machine != "x86_64", "the program in the images is one for x86_64")
class Image(runner.RunnerCase):
    def make(self, package, name="hello", run="r1", others=None, **more):
        """Packages a repository with the program in it. Returns the outcome."""
        path = os.path.join(self.directory, f"origin-{name}-{run}")
        os.mkdir(path)
        compile_program(os.path.join(path, "hello"))
        with open(os.path.join(path, "hello"), "rb") as f:
            program = f.read()
        shutil.rmtree(path)
        source = self.origin({"hello": (program, 0o755), "slipway.json": json.dumps({"name": name, "package": package}),
                              **(others or {})}, name=f"origin-{name}-{run}")
        return self.succeed("package", source, run=run, **more)

    def layout(self, outcome, name="unpacked"):
        directory = os.path.join(self.directory, name)
        os.mkdir(directory)
        subprocess.run(["tar", "--zstd", "-C", directory, "-xf", outcome.artifact("package")], check=True)
        return os.path.join(directory, "oci")

    def tool(self, *arguments, **others):
        result = subprocess.run(arguments, capture_output=True, text=True, check=False, **others)
        self.assertEqual(result.returncode, 0, f"{' '.join(arguments)}: {result.stderr}")
        return result.stdout

    PACKAGE = {"files": [{"from": "hello", "to": "/app/hello", "mode": "0755"}], "archive": True,
               "healthCheck": {"command": ["/app/hello"], "intervalSeconds": 5}, "stopSignal": "SIGINT"}

    def test_docker(self):
        """load, run, inspect; build of a Dockerfile; all with one daemon, which takes a while to start."""
        need("dockerd")
        need("docker")
        if os.geteuid() != 0:
            self.skipTest("dockerd needs root")
        place = os.path.join(self.directory, "docker")
        os.mkdir(place)
        daemon = Daemon(place)
        self.addCleanup(daemon.stop)
        archives = {kind: self.make({**self.PACKAGE, "compression": kind}, run=kind) for kind in ("gzip", "none")}
        platforms = self.make({**self.PACKAGE, "platforms": ["linux/s390x", "linux/amd64"]}, run="p")
        if not daemon.wait():
            with open(os.path.join(place, "log"), encoding="utf-8", errors="replace") as f:
                self.skipTest(f"dockerd cannot run here: {f.read()[-300:]}")
        for outcome in (*archives.values(), platforms):
            daemon.docker("load", "--input", outcome.artifact("image.tar"))
            image = f"hello:{outcome.outputs['version']}"
            self.assertEqual(daemon.docker("run", "--rm", "--network=none", image).stdout, "hello from the image\n")
            config = json.loads(daemon.docker("image", "inspect", image).stdout)[0]["Config"]
            self.assertEqual(config["Healthcheck"], {"Test": ["CMD", "/app/hello"], "Interval": 5000000000})
            self.assertEqual(config["StopSignal"], "SIGINT")
            daemon.docker("image", "rm", image)
        self.pull_by_docker(daemon)
        self.dockerfile("docker", environment={"DOCKER_HOST": daemon.socket, "DOCKER_CONFIG": place})

    def pull_by_docker(self, daemon):
        """What package pushes, every docker pulls; zstd is for newer ones."""
        need("docker-registry")
        registry = Registry(self.directory)
        self.addCleanup(registry.stop)
        outcome = self.make({**self.PACKAGE, "platforms": ["linux/arm64", "linux/amd64"]}, run="pull",
                            publish={"image": {"registry": f"{registry.address}/team"}})
        for reference in (outcome.outputs["reference"], *outcome.outputs["references"]):
            daemon.docker("pull", reference)
            self.assertEqual(daemon.docker("run", "--rm", "--network=none", reference).stdout, "hello from the image\n")
            daemon.docker("image", "rm", "--force", reference)

    def test_publish(self):
        need("docker-registry")
        need("skopeo")
        registry = Registry(self.directory)
        self.addCleanup(registry.stop)
        publish = {"image": {"registry": f"{registry.address}/team", "mountFrom": ["team/other"]}}
        outcome = self.make(self.PACKAGE, publish=publish)
        digest, version = outcome.outputs["digest"], outcome.outputs["version"]
        self.assertEqual(outcome.outputs["reference"], f"{registry.address}/team/hello@{digest}")
        self.assertEqual(outcome.outputs["references"], [f"{registry.address}/team/hello:{version}"])
        release = json.loads(self.tool("tar", "-xaOf", outcome.artifact("package"), "release.json"))
        self.assertEqual(release["reference"], outcome.outputs["reference"])
        told = json.loads(self.tool("skopeo", "inspect", "--tls-verify=false",
                                    f"docker://{registry.address}/team/hello:{version}"))
        self.assertEqual(told["Digest"], digest)
        self.tool("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
                  f"docker://{outcome.outputs['reference']}", f"dir:{self.directory}/dir")
        # Again: nothing is sent but questions.
        before = len(registry.read())
        source = self.source(os.path.join(self.directory, "origin-hello-r1"), outcome.outputs["commit"])
        self.assertEqual(self.succeed("package", source, publish=publish).outputs["reference"],
                         outcome.outputs["reference"])
        asked = registry.read()[before:]
        self.assertRegex(asked, r"http\.request\.method=HEAD")
        self.assertNotRegex(asked, r"http\.request\.method=(PATCH|POST)")
        self.check_evidence(registry.address, source, digest, publish)
        # Another image on top of it, by its name; then by its digest, with the registry gone.
        for number, base in enumerate((outcome.outputs["references"][0], outcome.outputs["reference"])):
            if number == 1:
                registry.stop()
            upper = self.make({"base": base, "files": [{"from": "slipway.json", "to": "/etc/upper"}]}, name="upper",
                              run=f"b{number}")
            self.assertEqual(upper.outputs["base"], {"name": base, "digest": digest})
            self.assertEqual(upper.outputs["layers"][0], outcome.outputs["layers"][0])
        refused = self.origin({"slipway.json": json.dumps({"package": {
            "base": f"{registry.address}/team/hello:{version}", "files": [{"from": "slipway.json", "to": "/x"}]}})},
            name="away")
        self.fail_with("/package/base: '", "package", refused, run="b2")
        self.fail_with(f"publishing '{registry.address}/team/hello:{version}': ", "package", source, publish=publish)

    def check_evidence(self, address, source, digest, publish):
        """What the call has stated is found by whoever has no more than the image's digest."""
        spec = self.spec("package", source, publish=publish)
        spec["directories"]["keys"] = os.path.join(self.directory, "keys")
        outcome = self.run_spec("slipway-run-package", spec)
        self.assertEqual(outcome.code, 0, outcome.log.decode())
        with open(os.path.join(spec["directories"]["call"], "artifacts/release.intoto.jsonl"), "rb") as f:
            stated = f.read()
        url = f"http://{address}/v2/team/hello"
        accept = {"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"}

        def get(path):
            with urllib.request.urlopen(urllib.request.Request(f"{url}/{path}", headers=accept), timeout=10) as answer:
                return answer.read()

        index = json.loads(get("manifests/" + digest.replace(":", "-")))
        self.assertEqual([m["artifactType"] for m in index["manifests"]], ["application/vnd.in-toto.bundle"])
        manifest = json.loads(get("manifests/" + index["manifests"][0]["digest"]))
        self.assertEqual(manifest["subject"]["digest"], digest)
        self.assertEqual(get("blobs/" + manifest["layers"][0]["digest"]), stated)

    DOCKERFILE = ("FROM scratch AS one\nCOPY hello /first\nFROM scratch\nCOPY hello /app/hello\nCOPY --from=one /first "
                  "/second\nLABEL team=docker\nENV A=1\nENTRYPOINT [\"/app/hello\"]\n")

    def dockerfile(self, tool, **others):
        outcome = self.make({"labels": {"x": "y"}, "env": {"B": "2"}}, name="built", run=tool,
                            others={"Dockerfile": self.DOCKERFILE}, **others)
        self.assertEqual(outcome.outputs["builder"]["tool"], tool)
        self.assertRegex(outcome.outputs["builder"]["version"], r"^\d+\.")
        layout = self.layout(outcome, f"layout-{tool}")
        config = json.loads(self.tool("skopeo", "inspect", "--config", f"oci:{layout}"))["config"]
        self.assertEqual(config["Entrypoint"], ["/app/hello"])
        self.assertIn("A=1", config["Env"])
        self.assertIn("B=2", config["Env"])
        self.assertEqual({k: config["Labels"][k] for k in ("team", "x", "org.opencontainers.image.title")},
                         {"team": "docker", "x": "y", "org.opencontainers.image.title": "built"})
        self.tool("umoci", "unpack", "--image", f"{layout}:{outcome.outputs['version']}",
                  f"{self.directory}/bundle-{tool}")
        self.assertTrue(os.path.exists(f"{self.directory}/bundle-{tool}/rootfs/second"))
        self.assertEqual(os.listdir(outcome.directory), ["artifacts"])  # nothing else stays
        return outcome

    def without_docker(self):
        """An environment in which docker answers nobody."""
        return {"DOCKER_HOST": f"unix://{self.directory}/nobody.sock"}

    def test_dockerfile_by_buildah(self):
        need("buildah")
        if os.geteuid() != 0:
            self.skipTest("without root buildah wants subordinate ids")
        environment = {**self.without_docker(), "STORAGE_DRIVER": "vfs"}
        outcome = self.dockerfile("buildah", environment=environment)
        self.assertIn(b"STEP", outcome.log)

    def test_dockerfile_without_a_tool(self):
        only = os.path.join(self.directory, "bin")
        os.mkdir(only)
        os.symlink(shutil.which("git"), os.path.join(only, "git"))
        source = self.origin({"Dockerfile": "FROM scratch\n", "slipway.json": "{}"})
        self.fail_with("nobody here can build 'Dockerfile': docker: ", "package", source, environment={"PATH": only})
        need("buildah")
        source = self.origin({"Dockerfile": "FROM scratch\nCOPY gone /\n"}, name="bad")
        self.fail_with("'Dockerfile': buildah exited with status", "package", source, run="r2", environment=self.without_docker())
        with open("/proc/self/mounts", encoding="utf-8") as f:  # what it mounted for that is gone
            self.assertNotIn(self.directory, f.read())
        source = self.origin({"slipway.json": '{"package": {"dockerfile": "x/Dockerfile"}}'}, name="gone")
        self.fail_with("/package/dockerfile: there is no 'x/Dockerfile'", "package", source, run="r3")

    def test_base_from_another_tool(self):
        """A layout that umoci made, and ours on top of it, and skopeo and buildah on that."""
        need("umoci")
        need("skopeo")
        base = os.path.join(self.directory, "base")
        self.tool("umoci", "init", "--layout", base)
        self.tool("umoci", "new", "--image", f"{base}:1")
        self.tool("umoci", "config", "--image", f"{base}:1", "--config.env", "BASE=1", "--config.cmd", "x")
        self.tool("umoci", "insert", "--image", f"{base}:1", "/etc/hostname", "/etc/of-the-base")
        self.tool("umoci", "gc", "--layout", base)
        files = {}
        for root, _, names in os.walk(base):
            for name in names:
                path = os.path.join(root, name)
                with open(path, "rb") as f:
                    files[os.path.join("base", os.path.relpath(path, base))] = (f.read(), 0o644)
        outcome = self.make({"base": "./base", "files": [
            {"from": "hello", "to": "/app/hello", "layer": "program"}, {"from": "slipway.json", "to": "/etc/x"}]},
            others=files)
        self.assertEqual(outcome.outputs["base"]["name"], "./base")
        layout = self.layout(outcome)
        told = json.loads(self.tool("skopeo", "inspect", f"oci:{layout}"))
        self.assertEqual(told["Digest"], outcome.outputs["digest"])
        self.assertEqual(len(told["Layers"]), len(outcome.outputs["layers"]))
        self.assertIn("BASE=1", told["Env"])
        self.tool("skopeo", "copy", "-q", "--insecure-policy", f"oci:{layout}", f"dir:{self.directory}/dir")
        bundle = os.path.join(self.directory, "bundle")
        self.tool("umoci", "unpack", *([] if os.geteuid() == 0 else ["--rootless"]), "--image",
                  f"{layout}:{outcome.outputs['version']}", bundle)
        for name in ("etc/of-the-base", "app/hello", "etc/x"):
            self.assertTrue(os.path.exists(os.path.join(bundle, "rootfs", name)), name)

    def test_buildah_takes_it(self):
        need("buildah")
        if os.geteuid() != 0:
            self.skipTest("without root buildah wants subordinate ids")
        storage = ["--root", f"{self.directory}/storage", "--runroot", f"{self.directory}/run", "--storage-driver",
                   "vfs"]
        for kind in ("gzip", "zstd"):
            outcome = self.make({**self.PACKAGE, "compression": kind}, run=kind)
            layout = self.layout(outcome, kind)
            container = self.tool("buildah", *storage, "from", f"oci:{layout}:{outcome.outputs['version']}").strip()
            mounted = self.tool("buildah", *storage, "mount", container).strip()
            self.assertEqual(self.tool(os.path.join(mounted, "app/hello")), "hello from the image\n")
            self.tool("buildah", *storage, "rm", container)

    def test_another_number_of_processors(self):
        """Two paths, two times, and one processor instead of all: one digest."""
        package = {"files": [{"from": "hello", "to": "/app/hello"}, {"from": "big", "to": "/big"}]}
        big = {"big": (bytes(range(256)) * 16384, 0o644)}  # four blocks of the compressor's
        path = self.make(package, others=big)
        source = self.source(os.path.join(self.directory, "origin-hello-r1"), path.outputs["commit"])
        shutil.rmtree(os.path.join(self.state, "cache/blobs"))
        first = min(os.sched_getaffinity(0))
        again = self.succeed("package", source, run="r2", wrapper=("taskset", "--cpu-list", str(first)))
        self.assertEqual(path.artifacts, again.artifacts)

    def test_odd_files(self):
        """What an image cannot have is refused by name; what it can have is there."""
        workspace = os.path.join(self.state, "runs/r1/workspace")
        path = self.directory + "/odd"
        commit = harness.repository(path, {"slipway.json": json.dumps({"package": {"files": [
            {"from": "out", "to": "/out"}]}}), "keep": "1"})
        source = self.source(path, commit)
        self.succeed("build", source)
        out = os.path.join(workspace, "out")
        os.mkdir(out)
        with open(os.path.join(out, "plain"), "w", encoding="utf-8") as f:
            f.write("x")
        os.link(os.path.join(out, "plain"), os.path.join(out, "linked"))
        os.truncate(os.open(os.path.join(out, "hole"), os.O_CREAT | os.O_WRONLY, 0o644), 5 << 20)
        outcome = self.succeed("package", source)
        bundle = os.path.join(self.directory, "bundle")
        self.tool("umoci", "unpack", *([] if os.geteuid() == 0 else ["--rootless"]), "--image",
                  f"{self.layout(outcome)}:{outcome.outputs['version']}", bundle)
        self.assertEqual(os.path.getsize(f"{bundle}/rootfs/out/hole"), 5 << 20)
        for name, make, reason in (
                ("fifo", os.mkfifo, "out/fifo"),
                ("setuid", lambda p: (shutil.copy(os.path.join(out, "plain"), p), os.chmod(p, 0o4755)),
                 "'out/setuid' is setuid"),
                (b"n\xff", lambda p: shutil.copy(os.path.join(out, "plain").encode(), p), "UTF-8"),
                (".wh.x", lambda p: shutil.copy(os.path.join(out, "plain"), p), "'out/.wh.x' cannot be")):
            target = os.path.join(out.encode() if isinstance(name, bytes) else out, name)
            make(target)
            self.fail_with(reason, "package", source)
            os.unlink(target)
        self.succeed("package", source)


if __name__ == "__main__":
    harness.main()
