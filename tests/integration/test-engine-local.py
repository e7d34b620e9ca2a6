# SPDX-License-Identifier: MIT
"""slipway-engine-local with real services on loopback: each row of its API, each way in which a deployment ends,
requests that go through its port while it switches, and kill -9 in the middle.

Every case ends by checking that the engine left no process behind."""
import concurrent.futures
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import harness
from harness import wait_for

# A small server with the vices that a case asks for in its environment.
SERVICE = r'''
import os, signal, socket, subprocess, sys, threading, time
get = os.environ.get
print("version", get("VERSION"), "on", get("PORT"), flush=True)
if get("IGNORE_TERM"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if get("DAEMON"):  # forks twice, into a session of its own, and writes its pid
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(get("DAEMON") + ".tmp", "w") as f:
                f.write(str(os.getpid()))
            os.rename(get("DAEMON") + ".tmp", get("DAEMON"))
            os.execvp("sleep", ["sleep", "600"])
        os._exit(0)
time.sleep(float(get("DELAY", "0")))

def health():
    try:
        with open(get("HEALTH", "")) as f:
            return f.read().strip() or "200"
    except OSError:
        return "200"

def answer(c):
    head = b""
    while b"\r\n\r\n" not in head:
        data = c.recv(4096)
        if not data:
            return
        head += data
    path = head.split()[1].decode()
    status, body = "200", get("VERSION", "")
    if path == "/health":
        status = health()
    elif path == "/die":
        os._exit(7)
    elif path.startswith("/slow"):
        time.sleep(float(path[5:]))
    elif path == "/environment":
        body = "\n".join(f"{k}={v}" for k, v in os.environ.items())
    elif path == "/echo":  # until the client has said all, then what it said
        body = head.partition(b"\r\n\r\n")[2].decode()
        while data := c.recv(4096):
            body += data.decode()
    elif path.startswith("/bytes"):
        body = "x" * int(path[6:])
    c.sendall(f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    c.shutdown(socket.SHUT_WR)
    while c.recv(4096):
        pass

def serve(c):
    with c:
        try:
            answer(c)
        except OSError:
            pass

s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(get("PORT"))))
s.listen(128)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
'''


class Client(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine", timeout=harness.PATIENCE_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    """A slipway-engine-local with its own state directory."""

    def __init__(self, directory):
        self.directory = directory
        self.state = os.path.join(directory, "engine")
        self.socket = os.path.join(directory, "engine.sock")
        self.process = None

    def start(self):
        with open(os.path.join(self.directory, "engine.log"), "ab") as log:
            self.process = subprocess.Popen(
                [harness.program("slipway-engine-local"), "--listen", f"unix:{self.socket}", "--state", self.state],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_listening, "the engine listens")
        return self

    def is_listening(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the engine ended with {self.process.returncode}:\n{self.log()}")
        try:
            return self.ask("GET", "/v1/health")[0] == 200
        except OSError:
            return False

    def log(self):
        with open(os.path.join(self.directory, "engine.log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def ask(self, method, path, body=None):
        """Status and parsed answer."""
        c = Client(self.socket)
        try:
            c.request(method, path, body if isinstance(body, (str, bytes, type(None))) else json.dumps(body))
            response = c.getresponse()
            return response.status, json.loads(response.read())
        finally:
            c.close()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def keepers(self):
        """Processes whose descriptor 3 is a directory of an instance."""
        found = []
        prefix = os.path.join(self.state, "instances") + "/"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/fd/3").startswith(prefix) and harness.is_alive(int(pid)):
                    found.append(int(pid))
            except OSError:
                continue
        return found


def get(port, path="/", timeout=harness.PATIENCE_SECONDS):
    """The body of a GET through 127.0.0.1:port."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request("GET", path)
        response = c.getresponse()
        body = response.read().decode()
        if response.status != 200:
            raise AssertionError(f"{path}: {response.status} {body}")
        return body
    finally:
        c.close()


class EngineCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.script = os.path.join(self.directory, "service.py")
        with open(self.script, "w", encoding="utf-8") as f:
            f.write(SERVICE)
        self.port = harness.free_port()
        self.engine = Engine(self.directory).start()
        self.addCleanup(self.end_engine)

    def end_engine(self):
        if self.engine.process.poll() is None:
            self.engine.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.engine.process.wait(harness.PATIENCE_SECONDS), 0, self.engine.log())
        for pid in self.engine.keepers():  # of an engine that a case killed: they end their service
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not self.engine.keepers(), "the keepers are gone")

    def specification(self, version="1", **members):
        env = {"VERSION": version, **members.pop("env", {})}
        return {"id": "app", "command": [sys.executable, "-ES", self.script], "port": self.port, "env": env,
                "health": {"intervalSeconds": 0.05, "deadlineSeconds": 20}, "stopGraceSeconds": 2, **members}

    def begin(self, deployment, specification, wanted=202):
        status, answer = self.engine.ask("PUT", f"/v1/apps/app?deployment={deployment}", specification)
        self.assertEqual(status, wanted, answer)
        return answer

    def deployment(self, deployment):
        status, answer = self.engine.ask("GET", f"/v1/deployments/{deployment}")
        self.assertEqual(status, 200, answer)
        return answer

    def ended(self, deployment):
        return wait_for(lambda: (d := self.deployment(deployment))["state"] != "running" and d,
                        f"deployment {deployment} ends")

    def deploy(self, deployment, specification):
        self.begin(deployment, specification)
        d = self.ended(deployment)
        self.assertEqual((d["state"], d.get("reason")), ("succeeded", None), (d["logTail"], self.engine.log()))
        return d

    def deploy_badly(self, deployment, specification):
        self.begin(deployment, specification)
        d = self.ended(deployment)
        self.assertEqual(d["state"], "failed", d)
        return d

    def read_pid(self, path):
        wait_for(lambda: os.path.exists(path), "the daemon has written its pid")
        with open(path, encoding="utf-8") as f:
            return int(f.read())

    def app(self):
        status, answer = self.engine.ask("GET", "/v1/apps/app")
        self.assertEqual(status, 200, answer)
        return answer

    def instances(self, state=None):
        return [i for i in self.app()["instances"] if state in (None, i["state"])]

    def is_refused(self):
        try:
            get(self.port)
            return False
        except ConnectionRefusedError:
            return True


