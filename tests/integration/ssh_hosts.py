# SPDX-License-Identifier: MIT
"""Plain hosts to deploy to: a real sshd each, on an address of loopback and with a home directory of its own."""
import atexit
import glob
import os
import shutil
import signal
import subprocess
import tempfile

from harness import is_alive, wait_for
from sshd import Sshd

# systemctl and journalctl of a host whose systemd runs one unit, UNIT, from ~/UNIT-staging/current. What its
# ExecStart is given besides is in ~/arguments/DIGEST, a line each.
SYSTEMCTL = r'''#!/bin/sh
tool=${0##*/} verb=$1
while [ $# -gt 1 ]; do shift; done
unit=$1 units=$HOME/units current=$HOME/$1-staging/current
mkdir -p "$units"
[ "$tool" = journalctl ] && { cat "$units/$unit.log"; exit; }
pid=$(cat "$units/$unit.pid" 2>/dev/null)
is_alive() { [ -n "$pid" ] && [ -n "$(tr -d '\0' <"/proc/$pid/cmdline" 2>/dev/null)" ]; }
stop() {
    is_alive && kill "$pid"
    while is_alive; do sleep 0.02; done
}
case $verb in
stop) stop ;;
restart)
    echo "restart $(readlink "$current")" >>"$units/calls"
    stop
    if [ -e "$HOME/refuse-restart" ]; then
        echo "Job for $unit.service failed." >&2
        exit 1
    fi
    if [ -e "$HOME/hang-restart" ]; then
        echo "$$" >"$HOME/hanging"
        exec sleep 1000
    fi
    digest=$(sed 's/.*"slipway.digest":"\([^"]*\)".*/\1/' "$current/specification.json")
    set --
    while IFS= read -r argument; do set -- "$@" "$argument"; done <"$HOME/arguments/$digest"
    set -a
    . "$current/env"
    set +a
    setsid "$current/root/app/service" "$@" </dev/null >"$units/$unit.log" 2>&1 &
    echo "$!" >"$units/$unit.pid"
    ;;
show)
    if is_alive; then
        printf 'ActiveState=active\nSubState=running\nNRestarts=0\n'
    else
        printf 'ActiveState=failed\nSubState=failed\nNRestarts=0\n'
    fi
    ;;
esac
'''

# Runs what was asked for; where ~/lose is there and the command has its text, the answer is lost after it was done.
FORCED = r'''#!/bin/sh
if [ -s "$HOME/lose" ]; then
    word=$(cat "$HOME/lose")
    case $SSH_ORIGINAL_COMMAND in
    *"' '$word"*)
        rm "$HOME/lose"
        sh -c "$SSH_ORIGINAL_COMMAND" >/dev/null 2>&1 </dev/null
        echo "$?" >"$HOME/lost"
        kill -9 "$PPID"
        exit
        ;;
    esac
fi
# With ~/full its disk is: what is written there finds no room, in a file system of its own or, where none can be
# mounted, by a limit.
if [ -e "$HOME/full" ]; then
    case $SSH_ORIGINAL_COMMAND in
    *"' 'receive' '"* | *"' 'reuse' '"*)
        export SSH_ORIGINAL_COMMAND
        unshare --mount true 2>/dev/null && exec unshare --mount sh -c '
            for release in "$HOME"/*/releases/*; do [ -e "$release/state" ] || break; done
            mount -t tmpfs -o size=4k tmpfs "$release" && head -c 4096 /dev/zero >"$release/full" || ulimit -f 0
            exec sh -c "$SSH_ORIGINAL_COMMAND"'
        ulimit -f 0
        ;;
    esac
fi
exec sh -c "$SSH_ORIGINAL_COMMAND"
'''


class Keys:
    """Made once for each name, as making them takes its time."""
    directory = None

    @classmethod
    def of(cls, name):
        if not cls.directory:
            cls.directory = tempfile.mkdtemp(prefix="slipway-test-")
            atexit.register(shutil.rmtree, cls.directory, ignore_errors=True)
        return os.path.join(cls.directory, name)

    @classmethod
    def bring(cls, name, directory):
        """The user's are the same for all."""
        for key in (*glob.glob(os.path.join(cls.of("web1"), "id_*")), *glob.glob(os.path.join(cls.of(name), "host_*"))):
            shutil.copy(key, directory)

    @classmethod
    def keep(cls, name, directory):
        if not os.path.exists(cls.of(name)):
            os.mkdir(cls.of(name))
            for key in (*glob.glob(os.path.join(directory, "id_*")), *glob.glob(os.path.join(directory, "host_*"))):
                shutil.copy(key, cls.of(name))


