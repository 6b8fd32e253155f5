# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What needs no compiler has the value that Ansible's templating gives it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleUndefinedVariable, AnsibleValueOmittedError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.values import Values

VARIABLES: dict[str, Any] = {
    "text": "a text",
    "braces": "{{ not a template }}",
    "nothing": None,
    "number": 7,
    "truth": False,
    "many": {"inner": ["x", trust_as_template("{{ text }}")], "empty": {}},
    "nested": trust_as_template("{{ text }}/{{ number }}"),
    "lost": trust_as_template("{{ nowhere }}"),
}
TEMPLATES = [
    "{{ text }}", "{{ braces }}", "{{ nothing }}", "{{ number }}", "{{ truth }}", "{{ many }}", "{{ nested }}",
    "{{ text | default(omit) }}", "{{ nowhere | default(none) }}", "{{ nowhere | default({}) }}", "{{ nowhere | default([]) }}",
    "{{ nowhere | default(false) }}", "{{ lost | default(true) }}", "{{ truth | default(true) }}",
    "{{ lost | default([]) }}", "{{ nothing | default([]) }}", "{{ lost | default(none) }}",
    "{{ text }}/{{ nested }}.pem", "/{{ braces }}", "{{ number }} of {{ text }}", "{{ nothing }}.", "{{ text }}\n",
    "{{ text | upper }}", "{{ 'x' if truth else 'y' }}", "{% if truth %}x{% endif %}{{ text }}", "plain", "", "{# no #}{{ text }}",
]  # fmt: skip


def values() -> Values:
    variables = dict(VARIABLES)
    return Values(Templar(DataLoader(), variables), variables)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_value_is_ansible_s(template: str) -> None:
    wanted = Templar(DataLoader(), dict(VARIABLES)).template(trust_as_template(template))
    found = values().of(trust_as_template(template))
    assert found == wanted and isinstance(found, type(wanted))


@pytest.mark.parametrize(
    "template", ["{{ nowhere }}", "{{ lost }}", "{{ lost }}/{{ text }}", "{{ nowhere }}/{{ text }}"]
)
def test_what_is_undefined_is_an_error(template: str) -> None:
    with pytest.raises(AnsibleUndefinedVariable):
        values().of(trust_as_template(template))


@pytest.mark.parametrize("template", ["{{ nowhere | default(omit) }}", "{{ lost | default(omit) }}"])
def test_what_is_left_out_is_left_out(template: str) -> None:
    text = trust_as_template(template)
    with pytest.raises(AnsibleValueOmittedError):
        values().of(text)
    assert values().of({"a": text, "b": [text, 1], "c": {"d": text}}) == {"b": [1], "c": {}}


def test_a_text_that_nobody_trusts_is_no_template() -> None:
    assert values().named("braces") == "{{ not a template }}"


def test_a_default_is_nobody_else_s() -> None:
    text = trust_as_template("{{ nowhere | default([]) }}")
    values().of(text).append(1)
    assert values().of(text) == []
