# SPDX-License-Identifier: MIT
"""packaging/quickstart as a newcomer calls it: it builds, shows the whole road twice, and leaves nothing behind."""
import os
import subprocess

import harness

SECONDS = 600  # it builds all of Slipway


class Quickstart(harness.Case):
    def test_a_newcomer_sees_two_commits_travel_to_production(self):
        result = subprocess.run(
            [os.path.join(harness.ROOT, "packaging/quickstart"), "--yes"], capture_output=True, text=True,
            timeout=SECONDS, stdin=subprocess.DEVNULL, check=False,
            env={**os.environ, "TMPDIR": self.directory, "NO_COLOR": "1"})
        self.assertEqual(result.returncode, 0, result.stdout[-4000:] + result.stderr[-4000:])
        for said in ("Complete for prod.", "Good morning from greeter", "Hello from greeter",
                     "allowed: released by", "rollback-prod succeeded"):
            self.assertIn(said, result.stdout + result.stderr)
        self.assertEqual(os.listdir(self.directory), [])


if __name__ == "__main__":
    harness.main()
