"""Store what every stage makes of its tiny input, after its version was raised.

    python tools/store_values.py [CASE …]

`tests/workflow/test_versions.py` compares with these values; without a case all are stored anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    """Measure and store; says which values changed."""
    from tests.workflow.versions import CASES, STORED, measure, problem

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--check", action="store_true", help="store nothing; exit with 1 when values differ")
    args = parser.parse_args()
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    wrong = 0
    for name in args.cases or CASES:
        found = measure(name)
        what = problem(name, stored.get(name), found, CASES[name].tolerance)
        wrong += what is not None
        print(what or f"{name}: as stored", flush=True)
        stored[name] = found
        if not args.check:
            kept = {case: stored[case] for case in CASES if case in stored}
            STORED.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    sys.exit(1 if args.check and wrong else 0)


if __name__ == "__main__":
    main()
