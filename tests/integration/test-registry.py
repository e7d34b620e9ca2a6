# SPDX-License-Identifier: MIT
"""agent/package/registry against Debian's docker-registry in its modes (open, htpasswd, token, TLS), with skopeo as
another writer and reader. What no real registry does wrong is in tests/unit/registry."""
import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import urllib.parse

import harness
from containers import Daemon

USER, PASSWORD = "robot", "s3cret"
HTPASSWD = USER + ":$2b$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG\n"  # bcrypt of PASSWORD
CLIENT = os.path.join(harness.BUILD, "tests/integration/registry-client")
LAYER_SIZE = 6 << 20


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def tree(text):
    """A layer that can be unpacked: one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


class Layout:
    """An image layout, written by hand."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(os.path.join(directory, "blobs/sha256"))
        with open(os.path.join(directory, "oci-layout"), "w", encoding="utf-8") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, media_type, data, **others):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.directory, "blobs/sha256", digest), "wb") as f:
            f.write(data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data), **others}

    def image(self, architecture, layer):
        empty_tar = b"\0" * 1024
        config = {"architecture": architecture, "os": "linux", "config": {"Env": ["A=1"]}, "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(b).hexdigest() for b in (empty_tar, layer)]}}
        return self.blob("application/vnd.oci.image.manifest.v1+json", {
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.blob("application/vnd.oci.image.config.v1+json", config),
            "layers": [self.blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(b, 1, mtime=0))
                       for b in (empty_tar, layer)]},
            platform={"os": "linux", "architecture": architecture})

    def name(self, *entries):
        with open(os.path.join(self.directory, "index.json"), "w", encoding="utf-8") as f:
            json.dump({"schemaVersion": 2, "manifests": entries}, f)


class TokenServer:
    """Signs what the protocol wants: RS256 with the certificate in x5c. Anyone may pull, the user may all."""

    def __init__(self, directory):
        self.key, self.certificate = os.path.join(directory, "token.key"), os.path.join(directory, "token.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=token",
                        "-keyout", self.key, "-out", self.certificate], check=True, capture_output=True)
        self.asked = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                basic = self.headers.get("Authorization")
                wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                outer.asked.append(query.get("scope", []))
                status, body = (401, b"{}") if basic not in (None, wanted) else (200, outer.token(query, basic))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, query, basic):
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name,
                           "actions": [a for a in actions.split(",") if basic or a == "pull"]})
        now = int(time.time())
        claims = {"iss": "token", "sub": "x", "aud": query["service"][0], "exp": now + 60, "nbf": now - 10,
                  "iat": now, "jti": "1", "access": access}
        der = subprocess.run(["openssl", "x509", "-in", self.certificate, "-outform", "DER"], check=True,
                             capture_output=True).stdout
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        text = base64url(json.dumps(header).encode()) + b"." + base64url(json.dumps(claims).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=text, check=True,
                                   capture_output=True).stdout
        return json.dumps({"token": (text + b"." + base64url(signature)).decode(), "expires_in": 60}).encode()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Cutter:
    """A way to a port that cuts a connection once so many bytes went in."""

    def __init__(self, port, after, times):
        self.port, self.after, self.times, self.cuts = port, after, times, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.copy, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client, False), daemon=True).start()

    def copy(self, source, sink, counts):
        passed = 0
        try:
            while data := source.recv(65536):
                passed += len(data)
                if counts and passed > self.after and self.cuts < self.times:
                    self.cuts += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.close()


