# SPDX-License-Identifier: MIT
"""kill -9 of the agent, the shim, the client in each state of a call: nothing lost, nothing twice, nothing left."""
import json
import os
import random
import signal
import subprocess
import threading
import time

import harness
from harness import is_alive, program, wait_for

# Prints numbered lines, then waits for a file, then prints some more: the test decides how far it is.
STEP = """#!/bin/sh
set -eu
echo started >> "{directory}/started"
i=0
while [ $i -lt 2000 ]; do echo "line $i of the first part"; i=$((i + 1)); done
echo "pid $$" > "{directory}/step.tmp"; mv "{directory}/step.tmp" "{directory}/step"
while [ ! -e "{directory}/go" ]; do sleep 0.01; done
while [ $i -lt 4000 ]; do echo "line $i of the second part" >&2; i=$((i + 1)); done
printf 'no line feed at the end'
"""

EXPECTED = {
    "stdout": b"".join(b"line %d of the first part\n" % i for i in range(2000)) + b"no line feed at the end",
    "stderr": b"".join(b"line %d of the second part\n" % i for i in range(2000, 4000)),
}

# Leaves its session and its parent behind, as a daemon does, and holds no descriptor of the step.
DAEMON = """#!/bin/sh
setsid sh -c 'sleep 300 </dev/null >/dev/null 2>&1 3>&- & echo $! > "{directory}/daemon"; exec sleep 301' &
wait_until() {{ while [ ! -s "{directory}/daemon" ]; do sleep 0.01; done; }}
wait_until
echo ready
trap '' TERM
while :; do sleep 1; done
"""


