# SPDX-License-Identifier: MIT
"""Keys, envelopes and statements as protocol/evidence/README.md has them, made with the program `openssl` and these
few lines: what ours signs is verified here, and what is signed here ours has to take."""
import base64
import hashlib
import json
import os
import subprocess

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATES = {
    "provenance": "https://slsa.dev/provenance/v1",
    "test-result": "https://in-toto.io/attestation/test-result/v0.1",
    "deployment": "slipway:deployment/v1",
    "verification": "https://slsa.dev/verification_summary/v1",
    "approval": "slipway:approval/v1",
}


def openssl(*arguments, data=None, check=True):
    return subprocess.run(["openssl", *arguments], input=data, check=check, capture_output=True).stdout


def pre_authentication(payload, payload_type=PAYLOAD_TYPE):
    """DSSE v1, protocol.md: what is signed."""
    parts = [b"DSSEv1", str(len(payload_type)).encode(), payload_type.encode(), str(len(payload)).encode(), payload]
    return b" ".join(parts)


class Key:
    """An Ed25519 key pair in files, private.pem unless only the public half is known."""

    def __init__(self, directory, public=None):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.private_path = os.path.join(directory, "private.pem")
        self.public_path = os.path.join(directory, "public.pem")
        if public is None:
            openssl("genpkey", "-algorithm", "ed25519", "-out", self.private_path)
            os.chmod(self.private_path, 0o600)
            public = openssl("pkey", "-in", self.private_path, "-pubout").decode()
        self.public = public
        with open(self.public_path, "w", encoding="ascii") as f:
            f.write(public)
        self.id = hashlib.sha256(openssl("pkey", "-pubin", "-in", self.public_path, "-outform", "DER")).hexdigest()

    def write(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def sign(self, data):
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.private_path, "-in", self.write("data", data))

    def has_signed(self, data, signature):
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", self.public_path,
             "-in", self.write("data", data), "-sigfile", self.write("signature", signature)],
            check=False, capture_output=True).returncode == 0


def envelope(key, payload, payload_type=PAYLOAD_TYPE, **others):
    """One line, without its line feed. `payload` is bytes, or a statement."""
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    return json.dumps({
        "payloadType": payload_type, "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key.id,
                        "sig": base64.b64encode(key.sign(pre_authentication(payload, payload_type))).decode()}],
        **others})


def statement(kind, algorithm, digest, predicate, name=None):
    subject = {**({"name": name} if name else {}), "digest": {algorithm: digest}}
    return {"_type": STATEMENT_TYPE, "subject": [subject], "predicateType": PREDICATES[kind], "predicate": predicate}


def open_envelope(line, key):
    """The statement of a line that `key` has signed; an AssertionError where it has not."""
    read = json.loads(line)
    payload = base64.b64decode(read["payload"], validate=True)
    assert read["payloadType"] == PAYLOAD_TYPE, read
    assert any(s["keyid"] == key.id and
               key.has_signed(pre_authentication(payload), base64.b64decode(s["sig"], validate=True))
               for s in read["signatures"]), "not signed by that key"
    return json.loads(payload)