class Api(EngineCase):
    def test_a_first_deployment_and_what_can_be_seen_of_it(self):
        self.assertEqual(self.engine.ask("GET", "/v1/apps"), (200, {"apps": []}))
        self.assertEqual(self.begin("d1", self.specification()), {"deployment": "d1"})
        d = self.ended("d1")
        self.assertEqual(d["app"], "app")
        self.assertEqual((d["state"], d["phase"], d["logTail"]), ("succeeded", "done", []))
        self.assertEqual(d["instances"], {"wanted": 1, "updated": 1, "healthy": 1, "old": 0})
        self.assertLess(d["startedAt"], d["finishedAt"])
        app = self.app()
        self.assertEqual((app["app"], app["deployment"]), ("app", "d1"))
        self.assertEqual(app["specification"], self.specification())
        self.assertEqual(app["url"], f"http://127.0.0.1:{self.port}")
        self.assertNotIn("next", app)
        [instance] = app["instances"]
        self.assertEqual((instance["deployment"], instance["state"]), ("d1", "healthy"))
        self.assertTrue(harness.is_alive(instance["pid"]))
        self.assertEqual(get(self.port), "1")
        self.assertEqual(get(instance["port"]), "1")
        self.assertEqual(self.engine.ask("GET", "/v1/apps"), (200, {"apps": [app]}))
        status, health = self.engine.ask("GET", "/v1/health")
        self.assertEqual((status, health["status"], health["apps"]), (200, "ok", 1))

    def test_removing_an_app(self):
        self.deploy("d1", self.specification())
        [instance] = self.instances()
        self.assertEqual(self.engine.ask("DELETE", "/v1/apps/app"), (200, {"app": "app"}))
        self.assertEqual(self.engine.ask("GET", "/v1/apps/app")[0], 404)
        self.assertEqual(self.engine.ask("GET", "/v1/deployments/d1")[0], 404)
        self.assertEqual(self.engine.ask("DELETE", "/v1/apps/app")[0], 404)
        wait_for(lambda: not harness.is_alive(instance["pid"]), "the instance is gone")
        wait_for(lambda: not os.listdir(os.path.join(self.engine.state, "apps")), "its file is gone")
        self.assertTrue(self.is_refused())
        self.deploy("d1", self.specification())  # as if it had never been

    def test_errors_are_sentences(self):
        cases = [
            ("GET", "/v1/apps/nobody", None, 404, "there is no app 'nobody'"),
            ("GET", "/v1/deployments/none", None, 404, "there is no deployment 'none'"),
            ("DELETE", "/v1/deployments/none", None, 404, "there is no deployment 'none'"),
            ("GET", "/v2", None, 404, "there is nothing at /v2"),
            ("GET", "/v1/apps/..", None, 404, "there is nothing"),
            ("POST", "/v1/apps", {}, 405, "not served with POST"),
            ("PUT", "/v1/apps/app", "{", 400, "line 1"),
            ("PUT", "/v1/apps/app", "", 400, ""),
            ("PUT", "/v1/apps/other", self.specification(), 400, "/id: is 'app', but the app is 'other'"),
            ("PUT", "/v1/apps/app?deployment=.x", self.specification(), 400, "'.x' is no identifier"),
            ("PUT", "/v1/apps/app", self.specification(address="somewhere"), 400, "/address"),
            ("PUT", "/v1/apps/app", b"x" * 300000, 413, "262144 bytes"),
        ]
        for method, path, body, wanted, sentence in cases:
            status, answer = self.engine.ask(method, path, body)
            self.assertEqual(status, wanted, (path, answer))
            self.assertIn(sentence, answer["error"])

    def test_every_mistake_of_a_specification_is_told(self):
        status, answer = self.engine.ask(
            "PUT", "/v1/apps/app", '{"id": "app",\n "comand": ["x"],\n "port": 70000,\n "health": {"path": "nowhere"}}')
        self.assertEqual(status, 400)
        for sentence in ('"command" is missing', 'line 2: /comand: unknown member; did you mean "command"?',
                         "line 3: /port: must be at most 65535", "line 4: /health/path: does not match"):
            self.assertIn(sentence, answer["error"])

    def test_a_body_without_announced_length_is_bounded_too(self):
        c = Client(self.engine.socket)
        self.addCleanup(c.close)
        c.request("PUT", "/v1/apps/app", iter([b"x" * 100000] * 4), encode_chunked=True,
                  headers={"Transfer-Encoding": "chunked"})
        response = c.getresponse()
        self.assertEqual(response.status, 413)

    def test_the_engine_chooses_an_id_where_none_is_given(self):
        status, answer = self.engine.ask("PUT", "/v1/apps/app", self.specification())
        self.assertEqual(status, 202)
        self.assertEqual(self.ended(answer["deployment"])["state"], "succeeded")

    def test_a_repeated_put_is_the_same_deployment(self):
        slow = self.specification(env={"DELAY": "0.3"})
        self.begin("d1", slow)
        self.assertEqual(self.begin("d1", slow), {"deployment": "d1"})
        self.assertIn("another specification",
                      self.begin("d1", self.specification("2"), wanted=409)["error"])
        self.assertIn("deployment 'd1' of app 'app' runs", self.begin("d2", slow, wanted=409)["error"])
        status, answer = self.engine.ask("PUT", "/v1/apps/b?deployment=d1", {**slow, "id": "b"})
        self.assertEqual((status, answer["error"]), (409, "deployment 'd1' is one of app 'app'"))
        self.ended("d1")
        self.assertEqual(self.begin("d1", slow, wanted=200), {"deployment": "d1"})
        self.assertEqual(len(self.instances()), 1)
        self.assertEqual(self.begin("d2", slow, wanted=200), {"deployment": "d1", "isUnchanged": True})

    def test_a_first_deployment_is_seen_while_it_runs_and_leaves_nothing_if_it_fails(self):
        self.begin("d1", self.specification(env={"DELAY": "30"}, health={"deadlineSeconds": 0.6}))
        app = wait_for(lambda: (a := self.app())["instances"] and a, "an instance is there")
        self.assertEqual(app["next"], "d1")
        self.assertNotIn("specification", app)
        self.assertNotIn("deployment", app)
        self.assertEqual(app["instances"][0]["state"], "starting")
        self.assertTrue(self.is_refused())
        self.assertEqual(self.ended("d1")["state"], "failed")
        self.assertEqual(self.engine.ask("GET", "/v1/apps/app")[0], 404)
        self.assertEqual(self.engine.ask("GET", "/v1/apps"), (200, {"apps": []}))
        self.assertEqual(self.deployment("d1")["state"], "failed")

    def test_cancelling(self):
        self.deploy("d1", self.specification())
        self.begin("d2", self.specification("2", env={"DELAY": "30"}))
        wait_for(lambda: len(self.instances()) == 2, "the new instance is there")
        status, d = self.engine.ask("DELETE", "/v1/deployments/d2")
        self.assertEqual((status, d["state"], d["reason"]), (200, "cancelled", "it was cancelled"))
        wait_for(lambda: len(self.instances()) == 1, "the new instance is gone")
        self.assertEqual((self.app()["deployment"], get(self.port)), ("d1", "1"))
        self.assertEqual(self.engine.ask("DELETE", "/v1/deployments/d2")[1]["state"], "cancelled")
        self.assertEqual(self.engine.ask("DELETE", "/v1/deployments/d1")[1]["state"], "succeeded")

    def test_after_the_switch_nothing_is_cancelled(self):
        self.deploy("d1", self.specification())
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(get, self.port, "/slow0.5")
            wait_for(lambda: self.engine.ask("GET", "/v1/health")[1]["connections"] == 1, "it is asked")
            self.begin("d2", self.specification("2"))
            d = wait_for(lambda: (d := self.deployment("d2"))["phase"] == "finishing" and d, "the switch")
            self.assertEqual((d["state"], d["instances"]["old"]), ("running", 1))
            self.assertEqual((self.app()["deployment"], self.app()["next"]), ("d2", "d2"))
            status, answer = self.engine.ask("DELETE", "/v1/deployments/d2")
            self.assertEqual(status, 409)
            self.assertIn("serves already", answer["error"])
            self.assertEqual(slow.result(), "1")
        self.assertEqual(self.ended("d2")["state"], "succeeded")

    def test_others_are_not_let_in(self):
        self.assertEqual(os.stat(self.engine.socket).st_mode & 0o777, 0o600)
        if os.getuid() != 0:
            self.skipTest("needs root to be somebody else")
        os.chmod(self.directory, 0o711)
        os.chmod(self.engine.socket, 0o666)
        result = subprocess.run(["curl", "-s", "--unix-socket", self.engine.socket, "http://engine/v1/health"],
                                user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=False)
        self.assertIn("only root and the engine's own user", result.stdout, result.stderr)