class SshHost:
    """One host, by the name `name` of the ssh_config that SshHosts writes."""

    def __init__(self, directory, name, address, port, is_busybox=False):
        self.name, self.address = name, address
        self.home = os.path.join(directory, name)
        keys_directory = os.path.join(directory, name + "-keys")
        for made in (self.home, keys_directory, os.path.join(self.home, "bin"), os.path.join(self.home, "arguments")):
            os.makedirs(made)
        Keys.bring(name, keys_directory)
        for tool, text in (("systemctl", SYSTEMCTL), ("journalctl", SYSTEMCTL), ("forced", FORCED)):
            with open(self.path("bin", tool), "w", encoding="utf-8") as f:
                f.write(text)
                os.fchmod(f.fileno(), 0o755)
        if is_busybox:
            os.symlink(shutil.which("busybox"), self.path("bin", "busybox"))
            applets = subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True).stdout
            for applet in applets.split():
                if applet != "busybox":
                    os.symlink("busybox", self.path("bin", applet))
        path = self.path("bin") + ("" if is_busybox else ":/usr/bin:/bin")
        self.sshd = Sshd(keys_directory, lines=[
            f"SetEnv HOME={self.home} PATH={path} ADDRESS={address} PORT={port}", f"ForceCommand {self.path('bin', 'forced')}"],
            address=address)
        Keys.keep(name, keys_directory)

    def path(self, *names):
        return os.path.join(self.home, *names)

    def read(self, *names):
        with open(self.path(*names), encoding="utf-8") as f:
            return f.read()

    def base(self, *names):
        return self.path("greeter-staging", *names)

    def current(self):
        """The deployment that it is switched to."""
        try:
            return os.path.basename(os.readlink(self.base("current")))
        except FileNotFoundError:
            return None

    def releases(self):
        return sorted(os.listdir(self.base("releases")))

    def state(self, deployment):
        try:
            return self.read("greeter-staging", "releases", deployment, "state").split()[0]
        except FileNotFoundError:
            return None

    def is_locked(self):
        return os.path.lexists(self.base("lock"))

    def restarts(self):
        """The deployments that were restarted to."""
        try:
            return [line.rpartition("/")[2] for line in self.read("units", "calls").splitlines()]
        except FileNotFoundError:
            return []

    def leave(self):
        """It does not answer any more; what runs there goes on."""
        sessions = self.sshd.sessions()
        self.sshd.stop()
        for pid in sessions:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def come_back(self):
        if not self.sshd.start():
            raise AssertionError(f"sshd does not start:\n{self.sshd.log()}")

    def stop(self):
        if self.sshd.process.poll() is None:
            self.leave()
        self.end_services()

    def end_services(self):
        for name in glob.glob(self.path("units", "*.pid")):
            with open(name, encoding="ascii") as f:
                pid = int(f.read())
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            wait_for(lambda pid=pid: not is_alive(pid), "the service is gone")


class SshHosts:
    """Several, and the ssh_config by which an agent knows them as web1, web2, …"""

    def __init__(self, directory, n, port, first_address=1, busybox=()):
        self.directory, self.port = directory, port
        self.hosts = []
        try:
            for i in range(n):
                name = f"web{i + 1}"
                self.hosts.append(SshHost(directory, name, f"127.0.0.{first_address + i}", port, is_busybox=name in busybox))
        except BaseException:
            self.stop()
            raise
        self.config = os.path.join(directory, "ssh_config")
        self.write_config()

    def write_config(self):
        with open(self.config, "w", encoding="utf-8") as f:
            for host in self.hosts:
                f.write(f"Host {host.name}\n HostName {host.address}\n Port {host.sshd.port}\n"
                        f" UserKnownHostsFile {host.sshd.path('known_hosts')}\n"
                        f" HostKeyAlias [127.0.0.1]:{host.sshd.port}\n ConnectTimeout 5\n")
            f.write(f"Host *\n IdentityFile {self.hosts[0].sshd.path('id_ed25519')}\n IdentityAgent none\n"
                    " GlobalKnownHostsFile /dev/null\n KexAlgorithms curve25519-sha256\n")

    def names(self):
        return [host.name for host in self.hosts]

    def publish(self, digest, arguments):
        """What the service of an image is given."""
        for host in self.hosts:
            with open(host.path("arguments", digest), "w", encoding="utf-8") as f:
                f.writelines(argument + "\n" for argument in arguments)

    def stop(self):
        for host in self.hosts:
            host.stop()
