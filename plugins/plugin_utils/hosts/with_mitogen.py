# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is different where Mitogen (on PyPI), and not one of Ansible's own connections, leads to a host.

It keeps one Python on each host, and runs modules within it. A step must have a process of its own: it ends that process where the step
would never end, forks, remembers what it saw of files, and holds private keys. So steps go through a pipe here too, and a step that has to
be a module asks Mitogen for a process.
"""

from __future__ import annotations

from typing import Any

# The variable with which Mitogen is asked to run a module in a process of its own; nobody else knows it.
OWN_PROCESS = {"mitogen_task_isolation": "fork"}
CONNECTION = "ansible_mitogen.connection"


def is_mitogen(connection: Any) -> bool:
    """Whether Mitogen made a connection. It takes the input of any command, become or not, but does not say so: it has no pipelining to turn on."""
    return any(each.__module__ == CONNECTION for each in type(connection).__mro__)


def unlogged(data: bytes) -> bytes:
    """The input of a command, of which Mitogen's own log (``MITOGEN_LOG_LEVEL=debug``) shows no more than the size.

    :raises ImportError: Mitogen is not what it was.
    """
    from mitogen.core import Blob

    return Blob(data)  # type: ignore[no-any-return]
