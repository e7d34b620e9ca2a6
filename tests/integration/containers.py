# SPDX-License-Identifier: MIT
"""Daemons of others for tests of images, each with directories, a socket or a port, and a pid of its own."""
import contextlib
import os
import re
import signal
import subprocess
import time


class Daemon:
    """A dockerd of our own: its directories, socket and pid file are in `directory`, and it touches no network."""

    def __init__(self, directory, storage="vfs"):
        self.directory = directory
        self.socket = f"unix://{directory}/docker.sock"
        self.environment = {**os.environ, "DOCKER_HOST": self.socket, "DOCKER_CONFIG": directory}
        self.log = open(os.path.join(directory, "log"), "wb")
        self.process = subprocess.Popen(
            ["dockerd", "--host", self.socket, "--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec",
             "--pidfile", f"{directory}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false",
             *(["--storage-driver", storage] if storage else []), "--insecure-registry=127.0.0.0/8"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def wait(self):
        """True when it answers; False where it cannot run here at all."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.docker("version", check=False).returncode == 0:
                return True
            time.sleep(0.1)  # dockerd tells nobody that it is ready
        return False

    def docker(self, *arguments, check=True):
        result = subprocess.run(["docker", *arguments], env=self.environment, capture_output=True, text=True,
                                check=False)
        if check and result.returncode:
            raise AssertionError(f"docker {' '.join(arguments)}: {result.stderr}")
        return result

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


class Registry:
    """A docker-registry of our own, on a port that the kernel chooses."""

    def __init__(self, directory):
        config = os.path.join(directory, "registry.yml")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {directory}/registry}}}}\n"
                    "http: {addr: 127.0.0.1:0}\n")
        self.log = os.path.join(directory, "registry.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", config], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while not (match := re.search(r"listening on (127\.0\.0\.1:\d+)", self.read())):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"docker-registry does not start: {self.read()}")
            time.sleep(0.05)  # it tells its log alone
        self.address = match[1]

    def read(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