class Failures(EngineCase):
    """What ran before goes on, and the reason is the truth."""

    def check(self, specification, *sentences):
        self.deploy("d1", self.specification())
        d = self.deploy_badly("d2", specification)
        for sentence in sentences:
            self.assertIn(sentence, d["reason"])
        self.assertEqual((self.app()["deployment"], get(self.port)), ("d1", "1"))
        wait_for(lambda: len(self.instances()) == 1, "only the old instance is there")
        return d

    def test_the_command_is_missing(self):
        self.check({**self.specification(), "command": ["/no/such/program"]},
                   "did not start: cannot start '/no/such/program': No such file or directory")

    def test_the_root_is_missing(self):
        self.check({**self.specification(), "root": "/no/such/root"}, "the root '/no/such/root' is no directory")

    def test_the_working_directory_is_missing(self):
        self.check({**self.specification(), "workingDirectory": "/no/such/place"},
                   "cannot enter the working directory '/no/such/place'")

    def test_it_dies_at_once(self):
        script = "for i in $(seq 30); do echo line $i; done; printf '\\377 last' >&2; exit 3"
        d = self.check({**self.specification(), "command": ["sh", "-c", script]},
                       "an instance exited with status 3 before it was healthy")
        self.assertEqual(d["logTail"], [f"line {n}" for n in range(12, 31)] + ["\ufffd last"])

    def test_it_is_killed(self):
        self.check({**self.specification(), "command": ["sh", "-c", "kill -SEGV $$"]},
                   "was ended by signal 11 (Segmentation fault)")

    def test_its_health_is_never_good(self):
        health = os.path.join(self.directory, "health")
        with open(health, "w", encoding="utf-8") as f:
            f.write("503")
        d = self.check(self.specification("2", env={"HEALTH": health}, health={"deadlineSeconds": 0.5}),
                       "0 of 1 instances were healthy within 0.5 s", "GET /health: answered 503")
        self.assertEqual(d["instances"], {"wanted": 1, "updated": 1, "healthy": 0, "old": 1})
        self.assertRegex(d["logTail"][0], "^version 2 on ")

    def test_it_does_not_listen(self):
        self.check({**self.specification(), "command": ["sleep", "600"], "health": {"deadlineSeconds": 0.3}},
                   "GET /health: nothing listens on its PORT")

    def test_it_does_not_answer(self):
        code = "import os, socket, time; s = socket.create_server(('127.0.0.1', int(os.environ['PORT']))); time.sleep(600)"
        self.check({**self.specification(), "command": [sys.executable, "-ESc", code],
                    "health": {"timeoutSeconds": 0.1, "deadlineSeconds": 0.6}}, "no answer within 0.1 s")

    def test_the_port_is_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.check({**self.specification("2"), "port": port},
                       f"cannot listen on 127.0.0.1 port {port}: Address already in use")

    def test_one_of_several_dies(self):
        # The second of the two finds the file of the first.
        mark = os.path.join(self.directory, "mark")
        script = f'mkdir {mark} 2>/dev/null || exit 9; exec "$0" "$@"'
        self.check({**self.specification("2"), "instances": 2,
                    "command": ["sh", "-c", script, sys.executable, "-ES", self.script]},
                   "an instance exited with status 9")

    def test_another_app_has_the_port(self):
        self.deploy("d1", self.specification())
        status, _ = self.engine.ask("PUT", "/v1/apps/b?deployment=b1", {**self.specification(), "id": "b"})
        self.assertEqual(status, 202)
        self.assertIn("another app of this engine has it", self.ended("b1")["reason"])


