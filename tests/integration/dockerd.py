# SPDX-License-Identifier: MIT
"""A dockerd of one's own in swarm mode, with a registry that its containers' images come from: one for all cases of a
module. It has its namespaces for mounts, processes and the network, so that whatever it leaves goes with them; only
its socket is outside. As root only.
"""
import atexit
import ctypes
import glob
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from collector import make_authority, make_certificate
from harness import wait_for

REGISTRY = "127.0.0.1:5000"
# Another one, which wants USER and PASSWORD.
LOCKED_REGISTRY = "127.0.0.1:5001"
USER, PASSWORD = "robot", "s3cret"
HTPASSWD = USER + ":$2b$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG\n"
TLS_PORT = 2376
CLONE_NEWNET = 0x40000000
START_SECONDS = 120
PR_SET_PDEATHSIG = 1

# In its namespaces: loopback, a registry, docker. No bridge and no firewall of docker's: a service is asked from
# within its container.
START = r'''
set -e
/bin/busybox ip link set lo up
docker-registry serve registry.yml >registry.log 2>&1 &
docker-registry serve locked.yml >locked.log 2>&1 &
exec dockerd --data-root "$PWD/data" --exec-root "$PWD/exec" -H "unix://$PWD/docker.sock" -H "tcp://127.0.0.1:$2" \
    --tlsverify --tlscacert authority.pem --tlscert manager.crt --tlskey manager.key -p "$PWD/docker.pid" \
    --bridge=none --iptables=false --ip6tables=false --cgroup-parent "$1" >dockerd.log 2>&1
'''
REGISTRY_CONFIG = """version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ROOT}}
http: {addr: ADDRESS}
"""
AUTH_CONFIG = """auth: {htpasswd: {realm: test, path: htpasswd}}
"""


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Connection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Dockerd:
    one = None

    @classmethod
    def get(cls):
        """The one of this process."""
        if cls.one is None:
            cls.one = cls()
            atexit.register(cls.one.stop)
            cls.one.start()
        return cls.one

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="swarm-")
        self.socket = os.path.join(self.directory, "docker.sock")
        self.cgroup = f"/slipway-{os.getpid()}"
        self.process = None
        self.published = set()

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w", encoding="ascii") as f:
            f.write(text)

    def start(self):
        for name, address, more in (("registry", REGISTRY, ""), ("locked", LOCKED_REGISTRY, AUTH_CONFIG)):
            self.write(name + ".yml", REGISTRY_CONFIG.replace("ROOT", os.path.join(self.directory, name))
                       .replace("ADDRESS", address) + more)
        self.write("htpasswd", HTPASSWD)
        make_authority(self.directory, "authority")
        make_certificate(self.directory, "authority", "manager", "subjectAltName=IP:127.0.0.1")
        with open(os.path.join(self.directory, "unshare.log"), "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child",
                 "sh", "-c", START, "sh", self.cgroup, str(TLS_PORT)],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
        wait_for(self.is_up, "docker answers", START_SECONDS)
        status, said = self.ask("POST", "/swarm/init", {
            "ListenAddr": "127.0.0.1:2377", "AdvertiseAddr": "127.0.0.1", "DataPathAddr": "127.0.0.1"})
        assert status == 200, said

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError("dockerd did not start: " + self.last_words())
        try:
            return self.ask("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def last_words(self):
        said = ""
        for path in sorted(glob.glob(os.path.join(self.directory, "*.log"))):
            with open(path, encoding="utf-8", errors="replace") as f:
                said += f"{os.path.basename(path)}: " + "".join(f.readlines()[-3:])
        return said

    def stop(self):
        if self.process and self.process.poll() is None:
            try:
                os.kill(int(self.first_process()), signal.SIGKILL)  # the namespace's first takes all others along
            except (IndexError, OSError):
                self.process.kill()
            self.process.wait()
        for _ in range(100):
            shutil.rmtree(self.directory, ignore_errors=True)
            if not os.path.exists(self.directory):
                break
            time.sleep(0.05)
        for root in glob.glob("/sys/fs/cgroup" + self.cgroup) + glob.glob("/sys/fs/cgroup/*" + self.cgroup):
            for directory, _, _ in os.walk(root, topdown=False):
                self.remove_cgroup(directory)

    @staticmethod
    def remove_cgroup(directory):
        for _ in range(100):
            try:
                os.rmdir(directory)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.02)

    def ask(self, method, path, body=None):
        connection = Connection(self.socket)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(data) if data else None
        except ValueError:
            return answer.status, data

    def first_process(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            return f.read().split()[0]

    def inside(self, *command, **options):
        """Runs a command where this dockerd's network is."""
        return subprocess.run(["nsenter", "-t", self.first_process(), "-n", *command], check=True, capture_output=True,
                              **options)

    def connect_unix(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.socket)
        return s

    def connect(self, port):
        """A connection to 127.0.0.1:port of that network, for who is outside. A thread changes over, and its socket stays."""
        made = []

        def connect():
            with open(f"/proc/{self.first_process()}/ns/net", encoding="ascii") as network:
                if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.create_connection(("127.0.0.1", port), timeout=60))
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        made[0].settimeout(None)
        return made[0]

    def publish(self, layout, reference):
        """Pushes the image of an OCI layout to a registry, byte for byte."""
        if reference not in self.published:
            self.inside("skopeo", "--insecure-policy", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false",
                        f"--dest-creds={USER}:{PASSWORD}", f"oci:{layout}", f"docker://{reference}")
            self.published.add(reference)

    def services(self):
        return self.ask("GET", "/services")[1]

    def containers(self, service_id):
        """Running ones of a service, the newest first."""
        filters = json.dumps({"label": [f"com.docker.swarm.service.id={service_id}"]}, separators=(",", ":"))
        status, found = self.ask("GET", "/containers/json?filters=" + filters.replace('"', "%22"))
        return sorted(found, key=lambda c: -c["Created"]) if status == 200 else []

    def call(self, container, *command):
        """What a command in a container says; None when it fails."""
        done = subprocess.run(["/usr/bin/docker", "-H", "unix://" + self.socket, "exec", container, *command],
                              capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None

    def clear(self):
        """Every service goes; what was started for it goes a moment later."""
        for service in self.services():
            self.ask("DELETE", f"/services/{service['ID']}")
