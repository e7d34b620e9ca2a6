# SPDX-License-Identifier: MIT
"""test-conformance.py ENGINE [CASE …]: slipway-run-deploy and one engine against the whole table (conformance.py)."""
import sys

import conformance
import harness
from deploy_case import DeployCase

row = conformance.row_of(sys.argv.pop(1))
Table = conformance.Table
title = row.__name__ + "Conformance"
globals()[title] = type(title, (conformance.cases_of(row), DeployCase), {"engine_class": row})

if __name__ == "__main__":
    harness.main()
