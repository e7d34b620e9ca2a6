# SPDX-License-Identifier: MIT
"""Looking at a page that slipway made: its structure, and how a browser shows it."""
import html.parser
import os
import shutil
import signal
import struct
import subprocess

import harness

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """Tags that close what they opened, no reference to anything outside, no script; the text by class."""
    VOID = {"meta", "br", "hr", "input", "line", "rect"}  # of SVG those that we close at once
    REFERENCES = {"src", "href", "xlink:href", "data", "action", "srcset", "poster", "background"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.tiles, self.rows, self.tags = [], [], [], 0, {}

    def handle_starttag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag in ("script", "link", "iframe", "object", "embed", "img", "base", "form"):
            self.problems.append(f"<{tag}>")
        for name, value in attributes:
            if name in self.REFERENCES or name.startswith("on"):
                self.problems.append(f"<{tag} {name}={value}>")
        if tag not in self.VOID:
            self.open.append((tag, dict(attributes).get("class", "")))

    def handle_startendtag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1][1] == "value":
            self.tiles.append(data)


def read_page(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    page = Page()
    page.feed(text)
    page.close()
    return text, page


def screenshot(page, image, size):
    """Chromium's view of a page, without its sandbox, since tests run as root in containers."""
    profile = image + ".profile"
    process = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={size}",
         f"--screenshot={image}", f"file://{page}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(harness.PATIENCE_SECONDS)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # its helpers, which are of its own session
        except ProcessLookupError:
            pass
        process.wait()
    with open(image, "rb") as f:
        data = f.read()
    return struct.unpack(">II", data[16:24]), len(data)
