# SPDX-License-Identifier: MIT
"""Plays transcripts of the protocol against the real slipway-agent.

    tests/transcripts/play.py [--over stdio|unix|bridge]... FILE...

Each file is played over each transport and prints one line of TAP for it. A file is read from top to bottom; its
first comment is its title.

    # …                  a comment
    config: JSON         what agent.json has besides name, state and libexec; $DIR is the case's directory
    file: NAME           a file in $DIR, executable; its lines follow, each after "  | "
    over: stdio unix     only these transports
    C: LINE              the client sends the line
    A: JSON              the agent's next line has to look like this
    ...                  (alone on a line) lines that the next A: does not expect may come before it
    C: hang-up           the client closes its side for sending
    A: hang-up           the agent closes the connection
    C-bytes: TEXT        the client sends these bytes, with escapes as in Python, and no line feed of its own
    C*N: LINE, A*N: JSON N times, with $i counting from 1
    C2: …, A2: …         the same on a second connection, to a socket of the agent (also C3, A3, …)
    as: UID              connections that are not there yet are made as this user; skipped unless root plays
    shell: COMMAND       is run by the player
    signal: TERM         the agent gets this signal
    exit: N              the agent ends with this status (at the end of each case, after a SIGTERM, with 0)

In lines that are sent, $pad(N) is N letters and $deep(N) an array within N - 1 arrays. In what is expected, the strings
<string>, <integer>, <number>, <boolean>, <object>, <array>, <time> and <any> stand for any such value, any other
<name> is remembered and has to be the same from then on, also where it is sent; <...> in a text stands for any text.
An object with the member "...": "..." may have more members, an array that ends with "..." more elements.

A Markdown file is played, too: its section "A session to paste" is one fenced block whose lines with a method and an id
are sent and whose other lines of JSON are expected, with … for what differs each time (alone: for whole lines).

Every result is also checked against its method's schema.
"""
import argparse
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402

TRANSPORTS = ("stdio", "unix", "bridge")


class Mismatch(Exception):
    pass


class Skip(Exception):
    pass


# ---- what is expected ------------------------------------------------------------------------------------------------

def is_time(value):
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", value)


KINDS = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "time": is_time,
    "any": lambda v: True,
}


def match_text(wanted, got, names, where):
    whole = re.fullmatch(r"<([a-zA-Z]\w*)>", wanted)
    if whole and whole[1] in KINDS:
        if not KINDS[whole[1]](got):
            raise Mismatch(f"{where}: {json.dumps(got)} is no {whole[1]}")
        return
    if whole and whole[1] not in names:
        names[whole[1]] = got
        return
    if whole:
        wanted = names[whole[1]]
    if not isinstance(wanted, str) or not isinstance(got, str):
        if wanted != got or isinstance(wanted, bool) != isinstance(got, bool):
            raise Mismatch(f"{where}: {json.dumps(got)} instead of {json.dumps(wanted)}")
        return
    for name, value in names.items():
        wanted = wanted.replace(f"<{name}>", str(value))
    pattern = ".*".join(re.escape(part) for part in wanted.split("<...>"))
    if not re.fullmatch(pattern, got, re.S):
        raise Mismatch(f"{where}: {json.dumps(got, ensure_ascii=False)} instead of "
                       f"{json.dumps(wanted, ensure_ascii=False)}")


def match(wanted, got, names, where="line"):
    """Raises Mismatch unless `got` looks like `wanted`; remembers what `wanted` names."""
    if isinstance(wanted, str):
        match_text(wanted, got, names, where)
    elif isinstance(wanted, dict) and isinstance(got, dict):
        may_have_more = "..." in wanted
        for key in wanted:
            if key != "..." and key not in got:
                raise Mismatch(f"{where}: '{key}' is missing")
        for key, value in got.items():
            if key in wanted:
                match(wanted[key], value, names, f"{where}/{key}")
            elif not may_have_more:
                raise Mismatch(f"{where}: '{key}' is not expected: {json.dumps(value)}")
    elif isinstance(wanted, list) and isinstance(got, list):
        may_have_more = bool(wanted) and wanted[-1] == "..."
        n = len(wanted) - may_have_more
        if len(got) < n or (len(got) > n and not may_have_more):
            raise Mismatch(f"{where}: {len(got)} elements instead of {n}")
        for i in range(n):
            match(wanted[i], got[i], names, f"{where}/{i}")
    elif wanted != got or type(wanted) is not type(got):
        raise Mismatch(f"{where}: {json.dumps(got)} instead of {json.dumps(wanted)}")


