# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-playbook with Mitogen, from a virtual environment of its own: which ansible-core it runs with is its own affair."""

from __future__ import annotations

from tools import paths

VENV = "mitogen"


def settings() -> dict[str, str]:
    """The environment variables that turn it on, as its documentation says.

    :raises FileNotFoundError: there is no such environment.
    """
    found = sorted(paths.venv(VENV).glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"))
    if not found:
        raise FileNotFoundError(f"no Mitogen in the environment '{VENV}': ./dev test local makes it")
    return {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(found[0])}
