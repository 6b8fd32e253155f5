# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the judge of chains against public suites, beside openssl, ``cryptography`` and Go; run by ./dev bench limbo FILE...

FILEs are x509-limbo's limbo.json or BetterTLS's cases in its schema, one a line (``.jsonl``), either also as ``.xz``. PKITS comes with
PyPI's cryptography_vectors. The exit status is 1 when a case that all others agree on is judged otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.append(os.environ["FLEET_TLS_COLLECTIONS"])

from bench.chain_suites import ChainCase, pkits, read_suite
from bench.chain_verifiers import Verdicts, verifiers

OURS = "fleet.tls"
# Where we are right to be of another mind than all others.
KNOWN_DIFFERENCES = {
    "webpki::forbidden-dsa-leaf": "others judge the certificate alone; no TLS client of today offers DSA (RFC 8446, RFC 9155)",
}


def main(arguments: Sequence[str]) -> int:
    """Judge, and print the tables."""
    parser = argparse.ArgumentParser(prog="./dev bench limbo", description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="limbo.json, or one case a line in .jsonl")
    parser.add_argument(
        "--list", action="store_true", help="name each case that is judged otherwise than its suite says"
    )
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    cases = list(pkits())
    for path in options.files:
        suite = read_suite(path)
        cases += suite.cases
        if suite.empty:
            print(f"{path.name}: {suite.empty} cases have no certificates in them, so that nobody can judge them")
    answers: dict[str, Verdicts] = {}
    for name, judge in verifiers().items():
        begun = time.monotonic()
        answers[name] = judge(cases)
        print(f"{name}: {len(cases)} cases in {time.monotonic() - begun:.1f} s", file=sys.stderr)
    print("\n".join(tables(cases, answers)))
    if options.list:
        print("\n".join(otherwise(cases, answers)))
    alone = disagreements(cases, answers)
    print(f"\nJudged otherwise than all others agree: {len(alone)}", *map(reasoned, alone), sep="\n  ")
    return 0 if set(alone) <= set(KNOWN_DIFFERENCES) else 1


def tables(cases: Sequence[ChainCase], answers: dict[str, Verdicts]) -> Iterable[str]:
    """Right, wrong accepts and wrong refusals a category, in Markdown."""
    yield f"| suite | cases | {' | '.join(answers)} |"
    yield f"|---|---|{'---|' * len(answers)}"
    groups: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        groups.setdefault(f"**{case.suite}**{', featured' if case.featured else ''}", []).append(place)
    for place, case in enumerate(cases):
        if not case.featured and case.suite == "x509-limbo":
            groups.setdefault(case.category, []).append(place)
    for name, places in groups.items():
        columns = (score([(answer[place], cases[place].expected) for place in places]) for answer in answers.values())
        yield f"| {name} | {len(places)} | {' | '.join(columns)} |"


def score(pairs: Sequence[tuple[bool | None, bool]]) -> str:
    """``right (wrong accepts, wrong refusals)``."""
    asked = [(said, expected) for said, expected in pairs if said is not None]
    if not asked:
        return "-"
    accepts = sum(said and not expected for said, expected in asked)
    refusals = sum(expected and not said for said, expected in asked)
    of = f" of {len(asked)}" if len(asked) < len(pairs) else ""
    return f"{len(asked) - accepts - refusals}{of} ({accepts}, {refusals})"


def otherwise(cases: Sequence[ChainCase], answers: dict[str, Verdicts]) -> Iterable[str]:
    """The cases in which somebody of us and the suite is of another mind."""
    for place, case in enumerate(cases):
        if answers[OURS][place] is not case.expected:
            others = ", ".join(f"{name}: {answer[place]}" for name, answer in answers.items() if name != OURS)
            yield f"{case.identifier}{' (featured)' if case.featured else ''}: expected {case.expected}; {others}"


def disagreements(cases: Sequence[ChainCase], answers: dict[str, Verdicts]) -> list[str]:
    """The cases that all others judge alike, and we do not."""
    found = []
    for place, case in enumerate(cases):
        others = {answer[place] for name, answer in answers.items() if name != OURS} - {None}
        if len(others) == 1 and answers[OURS][place] not in others:
            found.append(case.identifier)
    return found


def reasoned(identifier: str) -> str:
    """A case, and why it is judged otherwise."""
    return f"{identifier}: {KNOWN_DIFFERENCES.get(identifier, 'nobody knows why')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
