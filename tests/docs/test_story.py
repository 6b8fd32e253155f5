# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A story of a page that nobody wrote: what is run, what stops it, and what the run says at its end."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from docs.conftest import summary
from docs.story import Outcome, Page, tell
from docs.world import world

GOOD = """\
```yaml
# group_vars/all/a.yml
web: {vars: {a: 1, b: [1]}}
```
```yaml
# add to group_vars/all/a.yml
web: {vars: {b: [2]}}
```
```console
$ cat group_vars/all/a.yml
…
a: 1
b:
- 2
$ mkdir -p /var/backups/one && ls -d /var/backups/*
…var-backups/one
$ grep -c vault_secret group_vars/all/vault.yml
1
```
```console fails
$ cat nothing-here
cat: nothing-here: No such file or directory
```
```yaml
# secret.yml
a: "{{ vault_secret }}"
```
"""
SAYS_SOMETHING_ELSE = "```console\n$ echo one\ntwo\n```\n```console\n$ true\n```\n"
STOPS = "```console\n$ false\n```\n```console\n$ true\n```\n"
SHOULD_FAIL = "```console fails\n$ true\n```\n"
NO_FILE = "```yaml\na: 1\n```\n"


def told(folder: Path, *texts: str) -> Outcome:
    with world(folder, "none", ()) as made:
        return tell([Page(f"docs/guides/{number}.md", text) for number, text in enumerate(texts)], made)


def test_a_page_that_is_right(tmp_path: Path) -> None:
    outcome = told(tmp_path, GOOD)
    assert (outcome.ran, outcome.faults, outcome.not_run) == (5, [], {})
    vault, backups = "values for what Ansible Vault has", "a folder of the test for /var/backups"
    assert sorted(outcome.substituted) == [[backups, vault], [vault]]
    assert summary([dataclasses.asdict(outcome)]) == [
        "documentation: 5 blocks ran, 2 of them with substitutions; 0 did not run",
        f"  substituted in 1: {backups}",
        f"  substituted in 2: {vault}",
    ]


def test_what_is_shown_and_not_said_is_a_fault_and_no_end(tmp_path: Path) -> None:
    outcome = told(tmp_path, SAYS_SOMETHING_ELSE)
    assert outcome.ran == 2 and not outcome.not_run
    assert outcome.faults == ["docs/guides/0.md:2: 'echo one' did not say ['two']\none\n"]


def test_what_cannot_be_run_ends_the_story(tmp_path: Path) -> None:
    for number, (page, why) in enumerate(
        ((STOPS, "'false' ended with 1"), (SHOULD_FAIL, "'true' ended with 0"), (NO_FILE, "neither a console block"))
    ):
        outcome = told(tmp_path / str(number), page, "```console\n$ true\n```\n")
        assert outcome.ran == 0 and why in outcome.faults[0]
        assert outcome.not_run["docs/guides/1.md:2"] == "a block before it went wrong"
        assert f"  not run: docs/guides/1.md:2: {outcome.not_run['docs/guides/1.md:2']}" in summary(
            [dataclasses.asdict(outcome)]
        )