class Registry(harness.Case):
    def start(self, auth=None, tls=None):
        """A docker-registry of this test's own. Returns "host:port"."""
        port = harness.free_port()
        config = {"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
                  "storage": {"filesystem": {"rootdirectory": os.path.join(self.directory, "storage")}},
                  "http": {"addr": f"127.0.0.1:{port}", "secret": "x", **({"tls": tls} if tls else {})}}
        if auth:
            config["auth"] = auth
        path = os.path.join(self.directory, "registry.yml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)  # which is YAML, too
        with open(os.path.join(self.directory, "registry.log"), "wb") as log:
            process = subprocess.Popen(["docker-registry", "serve", path], stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        harness.wait_for(lambda: self.listens(port), "docker-registry")
        return f"127.0.0.1:{port}"

    def listens(self, port):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except OSError:
            return False

    def layout(self, name="image", layer=None):
        layout = Layout(os.path.join(self.directory, name))
        entry = layout.image("amd64", layer or os.urandom(LAYER_SIZE))
        layout.name(entry)
        return layout, entry["digest"]

    def run_client(self, *arguments):
        return subprocess.run([CLIENT, *arguments], capture_output=True, check=False, env={
            "PATH": f"{self.directory}:{os.environ['PATH']}", "HOME": self.directory})

    def client(self, *arguments):
        done = self.run_client(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr.decode()[-2000:])
        return done.stdout.decode().strip(), done.stderr.decode()

    def refused(self, said, *arguments):
        done = self.run_client(*arguments)
        self.assertEqual(done.returncode, 1, done.stderr)
        error = done.stderr.decode().splitlines()[-1]
        self.assertIn(said, error)
        self.assertNotIn(PASSWORD, error)
        return error

    def skopeo(self, *arguments, **others):
        return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "HOME": self.directory,
                                   "TMPDIR": self.directory}, **others).stdout

    def directory_of(self, name):
        path = os.path.join(self.directory, name)
        os.mkdir(path)
        return path

    def login(self, host, password=PASSWORD):
        directory = os.path.join(self.directory, ".docker")
        os.makedirs(directory, exist_ok=True)
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as f:
            json.dump({"auths": {host: {"auth": auth}}}, f)

    def test_push_and_read(self):
        host = self.start()
        layout, digest = self.layout()
        reference = f"{host}/team/app:1.0"
        out, log = self.client("push", layout.directory, "-", reference)
        self.assertEqual(out, digest)
        self.assertEqual(log.count("\nmoved") + log.startswith("moved"), 3)
        seen = json.loads(self.skopeo("inspect", "--tls-verify=false", "docker://" + reference))
        self.assertEqual(seen["Digest"], digest)
        copied = os.path.join(self.directory, "copied")
        self.skopeo("copy", "--src-tls-verify=false", "docker://" + reference, f"oci:{copied}:1.0")
        self.assertEqual(sorted(os.listdir(copied + "/blobs/sha256")),
                         sorted(os.listdir(layout.directory + "/blobs/sha256")))
        out, log = self.client("push", layout.directory, "-", reference)  # nothing has changed
        self.assertEqual(out, digest)
        self.assertNotIn("moved", log)
        self.assertNotIn("published", log)
        out, log = self.client("--mount", "team/app", "push", layout.directory, "-", f"{host}/team/other:1.0")
        self.assertEqual(log.count("mounted"), 3)
        out, log = self.client("--chunk", "1000000", "push", layout.directory, "-", f"{host}/team/pieces:1.0")
        self.assertNotIn("waiting", log)
        self.client("tag", reference, "stable")
        self.assertEqual(self.client("resolve", f"{host}/team/app:stable")[0], digest)

    def test_written_by_another(self):
        host = self.start()
        layout, digest = self.layout()
        reference = f"{host}/team/app:1.0"
        self.skopeo("copy", "--dest-tls-verify=false", f"oci:{layout.directory}", "docker://" + reference)
        to = self.directory_of("to")
        out, _ = self.client("pull", f"{reference}@{digest}", "-", to)
        self.assertEqual(out, digest)
        self.skopeo("copy", f"oci:{to}:1.0", "dir:" + os.path.join(self.directory, "dir"))
        self.assertEqual(sorted(os.listdir(to + "/blobs/sha256")),
                         sorted(os.listdir(layout.directory + "/blobs/sha256")))
        _, log = self.client("pull", reference, "-", to)
        self.assertNotIn("moved", log)
        self.refused("there is no such image", "pull", f"{host}/team/app:2.0", "-", to)
        v2s2 = f"{host}/team/docker:1"
        self.skopeo("copy", "--dest-tls-verify=false", "-f", "v2s2", f"oci:{layout.directory}", "docker://" + v2s2)
        out, _ = self.client("pull", v2s2, "-", self.directory_of("docker"))
        self.assertEqual(out, json.loads(self.skopeo("inspect", "--tls-verify=false", "docker://" + v2s2))["Digest"])

    def test_index(self):
        host = self.start()
        layout = Layout(os.path.join(self.directory, "index"))
        images = [layout.image(a, os.urandom(1000)) for a in ("amd64", "arm64")]
        index = layout.blob("application/vnd.oci.image.index.v1+json", {
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": images})
        layout.name(index)
        reference = f"{host}/team/app:1.0"
        self.assertEqual(self.client("push", layout.directory, "-", reference)[0], index["digest"])
        raw = self.skopeo("inspect", "--raw", "--tls-verify=false", "docker://" + reference)
        self.assertEqual("sha256:" + hashlib.sha256(raw.encode()).hexdigest(), index["digest"])
        out, _ = self.client("pull", reference, "linux/arm64", self.directory_of("arm"))
        self.assertEqual(out, images[1]["digest"])
        self.assertEqual(self.client("pull", reference, "-", self.directory_of("all"))[0], index["digest"])
        self.refused("only for: linux/amd64, linux/arm64", "pull", reference, "linux/mips", self.directory_of("no"))

    def test_evidence(self):
        host = self.start()
        layout, digest = self.layout()
        reference = f"{host}/team/app:1.0"
        self.client("push", layout.directory, "-", reference)
        bundle = os.path.join(self.directory, "bundle")
        attached = []
        for text in ("{}\n", "{}\n", '{"more":1}\n'):
            with open(bundle, "w", encoding="utf-8") as f:
                f.write(text)
            attached.append(self.client("attach", reference, "release.intoto.jsonl", bundle)[0])
        self.assertEqual(attached[0], attached[1])
        listed, _ = self.client("referrers", f"{host}/team/app@{digest}")
        self.assertEqual(listed.splitlines(), [f"{d} release.intoto.jsonl" for d in attached[1:]])
        self.assertEqual(self.client("fetch", reference, attached[2])[0], '{"more":1}')
        index = json.loads(self.skopeo("inspect", "--raw", "--tls-verify=false", "docker://{}/team/app:{}".format(
            host, digest.replace(":", "-"))))
        self.assertEqual(len(index["manifests"]), 2)

    def test_cut_uploads(self):
        host = self.start()
        layout, digest = self.layout()
        for name, options in (("whole", ()), ("pieces", ("--chunk", "2000000"))):
            cutter = Cutter(int(host.split(":")[1]), LAYER_SIZE // 2, 2)
            self.addCleanup(cutter.stop)
            through = "{}:{}".format(*cutter.address)
            out, log = self.client(*options, "push", layout.directory, "-", f"{through}/team/{name}:1.0")
            self.assertEqual(out, digest)
            self.assertEqual(cutter.cuts, 2)
            self.assertIn("waiting", log)
            self.skopeo("copy", "--src-tls-verify=false", f"docker://{host}/team/{name}:1.0",
                        "dir:" + os.path.join(self.directory, name))

    def test_htpasswd(self):
        path = os.path.join(self.directory, "htpasswd")
        with open(path, "w", encoding="utf-8") as f:
            f.write(HTPASSWD)
        host = self.start({"htpasswd": {"realm": "registry", "path": path}})
        layout, digest = self.layout()
        push = ("push", layout.directory, "-", f"{host}/team/app:1.0")
        self.refused(f"docker login {host}", *push)
        self.login(host, "wrong")
        self.refused(f"does not accept the login of '{USER}'", *push)
        self.login(host)
        self.assertEqual(self.client(*push)[0], digest)
        self.assertEqual(self.client("pull", push[3], "-", self.directory_of("to"))[0], digest)
        shutil.rmtree(os.path.join(self.directory, ".docker"))
        helper = os.path.join(self.directory, "docker-credential-test")
        with open(helper, "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\n[ "$1 $(cat)" = "get {host}" ] || exit 1\n'
                    f'echo \'{{"Username":"{USER}","Secret":"{PASSWORD}"}}\'\n')
        os.chmod(helper, 0o755)
        credentials = os.path.join(self.directory, "credentials.json")
        with open(credentials, "w", encoding="utf-8") as f:
            json.dump({"credHelpers": {host: "test"}}, f)
        self.assertEqual(self.client("--credentials", credentials, "resolve", push[3])[0], digest)

    def test_token(self):
        server = TokenServer(self.directory)
        self.addCleanup(server.stop)
        host = self.start({"token": {"realm": f"http://127.0.0.1:{server.port}/token", "service": "slipway",
                                     "issuer": "token", "rootcertbundle": server.certificate}})
        layout, digest = self.layout()
        push = ("push", layout.directory, "-", f"{host}/team/app:1.0")
        self.refused("docker login", *push)
        self.login(host, "wrong")
        self.refused("status 401", *push)
        self.login(host)
        server.asked.clear()
        self.assertEqual(self.client(*push)[0], digest)
        self.assertEqual(len(server.asked), 2)  # to see, then to push
        out, log = self.client("--mount", "team/app", "push", layout.directory, "-", f"{host}/team/other:1.0")
        self.assertEqual(log.count("mounted"), 3)
        self.assertIn("repository:team/app:pull", server.asked[-1] + server.asked[-2])
        shutil.rmtree(os.path.join(self.directory, ".docker"))
        self.assertEqual(self.client("pull", push[3], "-", self.directory_of("to"))[0], digest)

    def test_docker_pulls(self):
        """what is pushed is pulled by a dockerd, from a registry in each of its three modes"""
        htpasswd = os.path.join(self.directory, "htpasswd")
        with open(htpasswd, "w", encoding="utf-8") as f:
            f.write(HTPASSWD)
        server = TokenServer(self.directory)
        self.addCleanup(server.stop)
        daemon = Daemon(self.directory_of("docker"))
        self.addCleanup(daemon.stop)
        self.assertTrue(daemon.wait(), "dockerd answers")
        for name, auth in (
                ("open", None), ("basic", {"htpasswd": {"realm": "registry", "path": htpasswd}}),
                ("token", {"token": {"realm": f"http://127.0.0.1:{server.port}/token", "service": "slipway",
                                     "issuer": "token", "rootcertbundle": server.certificate}})):
            host = self.start(auth)
            layout, digest = self.layout(name, tree(name))
            self.login(host)
            self.client("push", layout.directory, "-", f"{host}/team/{name}:1.0")
            reference = f"{host}/team/{name}@{digest}"
            if name == "basic":
                self.assertNotEqual(daemon.docker("pull", reference, check=False).returncode, 0)
            if auth:
                shutil.copy(os.path.join(self.directory, ".docker/config.json"), daemon.directory)
            self.assertIn(digest, daemon.docker("pull", reference).stdout)
            if auth:
                os.unlink(os.path.join(daemon.directory, "config.json"))

    def test_tls(self):
        def make(name, *signed_by):
            key, certificate = (os.path.join(self.directory, f"{name}.{e}") for e in ("key", "pem"))
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                            f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", *signed_by, "-keyout", key,
                            "-out", certificate], check=True, capture_output=True)
            return key, certificate
        key, certificate = make("server")
        own_key, own = make("client")
        host = self.start(tls={"certificate": certificate, "key": key, "clientcas": [own]})
        layout, digest = self.layout()
        push = ("push", layout.directory, "-", f"{host}/team/app:1.0")
        self.refused("name the file with that authority's", "--ca", own, "--certificate", own, "--key", own_key, *push)
        self.refused("certificate", "--ca", certificate, *push)
        trusted = ("--ca", certificate, "--certificate", own, "--key", own_key)
        self.assertEqual(self.client(*trusted, *push)[0], digest)
        self.assertEqual(self.client(*trusted, "resolve", push[3])[0], digest)
        cutter = Cutter(int(host.split(":")[1]), LAYER_SIZE // 2, 2)  # a broken pipe below TLS
        self.addCleanup(cutter.stop)
        through = "{}:{}".format(*cutter.address)
        out, log = self.client(*trusted, "push", layout.directory, "-", f"{through}/team/cut:1.0")
        self.assertEqual((out, cutter.cuts), (digest, 2))


if __name__ == "__main__":
    harness.main()
