# SPDX-License-Identifier: MIT
"""test-conformance.py ENGINE [PART/PARTS] [CASE …]: slipway-run-deploy and one engine against the whole table (conformance.py),
or every PARTS-th case of it, for an engine that takes its time."""
import re
import sys

import conformance
import harness
from deploy_case import DeployCase

row = conformance.row_of(sys.argv.pop(1))
part, parts = map(int, sys.argv.pop(1).split("/")) if re.fullmatch(r"\d+/\d+", "".join(sys.argv[1:2])) else (1, 1)
Table = conformance.Table
title = row.__name__ + "Conformance"
globals()[title] = type(title, (conformance.cases_of(row, part, parts), DeployCase), {"engine_class": row})

if __name__ == "__main__":
    harness.main()