class Switching(EngineCase):
    def test_no_request_is_lost(self):
        """no request is lost while versions are switched"""
        self.deploy("d1", self.specification("1", instances=2))
        stop, answers, failures = threading.Event(), [], []

        def ask():
            while not stop.is_set():
                try:
                    answers.append(get(self.port))
                except (OSError, http.client.HTTPException) as e:
                    failures.append(repr(e))
                time.sleep(0.002)

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for thread in askers:
            thread.start()
        for n in (2, 3, 4):
            self.deploy(f"d{n}", self.specification(str(n), instances=2))
        stop.set()
        for thread in askers:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(sorted(set(answers)), ["1", "2", "3", "4"])
        self.assertEqual(get(self.port), "4")

    def test_a_slow_request_of_the_old_one_is_finished(self):
        self.deploy("d1", self.specification())
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(get, self.port, "/slow0.4")
            wait_for(lambda: self.engine.ask("GET", "/v1/health")[1]["connections"] == 1, "it is asked")
            self.deploy("d2", self.specification("2"))
            self.assertTrue(slow.done())
            self.assertEqual(slow.result(), "1")

    def test_one_that_is_too_slow_is_not_waited_for(self):
        """a request slower than stopGraceSeconds is not waited for"""
        self.deploy("d1", self.specification(stopGraceSeconds=0.2))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(get, self.port, "/slow30")
            wait_for(lambda: self.engine.ask("GET", "/v1/health")[1]["connections"] == 1, "it is asked")
            self.deploy("d2", self.specification("2"))
            with self.assertRaises((OSError, http.client.HTTPException)):
                slow.result()

    def test_sigterm_ignored(self):
        """an instance that ignores SIGTERM is killed after its grace"""
        self.deploy("d1", self.specification(env={"IGNORE_TERM": "1"}, stopGraceSeconds=0.2))
        [old] = self.instances()
        self.deploy("d2", self.specification("2"))
        self.assertFalse(harness.is_alive(old["pid"]))

    def test_a_process_that_left_its_session_is_ended_too(self):
        pid_file = os.path.join(self.directory, "daemon")
        self.deploy("d1", self.specification(env={"DAEMON": pid_file}))
        pid = self.read_pid(pid_file)
        self.assertTrue(harness.is_alive(pid))
        self.deploy("d2", self.specification("2"))
        self.assertFalse(harness.is_alive(pid))

    def test_another_port_and_more_instances(self):
        self.deploy("d1", self.specification())
        old, self.port = self.port, harness.free_port()
        d = self.deploy("d2", self.specification("2", instances=3))
        self.assertEqual(d["instances"], {"wanted": 3, "updated": 3, "healthy": 3, "old": 0})
        self.assertEqual(get(self.port), "2")
        with self.assertRaises(ConnectionRefusedError):
            get(old)

    def test_root_and_environment(self):
        root = os.path.join(self.directory, "root")
        os.makedirs(os.path.join(root, "srv"))
        os.rename(self.script, os.path.join(root, "srv/service.py"))
        self.deploy("d1", {**self.specification(env={"PORT": "1", "A": "b=c"}), "root": root, "workingDirectory": "/srv",
                           "command": [sys.executable, "-ES", "/srv/service.py"]})
        [instance] = self.instances()
        environment = dict(line.split("=", 1) for line in get(self.port, "/environment").splitlines())
        self.assertEqual(os.readlink(f"/proc/{instance['pid']}/cwd"), os.path.join(root, "srv"))
        wanted = {"A": "b=c", "PORT": str(instance["port"]), "SLIPWAY_APP": "app", "SLIPWAY_DEPLOYMENT": "d1",
                  "SLIPWAY_INSTANCE": instance["instance"]}
        self.assertEqual({**environment, **wanted}, environment)
        for fd in os.listdir(f"/proc/{instance['pid']}/fd"):
            self.assertNotIn(self.engine.state, os.readlink(f"/proc/{instance['pid']}/fd/{fd}"))

    def test_a_half_closed_connection_and_a_large_answer(self):
        self.deploy("d1", self.specification())
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(b"POST /echo HTTP/1.1\r\n\r\nfirst")
            s.sendall(b" second")
            s.shutdown(socket.SHUT_WR)
            self.assertTrue(s.makefile("rb").read().endswith(b"\r\n\r\nfirst second"))
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(b"GET /bytes5000000 HTTP/1.1\r\n\r\n")
            time.sleep(0.1)  # not waiting for anything: the reader is slow, and all buffers are full
            self.assertEqual(len(s.makefile("rb").read().partition(b"\r\n\r\n")[2]), 5000000)


