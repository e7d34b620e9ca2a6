# SPDX-License-Identifier: MIT
"""Writes the driver as a C string, without its comments: embed.py OUT.c DRIVER.sh"""
import sys


def main():
    out, driver = sys.argv[1:]
    with open(driver, encoding="utf-8") as f:
        lines = [line.strip() for line in f]
    with open(out, "w", encoding="ascii") as f:
        f.write('#include "agent/deploy/engines/ssh/ssh-remote.h"\n\nconst char ssh_driver[] =')
        for line in lines:
            if line and not line.startswith("#"):
                escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
                f.write(f'\n    "{escaped}\\n"')
        f.write(";\n")


if __name__ == "__main__":
    main()
