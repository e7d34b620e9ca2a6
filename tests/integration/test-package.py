# SPDX-License-Identifier: MIT
"""slipway-run-package: the package, its image, and that both are the same wherever they are made."""
import json
import os
import shutil
import subprocess

import harness
import runner

RECIPE = {
    "name": "greeter",
    "package": {
        "files": [{"from": "bin/greeter", "to": "/app/greeter", "mode": "0755"},
                  {"from": "share/**/*.txt", "to": "/usr/share/greeter"}, {"from": "etc", "to": "/etc/greeter/"}],
        "entrypoint": ["/app/greeter"], "arguments": ["--port", "8080"], "env": {"B": "2", "A": "1"},
        "workingDirectory": "/app", "user": "1000:1000", "ports": [8080, 9090], "labels": {"team": "hello"},
    },
    "deploy": {"template": "deploy/service.json"},
}
FILES = {
    "bin/greeter": ("#!/bin/sh\necho hello\n", 0o644), "share/a.txt": "a", "share/deep/b.txt": "b", "share/c.bin": "c",
    "etc/greeter.conf": "x = 1\n", "deploy/service.json": '{"id": "${name}"}', "slipway.json": json.dumps(RECIPE),
}


def read_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


class Package(runner.RunnerCase):
    def unpack(self, outcome, name="unpacked"):
        directory = os.path.join(self.directory, name)
        os.mkdir(directory)
        subprocess.run(["tar", "--zstd", "-C", directory, "-xf", outcome.artifact("package")], check=True)
        return directory

    def blob(self, package, digest):
        return read_json(os.path.join(package, "oci/blobs", digest.replace(":", "/")))

    def config(self, package):
        index = read_json(os.path.join(package, "oci/index.json"))
        manifest = self.blob(package, index["manifests"][0]["digest"])
        return self.blob(package, manifest["config"]["digest"])

    def test_package(self):
        source = self.origin(FILES)
        commit = source["source"]["commit"]
        outcome = self.succeed("package", source)
        names = self.check_artifact(outcome, "package")
        self.assertIn("release.json", names)
        self.assertIn("deploy/service.json", names)
        self.assertIn("oci/oci-layout", names)
        package = self.unpack(outcome)
        release = read_json(os.path.join(package, "release.json"))
        self.assertEqual(release, {
            "name": "greeter", "version": commit[:7], "digest": outcome.outputs["digest"], "commit": commit,
            "repository": source["source"]["git"], "ref": "refs/heads/main", "subject": "First",
            "template": "deploy/service.json",
            "committedAt": "2023-11-14T22:13:20.000000Z"})
        self.assertEqual(outcome.outputs, {
            "commit": commit, "digest": release["digest"], "version": commit[:7], "name": "greeter",
            "size": outcome.artifacts["package"]["size"], "layers": outcome.outputs["layers"],
            "imageSize": sum(os.path.getsize(os.path.join(package, "oci/blobs/sha256", name))
                             for name in os.listdir(os.path.join(package, "oci/blobs/sha256")))})
        (layer,) = outcome.outputs["layers"]
        self.assertEqual(os.path.getsize(os.path.join(package, "oci/blobs", layer["digest"].replace(":", "/"))),
                         layer["size"])
        self.assertEqual(os.listdir(outcome.directory), ["artifacts"])  # nothing else stays

    def test_configuration(self):
        source = self.origin(FILES)
        package = self.unpack(self.succeed("package", source))
        config = self.config(package)
        self.assertEqual(config["created"], "2023-11-14T22:13:20Z")
        self.assertEqual(config["config"], {
            "Entrypoint": ["/app/greeter"], "Cmd": ["--port", "8080"], "Env": ["B=2", "A=1"], "User": "1000:1000",
            "ExposedPorts": {"8080/tcp": {}, "9090/tcp": {}}, "WorkingDir": "/app",
            "Labels": {"org.opencontainers.image.title": "greeter",
                       "org.opencontainers.image.revision": source["source"]["commit"],
                       "org.opencontainers.image.created": "2023-11-14T22:13:20.000000Z", "team": "hello"}})
        annotations = read_json(os.path.join(package, "oci/index.json"))["manifests"][0]["annotations"]
        self.assertEqual(annotations["org.opencontainers.image.source"], source["source"]["git"])

    def need(self, program):
        if not shutil.which(program):
            self.skipTest(f"{program} is not installed")

    def test_skopeo_takes_it(self):
        self.need("skopeo")
        outcome = self.succeed("package", self.origin(FILES))
        package = self.unpack(outcome)
        result = subprocess.run(["skopeo", "inspect", f"oci:{package}/oci"], check=True, capture_output=True, text=True)
        told = json.loads(result.stdout)
        self.assertEqual(told["Digest"], outcome.outputs["digest"])
        self.assertEqual(told["Labels"]["team"], "hello")
        # It copies, too: every digest and size is checked on the way.
        subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", f"oci:{package}/oci",
                        f"oci-archive:{self.directory}/copy.tar"], check=True, capture_output=True)

    def test_unchanged(self):
        """What was made is not made again: the same bytes, and the very same file."""
        source = self.origin({**FILES, "slipway.json": json.dumps({**RECIPE, "package": {
            **RECIPE["package"], "archive": True}})})
        first = self.succeed("package", source)
        second = self.succeed("package", source)
        for name in ("package", "image.tar"):
            self.assertEqual(first.artifacts[name], second.artifacts[name])
            self.assertEqual(os.stat(first.artifact(name)).st_ino, os.stat(second.artifact(name)).st_ino)
        third = self.succeed("package", source, run="r2")  # another workspace
        self.assertEqual(first.artifacts, third.artifacts)
        for name in os.listdir(os.path.join(self.state, "cache/blobs")):  # without what was made
            os.unlink(os.path.join(self.state, "cache/blobs", name))
        fourth = self.succeed("package", source)
        self.assertEqual(first.artifacts, fourth.artifacts)

    def test_archive(self):
        self.need("skopeo")
        source = self.origin({**FILES, "slipway.json": json.dumps({**RECIPE, "package": {
            **RECIPE["package"], "archive": True}})})
        outcome = self.succeed("package", source)
        self.assertEqual(outcome.artifacts["image.tar"]["format"], "file")
        path = outcome.artifact("image.tar")
        for transport in ("oci-archive", "docker-archive"):
            result = subprocess.run(["skopeo", "inspect", f"{transport}:{path}"], check=True, capture_output=True,
                                    text=True)
            self.assertEqual(json.loads(result.stdout)["Labels"]["team"], "hello")
            subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", f"{transport}:{path}",
                            f"oci:{self.directory}/{transport}:1"], check=True, capture_output=True)
        self.fail_with("'Greeter' cannot be the name of an image", "package", self.origin({
            "dist/a": "1", "slipway.json": '{"name": "Greeter", "package": {"archive": true}}'}, name="g"), run="r2")

    def test_umoci_unpacks_it(self):
        self.need("umoci")
        package = self.unpack(self.succeed("package", self.origin(FILES)))
        bundle = os.path.join(self.directory, "bundle")
        tag = read_json(os.path.join(package, "oci/index.json"))["manifests"][0]["annotations"][
            "org.opencontainers.image.ref.name"]
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        subprocess.run(["umoci", "unpack", *rootless, "--image", f"{package}/oci:{tag}", bundle], check=True,
                       capture_output=True)
        found = {}
        for root, _, files in os.walk(os.path.join(bundle, "rootfs")):
            for name in files:
                path = os.path.join(root, name)
                found[os.path.relpath(path, os.path.join(bundle, "rootfs"))] = os.stat(path).st_mode & 0o7777
        self.assertEqual(found, {"app/greeter": 0o755, "usr/share/greeter/a.txt": 0o644,
                                 "usr/share/greeter/deep/b.txt": 0o644, "etc/greeter/greeter.conf": 0o644})

    def test_the_same_commit_gives_the_same_digest(self):
        """On another day, path, branch and umask, in another order of the files on disk."""
        source = self.origin(FILES)
        first = self.succeed("package", source)
        elsewhere = os.path.join(self.directory, "elsewhere", "clone.git")
        harness.git(self.directory, "clone", "-q", "--bare", source["source"]["git"], elsewhere)
        harness.git(elsewhere, "branch", "other", source["source"]["commit"])
        harness.git(elsewhere, "tag", "v9", source["source"]["commit"])
        second_source = self.source(elsewhere, source["source"]["commit"], ref="refs/heads/other")
        self.succeed("build", second_source, run="r2")
        workspace = os.path.join(self.state, "runs/r2/workspace")
        for name in sorted(os.listdir(workspace), reverse=True):
            if name != ".git":  # the same files, made anew in another order at another time
                shutil.copytree(os.path.join(workspace, name), os.path.join(self.directory, "t", name)) \
                    if os.path.isdir(os.path.join(workspace, name)) else None
        for name in reversed(sorted(os.listdir(os.path.join(self.directory, "t")))):
            shutil.rmtree(os.path.join(workspace, name))
            shutil.copytree(os.path.join(self.directory, "t", name), os.path.join(workspace, name))
        for root, _, files in os.walk(workspace):
            for name in files:
                os.utime(os.path.join(root, name), (1, 1))
        second = self.succeed("package", second_source, run="r2", wrapper=("sh", "-c", 'umask 077; exec "$0"'),
                              environment={"TZ": "Pacific/Auckland"})
        self.assertEqual(first.outputs["digest"], second.outputs["digest"])
        self.assertEqual(second.outputs["version"], "v9")
        self.assertNotEqual(first.artifacts["package"]["sha256"], second.artifacts["package"]["sha256"])
        third = self.succeed("package", source)
        self.assertEqual(first.artifacts["package"]["sha256"], third.artifacts["package"]["sha256"])

    def test_faked_time(self):
        if not shutil.which("faketime"):
            self.skipTest("faketime is not installed")
        source = self.origin(FILES)
        first = self.succeed("package", source)
        # faketime preloads itself, before the sanitizer of a build that has one.
        second = self.succeed("package", source, run="r2", wrapper=("faketime", "2031-05-05 05:05:05"),
                              environment={"ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"})
        self.assertEqual(first.artifacts["package"]["sha256"], second.artifacts["package"]["sha256"])

    def test_another_commit_gives_another_digest(self):
        source = self.origin(FILES)
        first = self.succeed("package", source)
        path = source["source"]["git"]
        commit = harness.commit(path, {"share/a.txt": "changed"}, "Second")
        second = self.succeed("package", self.source(path, commit), run="r2")
        self.assertNotEqual(first.outputs["digest"], second.outputs["digest"])

    def test_conventions(self):
        source = self.origin({"build.sh": "#!/bin/sh\nmkdir -p dist/lib\necho x > dist/lib/x\n"
                                          "printf '#!/bin/sh\\n' > dist/hello\nchmod 700 dist/hello\n"}, name="hello.git")
        self.succeed("build", source)
        outcome = self.succeed("package", source)
        package = self.unpack(outcome)
        config = self.config(package)["config"]
        self.assertEqual(config["Entrypoint"], ["/app/hello"])
        self.assertEqual(config["WorkingDir"], "/app")
        self.assertEqual(outcome.outputs["name"], "hello")
        self.assertNotIn("template", read_json(os.path.join(package, "release.json")))

    def test_mistakes(self):
        self.fail_with("nothing to package: there is no dist/", "package", self.origin({"a": "1"}))
        self.fail_with("/package/files/0: 'gone' matches nothing", "package", self.origin({
            "slipway.json": '{"package": {"files": [{"from": "gone", "to": "/x"}]}}'}, name="b"), run="r2")
        self.fail_with("'/x' would be", "package", self.origin({"a": "1", "b": "2", "slipway.json": json.dumps(
            {"package": {"files": [{"from": "a", "to": "/x"}, {"from": "b", "to": "/x"}]}})}, name="c"), run="r3")
        self.fail_with("deploy template 'deploy/service.json': line 1", "package", self.origin({
            "dist/a": "1", "deploy/service.json": "{"}, name="d"), run="r4")
        outcome = self.fail_with("deploy template 'gone.json'", "package", self.origin({
            "dist/a": "1", "slipway.json": '{"deploy": {"template": "gone.json"}}'}, name="e"), run="r5")
        self.assertEqual(outcome.artifacts, {})
        self.assertEqual(os.listdir(outcome.directory), ["artifacts"])


if __name__ == "__main__":
    harness.main()
