# SPDX-License-Identifier: MIT
"""Counts what the test programs said and prints `N passed, N failed` as the last line.

A cmocka program and a TAP program count as their cases, any other test as one. A program that ended badly
without a failed case of its own counts as one failure. With CI=true a skip counts as a failure, too.
"""
import argparse
import json
import os
import re
import sys


class Count:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = []


def count_tap(text, name, count):
    found = False
    for line in text.splitlines():
        match = re.match(r"(not )?ok\b(.*)", line)
        if match:
            found = True
            if re.search(r"#\s*skip", match[2], re.I):
                count.skipped.append(f"{name}:{match[2]}")
            elif match[1]:
                count.failed += 1
                print(f"FAILED {name}:{match[2]}")
            else:
                count.passed += 1
    return found


def count_cmocka(text, name, count):
    passed = re.findall(r"^\[ {6} OK \] (.*)$", text, re.M)
    failed = set(re.findall(r"^\[  FAILED  \] (?!\d+ test)(?:\S+: )?(\S+)", text, re.M))
    skipped = set(re.findall(r"^\[  SKIPPED \] (?!\d+ test)(\S+)", text, re.M))
    count.passed += len(passed)
    count.failed += len(failed)
    for case in sorted(failed):
        print(f"FAILED {name}: {case}")
    count.skipped += [f"{name}: {case}" for case in sorted(skipped)]
    return bool(passed or failed or skipped)


def count_meson(build, count):
    path = os.path.join(build, "meson-logs", "testlog.json")
    with open(path, encoding="utf-8") as f:
        tests = [json.loads(line) for line in f if line.strip()]
    if not tests:
        count.failed += 1
        print(f"FAILED {build}: no test ran")
    for test in tests:
        name = f"{build} {test['name']}"
        text = test.get("stdout", "") + "\n" + test.get("stderr", "")
        before = count.failed
        found = count_cmocka(text, name, count) or count_tap(test.get("stdout", ""), name, count)
        result = test["result"]
        if result == "SKIP":
            count.skipped.append(name)
        elif result in ("OK", "EXPECTEDFAIL"):
            count.passed += not found
        elif count.failed == before:
            count.failed += 1
            print(f"FAILED {name}: {result}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tap", action="append", default=[])
    parser.add_argument("--meson", action="append", default=[])
    args = parser.parse_args()
    count = Count()
    for path in args.tap:
        with open(path, encoding="utf-8") as f:
            if not count_tap(f.read(), path, count):
                count.failed += 1
                print(f"FAILED {path}: empty")
    for build in args.meson:
        count_meson(build, count)
    for name in count.skipped:
        print(f"skipped {name}")
    if os.environ.get("CI") == "true":
        count.failed += len(count.skipped)
    print(f"{count.passed} passed, {count.failed} failed")
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
