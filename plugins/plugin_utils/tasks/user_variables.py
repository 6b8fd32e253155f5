# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that users can set, and what of an inventory no playbook and no role of this collection will ever read.

There is one list, and nobody writes it: a variable is known when the specification of a role or a playbook has its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars

from ansible_collections.fleet.tls.plugins.plugin_utils.base.spelling import meant
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.wishes import NOT_FOLLOWED, as_written
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.run_notes import RunNote
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.wanted import ciphertext, raw_variables

COLLECTION = Path(__file__).resolve().parents[3]
PREFIX = "tls_"
# Words may name several at once, as tls_trust_* does.
NAME = re.compile(rf"\b{PREFIX}[a-z]\w*\b(?<!_)")
# Ansible reads them before there is a host.
OF_PLAYS = ("tls_hosts", "tls_max_fail_percentage", "tls_rotation_serial", "tls_serial")
# Lists that a host may have from several groups, as in tls_certificates_web.
JOINED = ("tls_certificates", "tls_clients", "tls_endpoints", "tls_sites", "tls_trust_bundles")
# Lookups that find variables by patterns.
FINDING = frozenset({"merge_variables", "varnames"})
LOOKUP = "{{{{ lookup('fleet.tls.joined', '{name}') }}}}"


@cache
def known_variables() -> frozenset[str]:
    """Their names. Read once, in the process that forks the workers."""
    texts = [*COLLECTION.glob("roles/*/meta/argument_specs.yml"), *COLLECTION.glob("playbooks/**/*.yml")]
    return frozenset(name for path in texts for name in NAME.findall(path.read_text(encoding="utf-8")))


known_variables()


def warn_of_unread(variables: Mapping[str, Any], host: str) -> None:
    """Warn of what a host's variables have without effect, each once a run.

    It costs next to nothing where there is nothing to warn of.

    :param variables: of a task.
    """
    warn(unread(variables, lambda: given_variables(variables, host)))


class Watch:
    """The same for many hosts in one task: a name is looked at where it is met first."""

    def __init__(self) -> None:
        self.seen: set[str] = set(known_variables() - set(OF_PLAYS))

    def over(self, given: Mapping[str, Any]) -> None:
        """Warn of what another host has without effect.

        :param given: its variables as they are written.
        """
        new = {name for name in given if name.startswith(PREFIX)} - self.seen
        if new:
            self.seen |= new
            warn(unread(given, lambda: given))


def warn(found: Mapping[str, str]) -> None:
    """Say each of these, unless this run has."""
    for name, words in found.items():
        note = RunNote("unread", name)
        with note.held() as said:
            if said is None:
                note.write({})
                Display().warning(words)


def unread(variables: Mapping[str, Any], given: Callable[[], Mapping[str, Any]]) -> dict[str, str]:
    """Variable → why it is without effect, and what to do, in the same words for every host.

    :param given: the host's variables as they are written; asked only where there may be something to say.
    """
    of_plays = {name for name in OF_PLAYS if name in variables}
    of_plays -= set(extra_variables()) if of_plays else set()
    strangers = of_strangers(variables)
    if not of_plays and not strangers:
        return {}
    written = given()
    # A play may have variables of its own, which use those of the inventory.
    for whole in (written, variables):
        used = words_used(whole) if strangers else set()
        strangers = {name: words for name, words in strangers.items() if not is_used(name, used)}
    return {
        # Those that a playbook gives another one are not among what is written of the host.
        **{name: of_a_play(name) for name in sorted(of_plays) if name in written},
        **strangers,
    }


def is_used(name: str, words: Collection[str]) -> bool:
    """Whether templates with these words read a variable: by its name, by the beginning of it, or by lookups that find any name."""
    begins = (each for each in words if each.startswith(PREFIX) and each.endswith("_"))
    return name in words or not FINDING.isdisjoint(words) or name.startswith(tuple(begins))


def of_a_play(name: str) -> str:
    """What to say of one of ``OF_PLAYS`` that an inventory has."""
    return (
        f"{name} in an inventory, or in vars of a host or group, has no effect: Ansible reads it before it knows any host. "
        f"Give it with -e, or below vars of ansible.builtin.import_playbook."
    )


def of_strangers(variables: Mapping[str, Any]) -> dict[str, str]:
    """Variables that look like ours and are not: a name that is nearly one, and parts of a list that nobody joins."""
    found = {}
    for name in variables:
        if not name.startswith(PREFIX) or name in known_variables():
            continue
        whole = next((each for each in JOINED if name.startswith(f"{each}_")), None)
        joined = whole is not None and "joined" in words_used({whole: variables.get(whole)})
        if whole and (joined or is_part(variables[name])):
            if not joined:
                line = f'{whole}: "{LOOKUP.format(name=whole)}"'
                found[str(name)] = f"{name} is not read. If it is a part of {whole}, set for all hosts: {line}"
            continue
        known = meant(name, known_variables(), PREFIX)
        if known:
            found[str(name)] = f"{name} is no variable of fleet.tls and is not read. Did you mean {known}?"
    return found


def is_part(value: Any) -> bool:
    """Whether a variable could be a part of a list of ours, as far as can be seen without rendering it."""
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(each, Mapping) for each in value)


def given_variables(variables: Mapping[str, Any], host: str) -> Mapping[str, Any]:
    """A host's variables as they are written; empty where Ansible does not know the host."""
    try:
        raw = raw_variables(variables, host)
    except (AnsibleError, KeyError):
        return {}
    return raw if isinstance(raw, Mapping) else {}


def extra_variables() -> Collection[str]:
    """The names of those that were given with ``-e``."""
    try:
        return load_extra_vars(DataLoader()).keys()
    except AnsibleError:
        return ()


def words_used(variables: Mapping[str, Any]) -> set[str]:
    """The words in the templates of variables; names of other variables are among them."""
    found: set[str] = set()
    for name, value in variables.items():
        if name not in NOT_FOLLOWED:
            as_written(value, found, ciphertext)
    return found