class Supervision(EngineCase):
    def test_one_that_dies_is_started_again(self):
        self.deploy("d1", self.specification())
        [before] = self.instances()
        with self.assertRaises((OSError, http.client.HTTPException)):
            get(self.port, "/die")
        after = wait_for(lambda: [i for i in self.instances("healthy") if i["pid"] != before["pid"]],
                         "another instance is healthy")
        self.assertEqual([i["deployment"] for i in after], ["d1"])
        self.assertEqual(get(self.port), "1")
        self.assertIn("exited with status 7; starting another in 0.1 s", self.engine.log())

    def test_a_keeper_that_is_killed_takes_all_with_it(self):
        pid_file = os.path.join(self.directory, "daemon")
        self.deploy("d1", self.specification(env={"DAEMON": pid_file}))
        [before] = self.instances()
        daemon = self.read_pid(pid_file)
        [keeper] = self.engine.keepers()
        os.kill(keeper, signal.SIGKILL)
        wait_for(lambda: [i for i in self.instances("healthy") if i["pid"] != before["pid"]],
                 "another instance is healthy")
        self.assertFalse(harness.is_alive(before["pid"]))
        self.assertFalse(harness.is_alive(daemon))

    def test_health_good_then_bad(self):
        """one that becomes unhealthy gets no connections, says why, and is replaced after its deadline"""
        health = os.path.join(self.directory, "health")
        self.deploy("d1", self.specification(instances=2, env={"HEALTH": health + "-$"}))
        self.deploy("d2", self.specification(
            env={"HEALTH": health}, health={"intervalSeconds": 0.02, "deadlineSeconds": 1.5}))
        [before] = self.instances()
        with open(health, "w", encoding="utf-8") as f:
            f.write("500")
        [bad] = wait_for(lambda: self.instances("unhealthy"), "the instance is unhealthy")
        self.assertEqual(bad["reason"], "GET /health: answered 500")
        self.assertEqual(get(self.port), "1")  # it is the only one: better than nothing
        os.unlink(health)
        wait_for(lambda: self.instances("healthy"), "it is healthy again")
        self.assertEqual(self.instances()[0]["pid"], before["pid"])
        with open(health, "w", encoding="utf-8") as f:
            f.write("500")
        wait_for(lambda: not harness.is_alive(before["pid"]), "it is given up")
        os.unlink(health)
        wait_for(lambda: self.instances("healthy"), "another one is healthy")

    def test_an_unchanged_but_broken_app_is_deployed_again(self):
        health = os.path.join(self.directory, "health")
        specification = self.specification(env={"HEALTH": health}, health={"intervalSeconds": 0.02})
        self.deploy("d1", specification)
        with open(health, "w", encoding="utf-8") as f:
            f.write("500")
        wait_for(lambda: self.instances("unhealthy"), "the instance is unhealthy")
        os.unlink(health)
        self.begin("d2", specification, wanted=202)
        self.assertEqual(self.ended("d2")["state"], "succeeded")

    def test_a_log_is_bounded(self):
        code = ("import os\nfor i in range(50000): print('x' * 100, i)\nprint('end', flush=True)\n"
                "os.execv(os.sys.executable, [os.sys.executable, '-ES', os.environ['SCRIPT']])")
        self.deploy("d1", {**self.specification(env={"SCRIPT": self.script}),
                           "command": [sys.executable, "-ESc", code]})
        [instance] = self.instances()
        logs = os.path.join(self.engine.state, "logs/app")
        sizes = {name: os.path.getsize(os.path.join(logs, name)) for name in os.listdir(logs)}
        self.assertEqual(sorted(sizes), [f"{instance['instance']}.log", f"{instance['instance']}.log.1"])
        self.assertLessEqual(max(sizes.values()), 1 << 20)
        with open(os.path.join(logs, f"{instance['instance']}.log"), encoding="utf-8") as f:
            self.assertIn("end\nversion 1 on", f.read())


