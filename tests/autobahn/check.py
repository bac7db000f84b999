"""Prints the cases that are not as they have to be, and how many are.

Usage: check.py INDEX, the file index.json of the suite's report
"""

import json
import sys

# INFORMATIONAL is the result of a case for which RFC 6455 leaves open what a server does.
GOOD = {"OK", "INFORMATIONAL"}

with open(sys.argv[1]) as index:
    (cases,) = json.load(index).values()
bad = 0
for name in sorted(cases, key=lambda name: [int(part) for part in name.split(".")]):
    case = cases[name]
    if not {case["behavior"], case["behaviorClose"]} <= GOOD:
        bad += 1
        print(f"case {name}: {case['behavior']}, its close: {case['behaviorClose']} with the code {case['remoteCloseCode']}")
print(f"{len(cases) - bad} passed, {bad} failed")
# A suite that runs no case has not passed.
sys.exit(bad > 0 or not cases)
