# SPDX-License-Identifier: MIT
"""What Marathon's API says of an app: types, limits and defaults, and how it complains. Stricter than Marathon in one
thing: a member that it would drop without a word is refused here."""
import copy
import re

PATH_ID = re.compile(r"^(\/?((\.\.)|(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*"
                     r"([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9]))?($|\/))+$")
PROTOCOLS = ("HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_TCP", "MESOS_HTTP", "MESOS_HTTPS")


class TypeProblem(Exception):
    """400: the JSON is of another type."""


class Invalid(Exception):
    """422: of the right type, but not valid."""


def text(path, value):
    if not isinstance(value, str):
        raise TypeProblem([{"path": path, "errors": ["error.expected.jsstring"]}])


def boolean(path, value):
    if not isinstance(value, bool):
        raise TypeProblem([{"path": path, "errors": ["error.expected.jsboolean"]}])


def number(low, high=None, is_whole=False):
    def check(path, value):
        if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)):
            raise TypeProblem([{"path": path, "errors": ["error.expected.jsnumber"]}])
        if value < low:
            raise Invalid([{"path": path, "errors": [f"error.min({low})"]}])
        if high is not None and value > high:
            raise Invalid([{"path": path, "errors": [f"is greater than {high}"]}])
    return check


def choice(*values):
    def check(path, value):
        text(path, value)
        if value not in values:
            raise TypeProblem([{"path": path, "errors": [f"error.unknown.enum.literal"]}])
    return check


def each(of):
    def check(path, value):
        if not isinstance(value, list):
            raise TypeProblem([{"path": path, "errors": ["error.expected.jsarray"]}])
        for i, item in enumerate(value):
            of(f"{path}({i})", item)
    return check


def members(_required=(), **known):
    def check(path, value):
        if not isinstance(value, dict):
            raise TypeProblem([{"path": path or "/", "errors": ["error.expected.jsobject"]}])
        for name in _required:
            if name not in value:
                raise TypeProblem([{"path": f"{path}/{name}", "errors": ["error.path.missing"]}])
        for name, item in value.items():
            if name not in known:
                raise Invalid([{"path": f"{path}/{name}", "errors": ["is no member that Marathon knows"]}])
            known[name](f"{path}/{name}", item)
    return check


def texts(path, value):
    if not isinstance(value, dict):
        raise TypeProblem([{"path": path, "errors": ["error.expected.jsobject"]}])
    for name, item in value.items():
        text(f"{path}/{name}", item)


def path_id(path, value):
    text(path, value)
    if not PATH_ID.match(value) or value.strip("/") == "":
        raise Invalid([{"path": path, "errors": [f"must fully match regular expression '{PATH_ID.pattern}'"]}])


COUNT = number(0, 2**31 - 1, is_whole=True)
PORT = number(0, 65535, is_whole=True)
LABELLED_PORT = {"name": text, "protocol": choice("tcp", "udp", "udp,tcp"), "labels": texts}
HEALTH_CHECK = members(
    protocol=choice(*PROTOCOLS), path=text, port=PORT, portIndex=PORT, command=members(("value",), value=text),
    gracePeriodSeconds=COUNT, intervalSeconds=COUNT, timeoutSeconds=COUNT, delaySeconds=COUNT,
    maxConsecutiveFailures=COUNT, ignoreHttp1xx=boolean, ipProtocol=choice("IPv4", "IPv6"))
READINESS_CHECK = members(
    name=text, protocol=choice("HTTP", "HTTPS"), path=text, portName=text, intervalSeconds=COUNT,
    timeoutSeconds=number(1, is_whole=True), httpStatusCodesForReady=each(number(100, 999, is_whole=True)),
    preserveLastResponse=boolean)
