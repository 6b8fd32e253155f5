# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run of ansible-playbook this is, the same for every host of it.

An action is imported in the process that forks the workers, so what is made here at import is the run's own; the same is relied
on in ``providers.preload``. A second process of the same play on another node is another run.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass


@dataclass(frozen=True)
class ThisRun:
    """``started``: seconds since the epoch."""

    name: str
    started: float


THIS_RUN = ThisRun(uuid.uuid4().hex, time.time())
