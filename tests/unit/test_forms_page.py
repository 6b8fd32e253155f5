# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every form of an output is described, with the key that is in it: on its page, and in the module's documentation."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ansible_collections.fleet.tls.plugins.module_utils.pair.forms import FORMATS_WITH_KEY, FORMS, PROFILES
from ansible_collections.fleet.tls.plugins.modules import certificates

PAGE = Path(__file__).parents[2] / "docs" / "forms.md"


def test_the_page_has_them_all() -> None:
    rows = re.findall(r"^\| (`.+?`) \|.*\| (yes)? ?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    described = {form: bool(key) for forms, key in rows for form in re.findall(r"`(\w+)`", forms)}
    assert described == {form: form in FORMATS_WITH_KEY for form in FORMS}


def test_the_module_has_them_all() -> None:
    outputs = yaml.safe_load(certificates.DOCUMENTATION)["options"]["certificates"]["suboptions"]["outputs"]
    options = outputs["suboptions"]
    assert options["format"]["choices"] == list(FORMS) and options["profile"]["choices"] == list(PROFILES)