# ---- schemas ---------------------------------------------------------------------------------------------------------

def schema_of(method):
    path = os.path.join(harness.ROOT, "protocol/schema", method.replace("/", "-") + ".schema.json")
    with open(path, encoding="utf-8") as f:
        return json.load(f)["$defs"]["result"]


def check_schema(schema, value, where):
    """The part of JSON Schema that the methods' results use."""
    kinds = {**KINDS, "null": lambda v: v is None}
    rules = {
        "type": lambda rule: kinds[rule](value),
        "enum": lambda rule: value in rule,
        "const": lambda rule: value == rule,
        "minimum": lambda rule: value >= rule,
        "maximum": lambda rule: value <= rule,
        "pattern": lambda rule: re.search(rule, value),
        "maxLength": lambda rule: len(value) <= rule,
        "required": lambda rule: all(name in value for name in rule),
    }
    for keyword, rule in schema.items():
        if keyword in rules and not rules[keyword](rule):
            raise Mismatch(f"{where}: {json.dumps(value)[:200]} breaks the schema's {keyword} {json.dumps(rule)}")
        if keyword not in rules and keyword not in ("properties", "items", "additionalProperties", "description",
                                                    "default"):
            raise Mismatch(f"{where}: the schema uses {keyword}, which the player does not know")
    for name, member in value.items() if isinstance(value, dict) else ():
        sub = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if isinstance(sub, dict):
            check_schema(sub, member, f"{where}/{name}")
    for i, item in enumerate(value) if isinstance(value, list) and "items" in schema else ():
        check_schema(schema["items"], item, f"{where}/{i}")


# ---- connections -----------------------------------------------------------------------------------------------------

