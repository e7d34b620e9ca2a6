# SPDX-License-Identifier: MIT
"""Writes the schemas as one C table, sorted by name: embed.py OUT.c SCHEMA.json …"""
import json
import os
import sys


def c_string(text):
    out = []
    for byte in text.encode():
        out.append(chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}")
    body = "".join(out)
    return "\n    ".join(f'"{part}"' for part in split(body)) or '""'


def split(body, width=90):
    start = 0
    while start < len(body):
        end = min(start + width, len(body))
        # Never in the middle of an escape.
        while end < len(body) and "\\" in body[end - 3:end]:
            end -= 1
        yield body[start:end]
        start = end


def main():
    out, *files = sys.argv[1:]
    rows = []
    for path in files:
        name = os.path.basename(path).removesuffix(".schema.json")
        with open(path, encoding="utf-8") as f:
            text = json.dumps(json.load(f), separators=(",", ":"), ensure_ascii=False)
        rows.append((name, text))
    with open(out, "w", encoding="utf-8") as f:
        f.write('#include "protocol/schema.h"\n\nconst SchemaText schema_texts[] = {\n')
        for name, text in sorted(rows):
            f.write(f'    {{"{name}", {len(text.encode())}, {c_string(text)}}},\n')
        f.write("    {0},\n};\n")


if __name__ == "__main__":
    main()
