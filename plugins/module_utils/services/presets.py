# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preset says: what is always the same about a service, as data. The controller has them, and sends a host those that it uses.
What a service's own check misses is caught by ours, see ``guards.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

Command = Optional[tuple[str, ...]]
# What a reload may be instead of a command.
RELOADS = ("restart", "none")


@dataclass(frozen=True)
class Preset:
    """How a service is treated, as far as it is always the same.

    :param units: its systemd unit, under the names that distributions give it; the first that is there and is more than a
        bracket around others (``Type=oneshot``) counts. A pattern stands for all its instances.
    :param prepared_by: units that systemd starts before it, and that make what its check wants to see: before a first start it would find fault
        with what nobody has changed.
    :param validate: what finds fault with its configuration.
    :param check_word: the argument that makes each of its ``programs`` check its configuration and end; where its unit runs one of them,
        it is called as the unit calls it for the check.
    :param reload, check, start: commands where systemd does not run; ``check`` exits 0 when it runs.
    :param through_unit: where systemd runs, reload it through its unit; else by ``reload`` there too.
    :param reload_by: ``restart``: its unit is restarted, because it takes a new pair by nothing less; ``none``: it notices by itself.
    :param signal: at which it takes a new pair, where its unit's reload does not send it.
    :param endpoints: where it usually serves TLS, as people write endpoints.
    :param programs: names of the processes that may hold its ports.
    :param user: who has to be able to read the private key; None: root.
    :param owner, group, mode: of the private key where the certificate does not say; owner None: its user.
    :param strict_key: it takes a key only of its own user's, for nobody else, or of root's, for no more than a group to read.
    :param eager: it reads its files whenever it starts a process, so that they may be taken before anybody validates them: its
        configuration is looked at before they are changed as well.
    :param guard: our own check of the service's configuration, by its name in ``guards.py``.
    :param control: how it takes a new pair where no command can tell it to: ``redis``, see ``redis_control.py``.
    :param config_files: where its configuration may be; the first that is there counts.
    """

    units: tuple[str, ...] = ()
    prepared_by: tuple[str, ...] = ()
    validate: Command = None
    check_word: str | None = None
    reload: Command = None
    check: Command = None
    start: Command = None
    through_unit: bool = True
    reload_by: str | None = None
    signal: str | None = None
    endpoints: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    user: str | None = None
    owner: str | None = None
    group: str | None = None
    mode: str | None = None
    strict_key: bool = False
    eager: bool = False
    guard: str | None = None
    control: str | None = None
    config_files: tuple[str, ...] = ()


def read_preset(raw: Mapping[str, Any] | None) -> Preset:
    """The preset of a request; without one, nothing is known of a service."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in (raw or {}).items()
    }
    return Preset(**fields)
