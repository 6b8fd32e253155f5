# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that has imported ansible-core and our plugins, and becomes ansible-playbook in forks of itself; tools/warm.py starts it.

Its standard input is a socket from which requests come. When that ends, the server ends.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST = 1 << 20
# What a run imports late, by the names that Ansible's plugin loader gives to it.
LATE = """
ansible.executor.process.worker ansible.executor.task_executor ansible.plugins.callback.default ansible.plugins.connection.local
ansible.plugins.connection.ssh ansible.plugins.inventory.auto ansible.plugins.inventory.host_list ansible.plugins.inventory.ini
ansible.plugins.inventory.script ansible.plugins.inventory.toml ansible.plugins.inventory.yaml ansible.plugins.shell.sh
ansible.plugins.strategy.linear ansible.plugins.vars.host_group_vars cryptography.hazmat.primitives.ciphers.aead
cryptography.hazmat.primitives.serialization.pkcs7 cryptography.x509 sqlite3 xml.etree.ElementTree
""".split()


# Ours that make something, or look at something, when they are imported that is one run's own. They, and who imports them, are imported by
# each run. tests/unit/test_run_state.py finds those that are missing here.
RUN_STATE = (
    "action.due_parts",
    "plugin_utils.base.playbook_run",
    "plugin_utils.rotation.record",
    "plugin_utils.store.pkcs8",
    "plugin_utils.tasks.templates",
)
OURS = "ansible_collections.fleet.tls.plugins."
FOLDERS = ("plugin_utils", "sub_plugins", "filter", "action")


def load() -> None:
    """Import what runs need, less what is one run's own."""
    importlib.import_module("ansible.cli.playbook")
    for name in LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    load_ours()
    drop_temporary_folder()
    gc.collect()
    # Else each fork looks through all of it, and copies it by that.
    gc.freeze()


def load_ours() -> None:
    """Import our own plugins, by the names that Ansible has for them."""
    import ansible.cli
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader()
    # A run would warn that it has been called already.
    ansible.cli.init_plugin_loader = lambda *_paths: None
    state = dict.fromkeys(OURS + name for name in RUN_STATE)
    # None: cannot be imported.
    sys.modules.update(state)  # type: ignore[arg-type]
    for name in names_of_ours():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in state:
        del sys.modules[name]


def names_of_ours() -> Iterator[str]:
    """The modules of our plugins, packages apart."""
    root = Path(importlib.import_module(OURS.rstrip(".")).__path__[0])
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        if path.stem != "__init__":
            yield OURS + ".".join(path.relative_to(root).with_suffix("").parts)


def drop_temporary_folder() -> None:
    """Ansible's constants make one. Each run makes its own."""
    from ansible import constants
    from ansible.utils.path import cleanup_tmp_file

    atexit.unregister(cleanup_tmp_file)
    os.rmdir(constants.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]


def serve(requests: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each request, and tell how the forks end.

    :return: in a fork: what it is to be, and its standard streams; in the server, once it is no longer needed: None.
    """
    waker, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.signal(signal.SIGCHLD, lambda *_ignored: None)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _none, _neither = select.select([requests, waker], [], [])
        if waker in ready:
            os.read(waker, 4096)
            tell_ends(running)
        if requests in ready:
            message, descriptors, _flags, _address = socket.recv_fds(requests, LONGEST, 4)
            if not message:
                return None
            request, answers = json.loads(message), socket.socket(fileno=descriptors.pop())
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                await_word(request, answers)
                return request, descriptors
            running[child] = answers
            for each in descriptors:
                os.close(each)


def await_word(request: dict[str, Any], answers: socket.socket) -> None:
    """Do what others may see of a process as soon as they know its id, say that, and go on when somebody waits for it.

    Else it ends: the run has been started in another way then.
    """
    try:
        if request["session"]:
            os.setsid()
        os.chdir(request["cwd"])
        os.umask(request["umask"])
        answers.sendall(b"+%d\n" % os.getpid())
        if answers.recv(1):
            return
    except OSError:
        pass
    os._exit(1)


def tell_ends(running: dict[int, socket.socket]) -> None:
    """Send the status (as of waitpid(2)) of each fork that has ended."""
    while running:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        with running.pop(child) as answers, contextlib.suppress(OSError):
            answers.sendall(b"=%d\n" % status)


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Make of this process what the command would have been that the request describes."""
    from ansible import constants

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 65536)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    # With its id in the name. As constants does it: a default may be a template of other settings.
    folder = constants.config.get_config_value("DEFAULT_LOCAL_TMP", variables=vars(constants))
    constants.DEFAULT_LOCAL_TMP = folder  # type: ignore[attr-defined]


def main() -> None:
    """As the module says."""
    # As of a script of the environment that is meant; this one's folder is of no concern to Ansible.
    sys.path[0] = os.path.dirname(sys.argv[1])
    # A run gets a terminal's signal itself, and its server goes when nobody needs it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    load()
    asked = serve(requests)
    if asked:
        requests.detach()
        become(*asked)
        from ansible.cli.playbook import main as ansible_playbook

        ansible_playbook()


if __name__ == "__main__":
    main()