class Wire:
    """One connection: descriptors to write to and to read from, and what was asked on it."""

    def __init__(self, to_agent, from_agent, close):
        self.to_agent, self.from_agent, self.close = to_agent, from_agent, close
        self.buffer = b""
        self.asked = {}

    @classmethod
    def unix(cls, path, uid=None):
        s = socket.socket(socket.AF_UNIX)
        try:
            if uid is not None:
                os.seteuid(uid)  # the kernel notes who connects
            s.connect(path)
        finally:
            if uid is not None:
                os.seteuid(0)

        def close():
            try:
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return cls(s.fileno(), s.fileno(), close).hold(s)

    @classmethod
    def process(cls, process):
        return cls(process.stdin.fileno(), process.stdout.fileno(), process.stdin.close).hold(process)

    def hold(self, owner):
        self.owner = owner
        return self

    def send(self, data):
        """Reads on while the agent does not, so that a flood cannot lock the two up."""
        while data:
            reads, writes, _ = select.select([self.from_agent], [self.to_agent], [], harness.PATIENCE_SECONDS)
            if not reads and not writes:
                raise Mismatch("the agent does not read")
            if reads:
                self.read_some()
            if writes:
                data = data[os.write(self.to_agent, data[:4096]):]

    def read_some(self):
        try:
            data = os.read(self.from_agent, 1 << 16)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data

    def read_line(self):
        """The next line as it came; None at the end."""
        deadline = time.monotonic() + harness.PATIENCE_SECONDS
        while b"\n" not in self.buffer:
            if not select.select([self.from_agent], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Mismatch("the agent says nothing")
            if not self.read_some():
                if self.buffer:
                    raise Mismatch(f"the agent hung up within a line: {self.buffer[:200]}")
                return None
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode("utf-8")

    def read(self):
        line = self.read_line()
        if line is None:
            return None
        message = json.loads(line)
        answered = self.asked.pop(json.dumps(message["id"]), None) if message.get("id") is not None else None
        if answered and "result" in message:
            check_schema(schema_of(answered), message["result"], f"result of {answered}")
        return message


# ---- a case ----------------------------------------------------------------------------------------------------------

def expand(text, names, i):
    text = text.replace("$i", str(i))
    text = re.sub(r"\$pad\((\d+)\)", lambda m: "x" * int(m[1]), text)
    text = re.sub(r"\$deep\((\d+)\)", lambda m: "[" * int(m[1]) + "]" * int(m[1]), text)
    for name, value in names.items():
        text = text.replace(f'"<{name}>"', json.dumps(value)).replace(f"<{name}>", str(value))
    return text


class Case:
    def __init__(self, transport, directory):
        self.transport, self.directory = transport, directory
        self.agent = harness.Agent(directory)
        self.children = []
        self.names = {}
        self.wires = {}
        self.is_loose = False
        self.uid = None

    def configure(self, text):
        self.agent.configure(json.loads(text.replace("$DIR", self.directory)))

    def write_file(self, name, lines):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in lines).replace("$DIR", self.directory))
        os.chmod(path, 0o755)

    def start_stdio(self):
        with open(os.path.join(self.directory, "agent.log"), "ab") as log:
            process = subprocess.Popen(
                [harness.program("slipway-agent"), "--config", self.agent.config_path, "--stdio"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0)
        self.children.append(process)
        return process

    def first_wire(self):
        if self.transport == "stdio":
            self.agent.process = self.start_stdio()
            return Wire.process(self.agent.process)
        self.agent.start()
        if self.transport == "bridge":
            return Wire.process(self.start_stdio())
        return Wire.unix(self.agent.socket)

    def another_wire(self):
        """To the socket that is always there; as somebody else to the one that others can reach."""
        path = os.path.join(self.agent.state, "agent.sock") if self.uid is None else self.agent.socket
        self.wire("")

        def connect():
            try:
                return Wire.unix(path, self.uid)
            except (FileNotFoundError, ConnectionRefusedError):
                return None
        return harness.wait_for(connect, f"'{path}' is listened on")

    def wire(self, number):
        if number not in self.wires:
            self.wires[number] = self.first_wire() if number == "" else self.another_wire()
        return self.wires[number]

    def become(self, text):
        if os.geteuid() != 0:
            raise Skip("only root can be somebody else")
        os.chmod(self.directory, 0o711)
        self.uid = int(text)

    def shell(self, text):
        self.wire("")
        subprocess.run(["sh", "-c", text.replace("$DIR", self.directory)], check=True)

    def send(self, number, count, text):
        wire = self.wire(number)
        if text == "hang-up":
            wire.close()
            return
        data = []
        for i in range(1, count + 1):
            line = expand(text, self.names, i)
            try:
                message = json.loads(line)
                if isinstance(message, dict) and "id" in message and isinstance(message.get("method"), str):
                    wire.asked[json.dumps(message["id"])] = message["method"]
            except (json.JSONDecodeError, RecursionError):
                pass
            data.append(line.encode() + b"\n")
        wire.send(b"".join(data))

    def expect(self, number, count, text):
        wire, is_loose = self.wire(number), self.is_loose
        self.is_loose = False
        for i in range(1, count + 1):
            while True:
                message = wire.read()
                if text == "hang-up" and message is None:
                    return
                if message is None:
                    raise Mismatch("the agent hung up")
                names = dict(self.names)
                try:
                    if text == "hang-up":
                        raise Mismatch(f"the agent did not hang up but said {json.dumps(message)[:400]}")
                    match(json.loads(text.replace("$i", str(i))), message, names)
                    self.names = names
                    break
                except Mismatch as e:
                    if not is_loose:
                        raise Mismatch(f"{e}\nthe whole: {json.dumps(message, ensure_ascii=False)[:1000]}") from e

    def exit(self, text):
        code = self.agent.process.wait(harness.PATIENCE_SECONDS)
        if code != int(text):
            raise Mismatch(f"the agent ended with {code}")

    def finish(self):
        """Every case ends with a clean end of the agent; under a sanitizer that says that nothing leaked."""
        if self.agent.process and self.agent.process.poll() is None:
            self.agent.process.terminate()
            self.exit("0")

    def end(self):
        for process in [self.agent.process, *self.children]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        calls = os.path.join(self.agent.state, "calls")
        for pid in harness.shims_of(calls):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        harness.wait_for(lambda: not harness.shims_of(calls), "the shims are gone")


# ---- files -----------------------------------------------------------------------------------------------------------

def read_markdown(text):
    """The lines of the block under "A session to paste", as a transcript."""
    block = re.search(r"^## A session to paste.*?^```\w*\n(.*?)^```", text, re.M | re.S)[1]
    yield 0, "# " + re.search(r"^## (A session to paste.*)$", text, re.M)[1]
    yield 0, "over: stdio"
    for number, line in enumerate(block.split("\n"), text[:text.index(block)].count("\n") + 1):
        if line.startswith("{") and '"method"' in line and '"id"' in line:
            yield number, "C: " + line
        elif line == "…":
            yield number, "..."
        elif line.startswith("{"):
            line = line.replace('"…":"…"', '"...":"..."').replace('"…"]', '"..."]').replace('"…"', '"<any>"')
            yield number, "A: " + re.sub(r":…", ':"<any>"', line).replace("…", "<...>")


def read_transcript(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    return list(read_markdown(text) if path.endswith(".md") else enumerate(text.split("\n"), 1))


def title_of(lines):
    return next(line[1:].strip() for _, line in lines if line.startswith("#"))


def transports_of(lines):
    for _, line in lines:
        if line.startswith("over:"):
            return line.partition(":")[2].split()
    return TRANSPORTS


STEP = re.compile(r"([CA])(\d*)(?:\*(\d+))?: (.*)")


def play_line(case, line, following):
    step = STEP.fullmatch(line)
    word, _, rest = line.partition(": ")
    if step:
        act = case.send if step[1] == "C" else case.expect
        act(step[2], int(step[3] or 1), step[4])
    elif line == "...":
        case.is_loose = True
    elif word == "C-bytes":
        case.wire("").send(rest.encode().decode("unicode_escape").encode("latin-1"))
    elif word == "config":
        case.configure(rest)
    elif word == "file":
        case.write_file(rest, [text[4:] for text in following])
    elif word == "signal":
        case.agent.process.send_signal(getattr(signal, "SIG" + rest))
    elif word == "exit":
        case.exit(rest)
    elif word == "as":
        case.become(rest)
    elif word == "shell":
        case.shell(rest)
    elif word != "over" and not line.startswith(("#", "  |")) and line:
        raise Mismatch("the player does not understand this line")


def file_lines(lines, index):
    following = []
    for _, line in lines[index + 1:]:
        if not line.startswith("  |"):
            break
        following.append(line)
    return following


def play(lines, transport):
    """None, what went wrong with the number of the line, or a Skip."""
    with tempfile.TemporaryDirectory(prefix="slipway-test-", ignore_cleanup_errors=True) as directory:
        case = Case(transport, directory)
        number, line = 0, ""
        try:
            for index, (number, line) in enumerate(lines):
                play_line(case, line, file_lines(lines, index))
            case.finish()
            return None
        except Skip as e:
            return e
        except (Mismatch, AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as e:
            try:
                log = case.agent.log()
            except FileNotFoundError:
                log = ""
            return f"line {number}: {line[:300]}\n{type(e).__name__}: {e}\n{log}".rstrip()
        finally:
            case.end()


def main():
    parser = argparse.ArgumentParser(description="Plays transcripts against the real slipway-agent.")
    parser.add_argument("--over", action="append", choices=TRANSPORTS)
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    count = failed = 0
    for path in args.files:
        lines = read_transcript(path)
        for transport in transports_of(lines):
            if args.over and transport not in args.over:
                continue
            problem = play(lines, transport)
            skip = f" # SKIP {problem}" if isinstance(problem, Skip) else ""
            problem = None if skip else problem
            count += 1
            failed += problem is not None
            print(f"{'not ok' if problem else 'ok'} {count} - {title_of(lines)} (over {transport}){skip}")
            for text in problem.split("\n") if problem else ():
                print(f"# {os.path.basename(path)}: {text}")
            sys.stdout.flush()
    print(f"1..{count}")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
