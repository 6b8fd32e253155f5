# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.host_lock import host_lock


def test_whoever_waits_while_the_host_is_retired_gets_the_lock_that_others_come_to(tmp_path: Path) -> None:
    """The file that it waited for is gone by then."""
    directory = str(tmp_path / "tls")
    begun, held = threading.Event(), threading.Event()
    done = threading.Event()

    def wait() -> None:
        begun.set()
        with host_lock(directory, wait=60):
            held.set()
            done.wait(60)

    waiting = threading.Thread(target=wait)
    with host_lock(directory):
        waiting.start()
        begun.wait(60)
        # It has opened the file, or will find another one.
        time.sleep(0.3)
        shutil.rmtree(directory)
    try:
        assert held.wait(60)
        with pytest.raises(StepError) as caught, host_lock(directory, wait=0.1):
            pass
        assert caught.value.code == "busy"
    finally:
        done.set()
        waiting.join(60)
    with host_lock(directory, wait=0.1):
        pass