class Survival(harness.Case):
    def setUp(self):
        super().setUp()
        self.step = self.script("step.sh", STEP)
        self.daemon = self.script("daemon.sh", DAEMON)
        self.config = {"slots": 2, "actions": {
            "step": {"command": [self.step]},
            "daemon": {"command": [self.daemon]},
            "true": {"command": ["/bin/true"]},
            "once": {"command": [self.script("once.sh", '#!/bin/sh\necho x >> "{directory}/count"\n')]},
        }}
        self.started = self.agent(self.config)

    def script(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.format(directory=self.directory))
        os.chmod(path, 0o755)
        return path

    def path(self, name):
        return os.path.join(self.directory, name)

    def go(self):
        with open(self.path("go"), "w", encoding="utf-8"):
            pass

    def start_step(self, connection, **others):
        call = connection.request("calls/start", {"action": "step", "idempotencyKey": "one", **others})["call"]
        wait_for(lambda: os.path.exists(self.path("step")), "the step runs")
        return call

    def logged(self, agent, call):
        """Bytes of the log that the journal knows of."""
        with open(os.path.join(agent.call_directory(call), "journal.ndjson"), encoding="utf-8") as f:
            records = [json.loads(line) for line in f if line.endswith("\n")]
        return sum(r["length"] for r in records if r["type"] == "log")

    def check_step(self, agent, call):
        """The log is byte for byte what the step wrote, the file says the same, the result is right."""
        connection = agent.connect()
        connection.request("calls/attach", {"call": call})
        events = connection.events_of(call)
        result = connection.request("calls/result", {"call": call})
        with open(os.path.join(agent.call_directory(call), "output.log"), "rb") as f:
            file = f.read()
        log = harness.log_of(events)
        self.assertEqual(log, file)
        for stream, expected in EXPECTED.items():
            written = b"".join(p["text"].encode() for n, p in events if n == "call/log" and p["stream"] == stream)
            self.assertTrue(written == expected, f"{stream} is not what the step wrote")
        self.assertEqual(result["status"], "succeeded", result)
        self.assertEqual(result["survivors"], 0)
        self.assertEqual(result["logBytes"], len(file))
        self.assertEqual(result, events[-1][1]["result"])
        self.assertEqual(events[0][1]["seq"], 1)
        with open(self.path("started"), encoding="utf-8") as f:
            self.assertEqual(f.read(), "started\n")
        connection.close()
        return result

    def test_agent_killed_while_the_step_runs(self):
        agent = self.started
        call = self.start_step(agent.connect())
        agent.kill()
        agent.start()
        self.assertEqual(agent.connect().request("calls/list")["calls"][0]["state"], "running")
        self.go()
        wait_for(lambda: os.path.exists(os.path.join(agent.call_directory(call), "status.json")), "the step ends")
        self.check_step(agent, call)

    def test_agent_killed_and_the_step_ends_meanwhile(self):
        agent = self.started
        call = self.start_step(agent.connect())
        agent.kill()
        self.go()
        wait_for(lambda: os.path.exists(os.path.join(agent.call_directory(call), "status.json")), "the step ends")
        agent.start()
        self.check_step(agent, call)

    def test_agent_killed_after_the_step_ended(self):
        agent = self.started
        connection = agent.connect()
        call = self.start_step(connection)
        self.go()
        connection.request("calls/result", {"call": call, "wait": True})
        agent.kill()
        agent.start()
        self.check_step(agent, call)

    def test_agent_killed_over_and_over(self):
        agent = self.started
        call = self.start_step(agent.connect())
        for _ in range(5):
            agent.kill()
            agent.start()
        self.go()
        agent.connect().request("calls/result", {"call": call, "wait": True})
        self.check_step(agent, call)

    def test_agent_killed_while_a_call_is_queued(self):
        agent = self.started
        connection = agent.connect()
        first = self.start_step(connection, run="r")
        second = connection.request("calls/start", {"action": "once", "idempotencyKey": "two", "run": "r"})
        self.assertEqual(second["state"], "queued")
        self.assertEqual(second["position"], 1)
        agent.kill()
        agent.start()
        connection = agent.connect()
        states = {c["call"]: c["state"] for c in connection.request("calls/list")["calls"]}
        self.assertEqual(states, {first: "running", second["call"]: "queued"})
        self.assertFalse(os.path.exists(self.path("count")))
        self.go()
        result = connection.request("calls/result", {"call": second["call"], "wait": True})
        self.assertEqual(result["status"], "succeeded")
        self.check_step(agent, first)

    def test_agent_killed_at_any_moment_of_a_start(self):
        agent = self.started
        seed = int.from_bytes(os.urandom(4), "big")
        chance = random.Random(seed)
        for i in range(25):
            key = {"action": "once", "idempotencyKey": f"key-{i}"}
            connection = agent.connect()
            connection.start("calls/start", key)
            time.sleep(chance.random() * 0.006)
            agent.kill()
            agent.start()
            connection = agent.connect()
            call = connection.request("calls/start", key)["call"]
            result = connection.request("calls/result", {"call": call, "wait": True})
            with open(self.path("count"), encoding="utf-8") as f:
                runs = len(f.read().split())
            self.assertEqual(result["status"], "succeeded", f"seed {seed}, round {i}: {result}")
            self.assertEqual(runs, i + 1, f"seed {seed}, round {i}")
            connection.close()

    def test_agent_killed_after_a_cancel(self):
        agent = self.started
        connection = agent.connect()
        call = self.start_step(connection)
        connection.request("calls/cancel", {"call": call})
        agent.kill()
        agent.start()
        result = agent.connect().request("calls/result", {"call": call, "wait": True})
        self.assertEqual((result["status"], result["survivors"]), ("cancelled", 0))

    def test_agent_replaced_by_sigterm_keeps_the_call(self):
        agent = self.started
        call = self.start_step(agent.connect())
        self.assertEqual(agent.stop(), 0)
        agent.start()
        self.go()
        agent.connect().request("calls/result", {"call": call, "wait": True})
        self.check_step(agent, call)

    def test_attach_after_any_event_gives_the_rest_once(self):
        agent = self.started
        connection = agent.connect()
        call = self.start_step(connection)
        self.go()
        connection.request("calls/result", {"call": call, "wait": True})
        connection.request("calls/attach", {"call": call})
        whole = connection.events_of(call)
        agent.kill()
        agent.start()
        for after in (0, 1, len(whole) // 2, len(whole) - 1):
            connection = agent.connect()
            connection.request("calls/attach", {"call": call, "after": after})
            self.assertEqual(connection.events_of(call), whole[after:])
            connection.close()

    def test_client_goes_on_over_a_killed_agent(self):
        agent = self.started
        environment = {**os.environ, "SLIPWAY_AGENT": f"unix:{agent.socket}"}
        with open(self.path("out"), "wb") as out, open(self.path("err"), "wb") as err:
            client = subprocess.Popen([program("slipway"), "call", "step", "--raw", "--key", "one"], stdout=out,
                                      stderr=err, env=environment)
        wait_for(lambda: os.path.exists(self.path("step")), "the step runs")
        agent.kill()
        agent.start()
        self.go()
        self.assertEqual(client.wait(harness.PATIENCE_SECONDS), 0)
        with open(self.path("out"), "rb") as f:
            shown = f.read()
        call = os.listdir(os.path.join(agent.state, "calls"))[0]
        with open(os.path.join(agent.call_directory(call), "output.log"), "rb") as f:
            self.assertEqual(shown, f.read())
        self.check_step(agent, call)

    def test_a_killed_shim_is_a_lost_call_and_its_step_is_ended(self):
        agent = self.started
        connection = agent.connect()
        call = self.start_step(connection)
        with open(self.path("step"), encoding="utf-8") as f:
            step = int(f.read().split()[1])
        shims = harness.shims_of(os.path.join(agent.state, "calls"))
        self.assertEqual(len(shims), 1)
        os.kill(shims[0], signal.SIGKILL)
        result = connection.request("calls/result", {"call": call, "wait": True})
        self.assertEqual(result["status"], "lost")
        self.assertIn("reason", result)
        wait_for(lambda: not is_alive(step), "the step of a lost call is ended")

    def test_agent_and_shim_killed_together(self):
        agent = self.started
        call = self.start_step(agent.connect())
        with open(self.path("step"), encoding="utf-8") as f:
            step = int(f.read().split()[1])
        shims = harness.shims_of(os.path.join(agent.state, "calls"))
        wait_for(lambda: self.logged(agent, call) > 1000, "the shim has what the step wrote")
        agent.kill()
        os.kill(shims[0], signal.SIGKILL)
        agent.start()
        connection = agent.connect()
        result = connection.request("calls/result", {"call": call, "wait": True})
        self.assertEqual(result["status"], "lost")
        connection.request("calls/attach", {"call": call})
        log = harness.log_of(connection.events_of(call))
        self.assertTrue(EXPECTED["stdout"].startswith(log) and len(log) > 1000)
        wait_for(lambda: not is_alive(step), "the step of a lost call is ended")

    def test_a_daemon_is_dead_after_cancel(self):
        agent = self.started
        connection = agent.connect()
        started = connection.request("calls/start", {"action": "daemon", "idempotencyKey": "d", "attach": True,
                                                     "graceSeconds": 0.2})
        wait_for(lambda: os.path.exists(self.path("daemon")), "the daemon runs")
        with open(self.path("daemon"), encoding="utf-8") as f:
            daemon = int(wait_for(f.read, "its pid").strip())
        self.assertTrue(is_alive(daemon))
        connection.request("calls/cancel", {"call": started["call"]})
        result = connection.events_of(started["call"])[-1][1]["result"]
        self.assertEqual((result["status"], result["survivors"]), ("cancelled", 0))
        self.assertFalse(is_alive(daemon))

    def test_a_silent_reader_costs_the_agent_nothing(self):
        agent = self.started
        flood = self.script("flood.sh", "#!/bin/sh\nexec head -c 60000000 /dev/zero\n")
        agent.stop()
        self.config["actions"]["flood"] = {"command": [flood]}
        agent.configure(self.config)
        agent.start()
        stuck, other = agent.connect(), agent.connect()
        call = stuck.request("calls/start", {"action": "flood", "idempotencyKey": "f", "attach": True})["call"]
        result = other.request("calls/result", {"call": call, "wait": True})
        self.assertEqual((result["status"], result["logBytes"]), ("succeeded", 60000000))
        with open(f"/proc/{agent.process.pid}/status", encoding="utf-8") as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
        if "asan" not in os.path.basename(harness.BUILD):
            self.assertLess(peak, 10000, "KB resident at most, with a reader that never reads")
        self.assertEqual(len(harness.log_of(stuck.events_of(call))), 60000000)

    def test_two_clients_with_one_key_get_one_call(self):
        agent = self.started
        calls = []

        def start():
            connection = agent.connect()
            calls.append(connection.request("calls/start", {"action": "once", "idempotencyKey": "same"})["call"])
            connection.close()

        threads = [threading.Thread(target=start) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(set(calls)), 1)
        agent.connect().request("calls/result", {"call": calls[0], "wait": True})
        with open(self.path("count"), encoding="utf-8") as f:
            self.assertEqual(f.read(), "x\n")

    def test_a_second_agent_on_the_same_state_is_refused(self):
        agent = self.started
        second = subprocess.run([program("slipway-agent"), "--config", agent.config_path, "--listen",
                                 f"unix:{self.path('other.sock')}"], capture_output=True, text=True,
                                timeout=harness.PATIENCE_SECONDS, check=False)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(agent.state, second.stderr)

    def test_stdio_bridges_to_the_agent_that_is_there(self):
        agent = self.started
        call = self.start_step(agent.connect())
        lines = [{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
                 {"jsonrpc": "2.0", "id": 2, "method": "calls/list", "params": {}}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        answer = subprocess.run([program("slipway-agent"), "--config", agent.config_path, "--stdio"], input=text,
                                capture_output=True, text=True, timeout=harness.PATIENCE_SECONDS, check=False)
        answers = [json.loads(line) for line in answer.stdout.splitlines()]
        self.assertEqual(answers[1]["result"]["calls"][0]["call"], call)
        self.go()


if __name__ == "__main__":
    harness.main()
