# SPDX-License-Identifier: MIT
"""Audit logs as protocol/evidence/README.md has them ("Audit log"), written from its words and not with our code."""
import hashlib
import json
from datetime import datetime, timedelta, timezone

ZEROS = "0" * 64


def moment(when):
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def digest_of(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def commit_of(text):
    return hashlib.sha1(text.encode()).hexdigest()


class AuditLog:
    """A chain that grows. `lines` are bytes without their line feeds, `records` what they say."""

    def __init__(self):
        self.lines, self.records = [], []

    def append(self, when, event, **members):
        previous = hashlib.sha256(self.lines[-1]).hexdigest() if self.lines else ZEROS
        record = {"seq": len(self.lines) + 1, "time": moment(when), "previous": previous, "event": event,
                  **{name: value for name, value in members.items() if value is not None}}
        self.records.append(record)
        self.lines.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode())
        return record

    def head(self, seq=None):
        seq = seq or len(self.lines)
        return {"seq": seq, "sha256": hashlib.sha256(self.lines[seq - 1]).hexdigest()}

    def bytes(self, n=None):
        return b"".join(line + b"\n" for line in self.lines[:n])

    def finished(self, when, action, outcome="succeeded", **members):
        """The end of an action, with what a release of `name` at `commit` has."""
        if isinstance(members.get("committedAt"), datetime):
            members["committedAt"] = moment(members["committedAt"])
        return self.append(when, "finished", action=action, outcome=outcome, **members)

    def release(self, when, environment, key, outcome="succeeded", who=None, seconds=30.0, **members):
        """requested, decided, finished of one deploy. `key` stands for the package and its commit."""
        call, action = f"call-{key}-{environment}-{len(self.lines)}", f"deploy-{environment}"
        what = {"call": call, "action": action, "environment": environment, "digest": digest_of(key),
                "commit": commit_of(key)}
        self.append(when - timedelta(seconds=seconds + 1), "requested", **what, version=members.get("version"),
                    origin={"url": "https://ci.example/job/7", "user": "scm"})
        if who:
            self.append(when - timedelta(seconds=seconds), "decided", **what, isAllowed=outcome != "refused",
                        approver={"name": who, "via": "jenkins", "url": "https://ci.example/job/7/input"},
                        nonce=hashlib.md5(call.encode()).hexdigest(),
                        reason=members.get("reason") if outcome == "refused" else None)
        return self.finished(when, outcome=outcome, seconds=seconds, **what, **members)