APP = members(
    ("id",), id=path_id, cmd=text, args=each(text), user=text, env=texts, instances=COUNT, cpus=number(0.001),
    mem=number(0), disk=number(0), gpus=COUNT, executor=text, labels=texts, constraints=each(each(text)),
    acceptedResourceRoles=each(text), dependencies=each(path_id), backoffSeconds=COUNT, backoffFactor=number(1),
    maxLaunchDelaySeconds=COUNT, taskKillGracePeriodSeconds=COUNT, requirePorts=boolean, role=text, tty=boolean,
    killSelection=choice("YOUNGEST_FIRST", "OLDEST_FIRST"),
    unreachableStrategy=members(inactiveAfterSeconds=COUNT, expungeAfterSeconds=COUNT),
    upgradeStrategy=members(("minimumHealthCapacity", "maximumOverCapacity"), minimumHealthCapacity=number(0, 1),
                            maximumOverCapacity=number(0, 1)),
    fetch=each(members(("uri",), uri=text, extract=boolean, executable=boolean, cache=boolean, destPath=text)),
    networks=each(members(mode=choice("container", "container/bridge", "host"), name=text, labels=texts)),
    portDefinitions=each(members(port=PORT, **LABELLED_PORT)),
    healthChecks=each(HEALTH_CHECK), readinessChecks=each(READINESS_CHECK),
    container=members(
        type=choice("MESOS", "DOCKER"), volumes=each(members()),
        docker=members(("image",), image=text, forcePullImage=boolean, privileged=boolean,
                       parameters=each(members(("key", "value"), key=text, value=text))),
        portMappings=each(members(containerPort=PORT, hostPort=PORT, servicePort=PORT, **LABELLED_PORT))))

DEFAULTS = {
    "acceptedResourceRoles": ["*"], "backoffFactor": 1.15, "backoffSeconds": 1, "cpus": 1.0, "disk": 0.0, "executor": "",
    "gpus": 0, "instances": 1, "killSelection": "YOUNGEST_FIRST", "labels": {}, "maxLaunchDelaySeconds": 300, "mem": 128.0,
    "networks": [{"mode": "host"}], "requirePorts": False, "role": "*",
    "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
    "upgradeStrategy": {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 1.0},
}
CHECK_DEFAULTS = {"gracePeriodSeconds": 300, "intervalSeconds": 60, "timeoutSeconds": 20, "maxConsecutiveFailures": 3,
                  "ignoreHttp1xx": False, "protocol": "HTTP", "ipProtocol": "IPv4", "delaySeconds": 15}


def check_app(app):
    APP("", app)
    if "cmd" in app and "args" in app:
        raise Invalid([{"path": "/", "errors": ["AppDefinition must either contain one of 'cmd' or 'args', or a container"]}])
    if not any(name in app for name in ("cmd", "args", "container")):
        raise Invalid([{"path": "/", "errors": ["AppDefinition must either contain one of 'cmd' or 'args', or a container"]}])
    if len(app.get("readinessChecks", [])) > 1:
        raise Invalid([{"path": "/readinessChecks", "errors": ["may not have more than 1 element"]}])
    n_ports = len(ports_of(app))
    for i, check in enumerate(app.get("healthChecks", [])):
        if check.get("portIndex", 0) >= n_ports and check.get("protocol", "HTTP") != "COMMAND":
            raise Invalid([{"path": f"/healthChecks({i})", "errors": [
                "Health check port indices must address an element of the ports array or container port mappings."]}])
    for name in ("queue", "versions", "tasks", "restart"):
        if app["id"].rstrip("/").endswith("/" + name):
            raise Invalid([{"path": "/id", "errors": [f"must not end with any of the following reserved keywords: {name}"]}])


def ports_of(app):
    mappings = app.get("container", {}).get("portMappings")
    return mappings if mappings is not None else app.get("portDefinitions", [{"port": 0}])


def normalise(app, service_ports):
    """As Marathon keeps it: defaults filled in, numbers with a fraction, ports assigned, what is empty left out."""
    done = copy.deepcopy(DEFAULTS)
    done.update({k: v for k, v in copy.deepcopy(app).items() if v not in (None, [], {}) or k == "portDefinitions"})
    for name in ("cpus", "mem", "disk"):
        done[name] = float(done[name])
    done["healthChecks"] = [{**CHECK_DEFAULTS, **check} for check in done.get("healthChecks", [])]
    for artifact in done.get("fetch", []):
        for name, value in (("extract", True), ("executable", False), ("cache", False)):
            artifact.setdefault(name, value)
    container = done.get("container")
    if container:
        container.setdefault("type", "DOCKER")
        container.setdefault("volumes", [])
        for name, value in (("forcePullImage", False), ("privileged", False), ("parameters", [])):
            container.get("docker", {}).setdefault(name, value)
        for mapping in container.get("portMappings", []):
            for name, value in (("hostPort", 0), ("protocol", "tcp"), ("labels", {})):
                mapping.setdefault(name, value)
            mapping["servicePort"] = mapping.get("servicePort") or service_ports()
    elif done["networks"] == [{"mode": "host"}]:
        for definition in done.setdefault("portDefinitions", [{"port": 0, "name": "default"}]):
            definition.setdefault("protocol", "tcp")
            definition["port"] = definition.get("port") or service_ports()
    if not done["healthChecks"]:
        del done["healthChecks"]
    return done