class Restarting(EngineCase):
    def test_killed_engine(self):
        """services go on while their engine is killed, and the next one takes them over"""
        self.deploy("d1", self.specification(instances=2))
        before = self.instances()
        self.engine.kill()
        self.assertEqual([get(i["port"]) for i in before], ["1", "1"])
        self.engine.start()
        after = wait_for(lambda: len(i := self.instances("healthy")) == 2 and i, "both are there")
        self.assertEqual(sorted(i["pid"] for i in after), sorted(i["pid"] for i in before))
        self.assertEqual(sorted(i["startedAt"] for i in after), sorted(i["startedAt"] for i in before))
        self.assertEqual(get(self.port), "1")
        self.assertEqual(len(self.engine.keepers()), 2)
        self.assertEqual(self.begin("d1", self.specification(instances=2), wanted=200), {"deployment": "d1"})
        self.deploy("d2", self.specification("2"))
        self.assertFalse(any(harness.is_alive(i["pid"]) for i in before))

    def test_one_that_died_meanwhile_is_started(self):
        self.deploy("d1", self.specification())
        [before] = self.instances()
        self.engine.kill()
        os.kill(before["pid"], signal.SIGKILL)
        wait_for(lambda: not self.engine.keepers(), "its keeper is gone")
        self.engine.start()
        wait_for(lambda: self.instances("healthy"), "another one is healthy")
        self.assertEqual((len(self.instances()), get(self.port)), (1, "1"))

    def test_killed_with_its_keepers(self):
        """what is left after engine and keeper were killed is ended before it is started anew"""
        pid_file = os.path.join(self.directory, "daemon")
        self.deploy("d1", self.specification(env={"DAEMON": pid_file}))
        daemon = self.read_pid(pid_file)
        os.unlink(pid_file)
        self.engine.kill()
        for pid in self.engine.keepers():
            os.kill(pid, signal.SIGKILL)
        self.assertTrue(harness.is_alive(daemon))
        self.engine.start()
        wait_for(lambda: not harness.is_alive(daemon), "what was left is ended")
        wait_for(lambda: self.instances("healthy"), "another one is healthy")

    def test_killed_while_a_deployment_starts(self):
        self.deploy("d1", self.specification())
        slow = self.specification("2", env={"DELAY": "1"})
        self.begin("d2", slow)
        wait_for(lambda: len(self.engine.keepers()) == 2, "the new instance is there")
        self.engine.kill()
        self.engine.start()
        self.assertEqual(self.begin("d2", slow), {"deployment": "d2"})
        wait_for(lambda: not self.is_refused(), "the old one serves again")
        self.assertEqual((self.deployment("d2")["state"], get(self.port)), ("running", "1"))
        self.assertEqual(self.ended("d2")["state"], "succeeded")
        self.assertNotIn("cannot listen", self.engine.log())
        self.assertEqual((len(self.instances()), get(self.port)), (1, "2"))

    def test_killed_while_a_deployment_finishes(self):
        self.deploy("d1", self.specification(env={"IGNORE_TERM": "1"}, stopGraceSeconds=0.4))
        self.begin("d2", self.specification("2"))
        wait_for(lambda: self.deployment("d2")["phase"] == "finishing", "the switch")
        self.engine.kill()
        self.engine.start()
        self.assertEqual(self.ended("d2")["state"], "succeeded")
        self.assertEqual((len(self.instances()), get(self.port)), (1, "2"))

    def test_killed_at_any_moment_there_are_never_two_copies(self):
        self.deploy("d0", self.specification("0"))
        for n in range(1, 8):
            specification = self.specification(str(n))
            self.begin(f"d{n}", specification)
            time.sleep(0.008 * n)  # another moment each time, that is the point
            self.engine.kill()
            self.engine.start()
            self.begin_again(f"d{n}", specification)
            d = self.ended(f"d{n}")
            self.assertEqual(d["state"], "succeeded", (d, self.engine.log()))
            self.assertEqual((len(self.engine.keepers()), get(self.port)), (1, str(n)))

    def begin_again(self, deployment, specification):
        status, answer = self.engine.ask("PUT", f"/v1/apps/app?deployment={deployment}", specification)
        self.assertIn(status, (200, 202), answer)

    def test_stopped_and_started(self):
        """SIGTERM ends all services, and they come back"""
        self.deploy("d1", self.specification())
        [before] = self.instances()
        self.engine.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.engine.process.wait(harness.PATIENCE_SECONDS), 0)
        self.assertFalse(harness.is_alive(before["pid"]))
        self.assertFalse(os.path.exists(self.engine.socket))
        self.assertTrue(self.is_refused())
        self.engine.start()
        wait_for(lambda: self.instances("healthy"), "it is back")
        self.assertEqual((self.app()["deployment"], get(self.port)), ("d1", "1"))

    def test_stopped_in_a_hurry(self):
        """a second SIGTERM does not wait"""
        self.deploy("d1", self.specification(env={"IGNORE_TERM": "1"}, stopGraceSeconds=600))
        self.engine.process.send_signal(signal.SIGTERM)
        wait_for(lambda: self.engine.ask("GET", "/v1/health")[1]["status"] == "stopping", "it stops")
        status, answer = self.engine.ask("PUT", "/v1/apps/app", self.specification("2"))
        self.assertEqual((status, answer["error"]), (503, "the engine is stopping"))
        self.engine.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.engine.process.wait(harness.PATIENCE_SECONDS), 0)

    def test_one_engine_for_each_state_directory(self):
        for arguments, status, sentence in (
                (["--listen", f"unix:{self.directory}/b.sock", "--state", self.engine.state], 75, "another engine has"),
                (["--listen", f"unix:{self.engine.socket}", "--state", self.directory + "/b"], 69,
                 "another engine listens")):
            result = subprocess.run([harness.program("slipway-engine-local"), *arguments], capture_output=True,
                                    text=True, timeout=harness.PATIENCE_SECONDS, check=False)
            self.assertEqual(result.returncode, status)
            self.assertIn(sentence, result.stderr)
        self.assertEqual(self.engine.ask("GET", "/v1/health")[0], 200)


