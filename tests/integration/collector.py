# SPDX-License-Identifier: MIT
"""Somebody who collects audit logs: an HTTPS server with a certificate of its own authority."""
import http.server
import json
import os
import ssl
import subprocess
import threading


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def make_authority(directory, name):
    """A CA: `name`.pem and `name`.key."""
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def make_certificate(directory, authority, name, extension):
    """Signed by the authority: `name`.pem has the certificate and its key."""
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    with open(os.path.join(directory, f"{name}.ext"), "w", encoding="ascii") as f:
        f.write(extension)
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
    with open(os.path.join(directory, f"{name}.pem"), "wb") as out:
        for part in (f"{name}.crt", f"{name}.key"):
            with open(os.path.join(directory, part), "rb") as f:
                out.write(f.read())


class Collector:
    """`plan` says what becomes of the next requests: a status, "cut" (no answer), "hang" (until `stop`); then all are taken."""

    def __init__(self, directory, port=0, is_client_asked=False):
        self.lines, self.requests, self.plan = [], [], []
        self.changed, self.stopping = threading.Condition(), threading.Event()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = collector.take(self.path, dict(self.headers), body)
                if status == "hang":
                    collector.stopping.wait()
                    status = "cut"
                if status == "cut":
                    self.close_connection = True
                    return
                self.send_response(status)
                said = b"" if status < 300 else b"out of order"
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format, *args):  # pylint: disable=redefined-builtin
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda request, address: None  # who does not trust us hangs up
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(directory, "collector.pem"))
        if is_client_asked:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(os.path.join(directory, "authority.pem"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def take(self, path, headers, body):
        with self.changed:
            status = self.plan.pop(0) if self.plan else 204
            self.requests.append((path, headers, body, status))
            if status == "cut" or (status != "hang" and status < 300):  # whoever is cut off may have taken it
                self.lines += body.splitlines()
            self.changed.notify_all()
            return status

    def wait_for(self, condition, seconds):
        """Until `condition` holds; called with each request that comes."""
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                raise AssertionError(f"not within {seconds} s; {len(self.lines)} lines, "
                                     f"{[r[3] for r in self.requests]}")

    def seqs(self):
        return [json.loads(line)["seq"] for line in self.lines]

    def stop(self):
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
