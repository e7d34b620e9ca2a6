# SPDX-License-Identifier: MIT
"""Marathon as it behaves, with apps that are real processes, asked by real health checks: what is wanted and what runs
are two things, a deployment replaces tasks stepwise, never fails by itself, and is forgotten when it has ended.
Its seconds are a tenth of ours. The API over it is marathon_api.py, the app's types are marathon_types.py."""
import copy
import datetime
import http.client
import itertools
import math
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
import uuid

import harness
import marathon_types

SPEED = 10
TICK_SECONDS = 0.02


class Refused(Exception):
    """An answer that is no success: status and JSON."""

    def __init__(self, status, body):
        super().__init__(status, body)
        self.status, self.body = status, body


class Task:
    def __init__(self, app, directory, number):
        self.app_id, self.config, self.version = app.id, app.config, app.version
        self.id = f"{app.id.strip('/').replace('/', '_')}.instance-{uuid.uuid4()}._app.{number}"
        self.sandbox = os.path.join(directory, self.id)
        self.state = "TASK_STAGING"
        self.ports = [harness.free_port() for _ in marathon_types.ports_of(app.config)]
        self.started_at = self.process = self.killed_at = None
        self.health = [None for _ in app.config.get("healthChecks", [])]
        self.next_check = [0] * len(self.health)
        self.is_checked = [False] * len(self.health)
        self.is_unhealthy_kill = False

    def environment(self):
        env = {"PATH": os.environ["PATH"], "MARATHON_APP_ID": self.app_id, "MESOS_SANDBOX": self.sandbox,
               "MARATHON_APP_VERSION": self.version}
        ports = {f"PORT{i}": str(port) for i, port in enumerate(self.ports)}
        if self.ports:
            ports["PORT"] = str(self.ports[0])
        # A bridged container listens on its own port; there is no network of its own here, so it gets the host's.
        if "container" in self.config:
            return {**env, **self.config.get("env", {}), **ports}
        return {**env, **ports, **self.config.get("env", {})}

    def is_healthy(self):
        return self.state == "TASK_RUNNING" and all(h and h["alive"] for h in self.health)

    def to_json(self):
        results = [h for h in self.health if h]
        return {"appId": self.app_id, "host": "127.0.0.1", "id": self.id, "ports": self.ports, "slaveId": "agent0",
                "state": self.state, "version": self.version, "role": "*", "region": None,
                **({"startedAt": stamp(self.started_at)} if self.started_at else {}),
                **({"healthCheckResults": results} if results else {})}


class App:
    def __init__(self, app_id):
        self.id = app_id
        self.config = self.version = self.config_version = self.scaling_version = None
        self.versions = {}
        self.last_failure = None
        self.delay = 0
        self.next_launch = 0
        self.is_removed = False


class Deployment:
    def __init__(self, app, before):
        self.id, self.app, self.before = str(uuid.uuid4()), app, before
        self.version = app.version
        self.hidden_reads = 0