class CommandLine(harness.Case):
    def run_engine(self, *arguments):
        return subprocess.run([harness.program("slipway-engine-local"), *arguments], capture_output=True, text=True,
                              timeout=harness.PATIENCE_SECONDS, check=False)

    def test_help_and_version(self):
        for option in ("--listen", "--state", "--help", "--version"):
            self.assertIn(option, self.run_engine("--help").stdout)
        self.assertRegex(self.run_engine("--version").stdout, r"^slipway-engine-local \d+\.\d+")

    def test_wrong_usage(self):
        for arguments, sentence in (
                (["--state", "x"], "--listen unix:PATH"), (["--listen", "x", "--state", "x"], "--listen unix:PATH"),
                (["--listen", "unix:x"], "--state DIR"), (["--state"], "needs a value"),
                (["--stat", "x"], "there is no option '--stat'"), (["x"], "there is no option 'x'"),
                (["--help=x"], "takes no value")):
            result = self.run_engine(*arguments)
            self.assertEqual((result.returncode, result.stdout), (64, ""), arguments)
            self.assertIn(sentence, result.stderr)

    def test_a_path_that_is_too_long(self):
        result = self.run_engine("--listen", "unix:/" + "x" * 200, "--state", self.directory + "/s")
        self.assertEqual(result.returncode, 69)
        self.assertIn("longer than 107 bytes", result.stderr)


if __name__ == "__main__":
    harness.main()
