# SPDX-License-Identifier: MIT
"""The row of Docker Swarm in the conformance test: a real dockerd, a real registry, real containers."""
import functools
import io
import json
import os
import socket
import tarfile
import threading
import unittest

from deploy_case import EngineRow, make_package
from dockerd import REGISTRY, Dockerd

PORT = 8080
MILLISECOND = 1000000

# The SERVICE of deploy_case.py for an image that has nothing but a busybox in it.
SERVICE = r'''#!/bin/busybox sh
mode=$1 version=$2 directory=$3
/bin/busybox mkdir -p "$directory"
echo "$version" >>"$directory/starts"
if [ "$mode" = crash ]; then
    echo "no such table: greetings" >&2
    exit 1
fi
if [ "$mode" = fleeting ]; then
    /bin/busybox sleep 0.5
    echo "that was it" >&2
    exit 3
fi
export mode version directory
exec /bin/busybox nc -ll -p "$PORT" -e /app/answer
'''
ANSWER = r'''#!/bin/busybox sh
read -r method path rest
status=200
if [ "$path" = /health ]; then
    case $mode in
    well) ;;
    gated) [ -e "$directory/gate" ] || status=503 ;;
    *) status=503 ;;
    esac
fi
printf 'HTTP/1.0 %s X\r\nContent-Length: %s\r\n\r\n%s' "$status" "${#version}" "$version"
'''


class Door:
    """A socket that leads to where `connect` gets, and can be shut with everybody on the way: one of unix at `path`, or
    a port of 127.0.0.1."""

    def __init__(self, connect, path=None):
        self.connect, self.path = connect, path
        self.open = []
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.port = None if path else self.listener.getsockname()[1]
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                inner = self.listener.accept()[0]
                outer = self.connect()
            except OSError:
                return
            self.open += [inner, outer]
            for a, b in ((inner, outer), (outer, inner)):
                threading.Thread(target=self.carry, args=(a, b), daemon=True).start()

    @staticmethod
    def carry(a, b):
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        if self.path:
            os.unlink(self.path)
        for s in [self.listener, *self.open]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


class SwarmEngine(EngineRow):
    name = "swarm"
    crash_words = "no such table: greetings"
    missing_image_words = "No such image"
    change_method = "POST"
    repository = f"{REGISTRY}/greeter"
    cannot = {
        "bad credentials": "the API knows none but a client's certificate; test-swarm.py has one that docker refuses, and bad "
                           "credentials of a registry",
    }

    def __init__(self, directory):
        super().__init__(directory)
        if os.geteuid() != 0:
            raise unittest.SkipTest("a dockerd of its own is for root alone")
        self.docker = Dockerd.get()
        self.door = None

    @functools.cached_property
    def image_files(self):
        with open("/bin/busybox", "rb") as f:
            busybox = f.read()
        return {"app/service": (SERVICE.encode(), 0o755), "app/answer": (ANSWER.encode(), 0o755),
                "bin/busybox": (busybox, 0o755)}

    def start(self):
        self.door = Door(self.docker.connect_unix, os.path.join(self.directory, "docker.sock"))
        return self

    def leave(self):
        self.door.close()
        self.door = None

    def stop(self):
        if self.door:
            self.leave()
        self.docker.clear()

    def address(self):
        return "unix:" + os.path.join(self.directory, "docker.sock")

    def environment(self):
        return {"engine": "swarm", "address": self.address(), "url": f"http://127.0.0.1:{PORT}",
                "variables": {"port": str(PORT)}, "timeoutSeconds": 30}

    def specification(self, image, is_patient, instances, env):
        check = ["CMD", "/bin/busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{PORT}/health"]
        return {
            "Name": "${name}-${environment}",
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": image,
                    "Env": [f"{name}={value}" for name, value in {"PORT": PORT, **env}.items()],
                    "StopSignal": "SIGKILL",
                    "Mounts": [{"Type": "bind", "Source": self.directory, "Target": self.directory}],
                    "Healthcheck": {"Test": check, "Interval": 200 * MILLISECOND,
                                    "Timeout": 5000 * MILLISECOND, "Retries": 10000 if is_patient else 5}},
                "RestartPolicy": {"Condition": "any", "Delay": 1000 * MILLISECOND}},
            "Mode": {"Replicated": {"Replicas": instances}},
            "UpdateConfig": {"Parallelism": 0, "Order": "start-first", "FailureAction": "pause",
                             "Monitor": 200 * MILLISECOND}}

    def template(self, is_patient=False, instances=1, env=None, **others):
        return json.dumps({**self.specification("${image}", is_patient, instances, env or {}), **others})

    def bad_templates(self):
        return [(self.template(instances="two"), "/Mode/Replicated/Replicas: must be integer, not string"),
                (self.template(Typo=1), "/Typo: unknown member"),
                (self.template(Name="no/name"), "/Name: ")]

    def publish(self, image, arguments):
        data, digest = make_package("0", "0" * 40, arguments, files=self.image_files)
        assert image.endswith("@" + digest)
        layout = os.path.join(self.directory, "layout-" + digest[7:19])
        if not os.path.exists(layout):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                tar.extractall(layout)
        self.docker.publish(os.path.join(layout, "oci"), f"{self.repository}:{digest[7:19]}")

    def answer(self):
        for service in self.docker.services():
            for container in self.docker.containers(service["ID"]):
                if "health: starting" in container["Status"] or "(unhealthy)" in container["Status"]:
                    continue
                said = self.docker.call(container["Id"], "/bin/busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{PORT}/")
                if said:
                    return said
        return None

    def begin_elsewhere(self, app, arguments):
        _, digest = make_package("0", "0" * 40, arguments, files=self.image_files)
        self.publish(f"greeter@{digest}", arguments)
        specification = self.specification(f"{self.repository}@{digest}", True, 1, {})
        status, said = self.docker.ask("POST", "/services/create", {**specification, "Name": app})
        assert status == 201, said


Row = SwarmEngine