def stamp(seconds):
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Marathon:
    def __init__(self, directory):
        self.directory = os.path.join(directory, "mesos")
        os.makedirs(self.directory)
        self.lock = threading.RLock()
        self.apps, self.deployments, self.tasks = {}, [], []
        self.images = {}            # image: argv
        self.capacity = 1000        # tasks that Mesos has room for
        self.max_deployments = 100
        self.late_listing = 0       # reads that miss a new deployment
        self.is_stuck = False       # deployments do nothing
        self.last_time = 0
        self.numbers = itertools.count(1)
        self.service_ports = itertools.count(10000)
        self.is_running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # ---- life

    def run(self):
        while self.is_running:
            with self.lock:
                self.tick()
            time.sleep(TICK_SECONDS)

    def stop(self):
        self.is_running = False
        self.thread.join()
        for task in self.tasks:
            if task.process:
                self.signal(task, signal.SIGKILL)
                task.process.wait()

    def signal(self, task, number):
        try:
            os.killpg(task.process.pid, number)
        except ProcessLookupError:
            pass

    def now(self):
        """No two versions are of the same millisecond."""
        self.last_time = max(time.time(), self.last_time + 0.001)
        return stamp(self.last_time)

    # ---- what runs

    def tasks_of(self, app):
        return [t for t in self.tasks if t.app_id == app.id]

    def launch(self, app):
        task = Task(app, self.directory, next(self.numbers))
        self.tasks.append(task)
        os.makedirs(task.sandbox)
        problem = self.fetch(task)
        argv = None if problem else self.argv(app.config)
        if argv is None:
            image = app.config.get("container", {}).get("docker", {}).get("image")
            self.end(app, task, "TASK_FAILED", problem or
                     f"Failed to launch container: Failed to run 'docker -H unix:///var/run/docker.sock pull {image}': "
                     "exited with status 1; stderr='Error response from daemon: manifest unknown: manifest unknown")
            return
        with open(os.path.join(task.sandbox, "stderr"), "wb") as log:
            task.process = subprocess.Popen(argv, cwd=task.sandbox, env=task.environment(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)

    def argv(self, config):
        docker = config.get("container", {}).get("docker")
        if docker:
            image = self.images.get(docker["image"])
            return image and [*image[:1], *(config.get("args") or image[1:])]
        return ["/bin/sh", "-c", config["cmd"]] if "cmd" in config else config["args"]

    def fetch(self, task):
        for artifact in task.config.get("fetch", []):
            source = artifact["uri"].removeprefix("file://")
            if not os.path.exists(source):
                return f"Failed to fetch all URIs for container '{task.id}': exited with status 1"
            target = os.path.join(task.sandbox, artifact.get("destPath", os.path.basename(source)))
            shutil.copy(source, target)
            if artifact["executable"]:
                os.chmod(target, 0o755)
            elif artifact["extract"] and tarfile.is_tarfile(target):
                with tarfile.open(target) as tar:
                    tar.extractall(task.sandbox, filter="data")
        return None

    def end(self, app, task, state, message):
        """It is gone; Mesos says how."""
        self.tasks.remove(task)
        if state in ("TASK_FAILED", "TASK_ERROR", "TASK_LOST"):
            self.note_failure(app, task, state, message)

    def note_failure(self, app, task, state, message):
        app.last_failure = {"appId": app.id, "host": "127.0.0.1", "message": message, "state": state, "taskId": task.id,
                            "slaveId": "agent0", "timestamp": stamp(time.time()), "version": task.version}
        app.delay = min(max(app.delay * app.config["backoffFactor"], app.config["backoffSeconds"]),
                        app.config["maxLaunchDelaySeconds"])
        app.next_launch = time.monotonic() + app.delay / SPEED

    def kill(self, task):
        if task.state != "TASK_KILLING":
            task.state = "TASK_KILLING"
            task.killed_at = time.monotonic()
            self.signal(task, signal.SIGTERM)

    def look_at(self, task):
        app = self.apps[task.app_id]
        code = task.process.poll()
        if code is not None:
            if task.state == "TASK_KILLING":
                self.end(app, task, "TASK_KILLED", "Container killed")
            else:
                self.end(app, task, "TASK_FINISHED" if code == 0 else "TASK_FAILED", f"Command exited with status {code}")
            return
        if task.state == "TASK_STAGING":
            task.state, task.started_at = "TASK_RUNNING", time.time()
        if task.killed_at and time.monotonic() - task.killed_at > 3:
            self.signal(task, signal.SIGKILL)
        for i, check in enumerate(task.config.get("healthChecks", [])):
            if task.state == "TASK_RUNNING" and not task.is_checked[i] and time.monotonic() >= task.next_check[i]:
                task.next_check[i] = time.monotonic() + check["intervalSeconds"] / SPEED
                task.is_checked[i] = True
                threading.Thread(target=self.check, args=(task, i, check), daemon=True).start()

    def check(self, task, i, check):
        port = check.get("port") or task.ports[check.get("portIndex", 0)]
        try:
            if check["protocol"].endswith("TCP"):
                socket.create_connection(("127.0.0.1", port), max(check["timeoutSeconds"] / SPEED, 1)).close()
                cause = None
            else:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=max(check["timeoutSeconds"] / SPEED, 1))
                connection.request("GET", check.get("path", "/"))
                answer = connection.getresponse()
                cause = None if 200 <= answer.status < 400 else f"{answer.status} {answer.reason}"
                connection.close()
        except (OSError, http.client.HTTPException) as e:
            cause = f"{type(e).__name__}: {e}"
        with self.lock:
            task.is_checked[i] = False
            self.take_result(task, i, check, cause)

    def take_result(self, task, i, check, cause):
        health = task.health[i]
        is_young = time.time() - (task.started_at or 0) < check["gracePeriodSeconds"] / SPEED
        if task not in self.tasks or task.state != "TASK_RUNNING":
            return
        if cause is None:
            first = health["firstSuccess"] if health and "firstSuccess" in health else stamp(time.time())
            task.health[i] = {"alive": True, "consecutiveFailures": 0, "firstSuccess": first, "instanceId": task.id,
                              "lastSuccess": stamp(time.time()), "lastFailure": None, "lastFailureCause": None}
        elif not (is_young and not (health and "firstSuccess" in health)):
            failures = (health["consecutiveFailures"] if health else 0) + 1
            task.health[i] = {**(health or {"instanceId": task.id}), "alive": False, "consecutiveFailures": failures,
                              "lastFailure": stamp(time.time()), "lastFailureCause": cause}
            if 0 < check["maxConsecutiveFailures"] <= failures:
                self.note_failure(self.apps[task.app_id], task, "TASK_KILLED",
                                  f"Task was killed since health check failed. Reason: {cause}")
                self.kill(task)

    # ---- what is wanted

    def is_new(self, app, task):
        return not app.is_removed and task.version >= app.config_version

    def tick(self):
        for task in list(self.tasks):
            self.look_at(task)
        for app in list(self.apps.values()):
            self.reconcile(app)

    def reconcile(self, app):
        deployment = self.deployment_of(app)
        tasks = self.tasks_of(app)
        if self.is_stuck and deployment:
            return
        if app.is_removed:
            for task in tasks:
                self.kill(task)
            if not tasks:
                del self.apps[app.id]
                self.deployments = [d for d in self.deployments if d is not deployment]
            return
        new = [t for t in tasks if self.is_new(app, t) and t.state != "TASK_KILLING"]
        old = [t for t in tasks if not self.is_new(app, t)]
        wanted, strategy = app.config["instances"], app.config["upgradeStrategy"]
        least = math.ceil(wanted * strategy["minimumHealthCapacity"])
        most = math.floor(wanted * (1 + strategy["maximumOverCapacity"]))
        most += least == most
        healthy = [t for t in new if t.is_healthy()]
        if deployment or not old:
            self.launch_missing(app, wanted - len(new), most - len(new) - len(old))
        for task in new[wanted:]:
            self.kill(task)
        staying = [t for t in old if t.state != "TASK_KILLING"]
        if deployment and len(healthy) >= wanted:
            for task in staying:
                self.kill(task)
        elif deployment:
            for task in staying[:max(0, len(staying) + len(healthy) - least)]:
                self.kill(task)
        if deployment and len(healthy) == wanted == len(new) and not old:
            self.deployments.remove(deployment)
            app.delay = 0

    def launch_missing(self, app, missing, places):
        for _ in range(max(0, min(missing, places))):
            if len(self.tasks) < self.capacity and time.monotonic() >= app.next_launch:
                self.launch(app)

    def deployment_of(self, app):
        return next((d for d in self.deployments if d.app is app), None)

    def listed(self):
        """The running deployments, as one read sees them."""
        seen = []
        for deployment in self.deployments:
            if deployment.hidden_reads > 0:
                deployment.hidden_reads -= 1
            else:
                seen.append(deployment)
        return seen

    def set_config(self, app, config):
        """Returns the deployment."""
        before = app.config
        app.version = self.now()
        is_scaling = before and {**before, "instances": 0} == {**config, "instances": 0}
        app.config = config
        if is_scaling:
            app.scaling_version = app.version
        else:
            app.config_version = app.scaling_version = app.version
            app.next_launch = app.delay = 0
        app.versions[app.version] = config
        deployment = Deployment(app, before)
        deployment.hidden_reads = self.late_listing
        self.deployments.append(deployment)
        return deployment

    def check_free(self, app, is_forced):
        """409 and 403; forced, whoever holds it is dropped."""
        held = app and self.deployment_of(app)
        if held and not is_forced:
            raise Refused(409, {"message": "App is locked by one or more deployments. Override with the option "
                                "'?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'.",
                                "deployments": [{"id": held.id}]})
        if held:
            self.deployments.remove(held)
        if len(self.deployments) >= self.max_deployments:
            raise Refused(403, {"message": f"Max number ({self.max_deployments}) of running deployments is achieved. "
                                "Wait for existing deployments to complete or cancel one."})

    def put_app(self, app_id, body, is_partial=True, is_forced=False):
        """Returns (was it there, the answer)."""
        app = self.apps.get(app_id)
        if app and app.is_removed:
            raise Refused(409, {"message": "App is locked by one or more deployments.", "deployments": []})
        body = {**body, "id": app_id}
        if is_partial and "version" in body:
            if set(body) != {"id", "version"}:
                raise Refused(422, {"message": "Object is not valid", "details": [
                    {"path": "/version", "errors": ["The 'version' field may only be combined with the 'id' field."]}]})
            if not app or body["version"] not in app.versions:
                raise Refused(404, {"message": f"App '{app_id}' does not exist"})
            config = app.versions[body["version"]]
        else:
            body.pop("version", None)
            body = {**(app.config if app and is_partial else {}), **body}
            config = self.normal(body, app)
        if app and config == app.config:
            return True, {"version": self.now(), "deploymentId": str(uuid.uuid4())}  # and nothing else
        self.check_free(app, is_forced)
        if not app:
            self.apps[app_id] = App(app_id)
        deployment = self.set_config(self.apps[app_id], config)
        return bool(app), {"version": deployment.version, "deploymentId": deployment.id}

    def normal(self, body, app):
        try:
            marathon_types.check_app(body)
        except marathon_types.TypeProblem as e:
            raise Refused(400, {"message": "Invalid JSON", "details": e.args[0]}) from e
        except marathon_types.Invalid as e:
            raise Refused(422, {"message": "Object is not valid", "details": e.args[0]}) from e
        assigned = [p.get("servicePort") or p.get("port") for p in marathon_types.ports_of(app.config)] if app else []

        def service_port():
            return assigned.pop(0) if assigned else next(self.service_ports)
        return marathon_types.normalise(body, service_port)

    def cancel(self, deployment_id, is_forced):
        """Returns the answer's JSON, None where it has none."""
        deployment = next((d for d in self.listed() if d.id == deployment_id), None)
        if not deployment:
            raise Refused(404, {"message": f"DeploymentPlan {deployment_id} does not exist"})
        self.deployments.remove(deployment)
        if is_forced:
            return None
        if deployment.before:
            back = self.set_config(deployment.app, copy.deepcopy(deployment.before))
        else:
            deployment.app.is_removed = True
            back = Deployment(deployment.app, deployment.app.config)
            self.deployments.append(back)
        return {"version": back.version, "deploymentId": back.id}

    # ---- what is told

    def app_json(self, app):
        tasks = self.tasks_of(app)
        running = [t for t in tasks if t.state == "TASK_RUNNING"]
        return {**app.config, "version": app.version,
                "versionInfo": {"lastScalingAt": app.scaling_version, "lastConfigChangeAt": app.config_version},
                "tasksStaged": sum(t.state == "TASK_STAGING" for t in tasks), "tasksRunning": len(running),
                "tasksHealthy": sum(bool(t.health) and t.is_healthy() for t in running),
                "tasksUnhealthy": sum(any(h and not h["alive"] for h in t.health) for t in running),
                "deployments": [{"id": d.id} for d in self.listed() if d.app is app], "readinessCheckResults": [],
                "tasks": [t.to_json() for t in tasks],
                **({"lastTaskFailure": app.last_failure} if app.last_failure else {})}

    def queue_json(self):
        entries = []
        for app in self.apps.values():
            new = [t for t in self.tasks_of(app) if self.is_new(app, t)]
            missing = 0 if app.is_removed else app.config["instances"] - len(new)
            left = max(0, app.next_launch - time.monotonic())
            if missing > 0:
                is_full = len(self.tasks) >= self.capacity
                entries.append({
                    "app": {**app.config, "version": app.version}, "count": missing, "role": "*",
                    "delay": {"timeLeftSeconds": math.ceil(left), "overdue": left == 0}, "since": app.version,
                    "processedOffersSummary": {
                        "processedOffersCount": 3, "unusedOffersCount": 3 if is_full else 0,
                        "rejectSummaryLastOffers": [
                            {"reason": "UnfulfilledRole", "declined": 0, "processed": 3},
                            {"reason": "InsufficientCpus", "declined": 3 if is_full else 0, "processed": 3},
                            {"reason": "InsufficientMemory", "declined": 0, "processed": 0}]}})
        return {"queue": entries}

    def deployments_json(self):
        return [{"id": d.id, "version": d.version, "affectedApps": [d.app.id], "affectedPods": [],
                 "steps": [{"actions": [{"action": "RestartApplication" if d.before else "StartApplication",
                                         "app": d.app.id}]}],
                 "currentActions": [{"action": "RestartApplication", "app": d.app.id, "readinessCheckResults": []}],
                 "currentStep": 1, "totalSteps": 1} for d in self.listed()]
