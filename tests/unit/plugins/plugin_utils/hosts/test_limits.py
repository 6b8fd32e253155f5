# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.fleet.tls.plugins.module_utils.system.commands import COMMAND_SECONDS
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts import steps
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.limits import (
    BASE,
    EACH_SERVICE,
    StepTooSlow,
    seconds_for,
    waiting_at_most,
)
from ansible_collections.fleet.tls.tests.unit.support.actions import run_action

SERVICE: dict[str, Any] = {"name": "nginx", "endpoints": []}


@pytest.mark.parametrize(
    ("step", "request_", "least", "most"),
    [
        ("facts", {"directory": "/etc/fleet-tls"}, BASE, BASE),
        # Everything that a healthy host may wait for fits in.
        (
            "apply",
            {"certificates": [{}] * 3, "services": [SERVICE] * 2, "prove_timeout": 300},
            2 * 3 * 60 + 2 * 300,
            7200,
        ),
        ("client", {"clients": [{"services": [SERVICE]}] * 2, "prove_timeout": 60}, 2 * 2 * 60 + 1800, 7200),
        (
            "prove",
            {"look": {"certificates": [{}], "services": []}, "patience": 120, "endpoints": [], "canaries": []},
            120,
            3600,
        ),
        # 5000 that do not answer, tried twice, 400 at once.
        ("handshake", {"endpoints": [{"timeout": 5}] * 5000, "retries": 1, "resume_at": []}, 5000 * 5 * 2 / 400, 10**5),
    ],
)
def test_healthy_hosts_have_time(step: str, request_: dict[str, Any], least: float, most: float) -> None:
    assert max(BASE, least) <= seconds_for(step, request_) <= most


def test_its_commands_have_time() -> None:
    """Of a service three, forward and back; the trust store is merged once in each direction."""
    assert EACH_SERVICE >= 2 * 3 * COMMAND_SECONDS and BASE >= 2 * COMMAND_SECONDS


@pytest.fixture
def _no_alarm_left() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0) and signal.getsignal(signal.SIGALRM) == before


@pytest.mark.usefixtures("_no_alarm_left")
def test_the_controller_s_own_patience() -> None:
    with pytest.raises(StepTooSlow, match=r"no answer within 0\.1 s"), waiting_at_most(0.1):
        time.sleep(60)
    with waiting_at_most(60):
        pass


@pytest.mark.usefixtures("_no_alarm_left")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_alarm_that_python_drops_comes_again() -> None:
    class Slow:
        def __del__(self) -> None:
            time.sleep(60)

    begin = time.monotonic()
    with pytest.raises(StepTooSlow), waiting_at_most(0.1):
        slow = Slow()
        del slow
        time.sleep(30)
    assert time.monotonic() - begin < 30


@pytest.mark.usefixtures("_no_alarm_left")
def test_a_task_s_own_timeout_comes_first() -> None:
    class Sooner(BaseException):
        pass

    def sooner(*_signal: object) -> None:
        raise Sooner

    before = signal.signal(signal.SIGALRM, sooner)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Sooner), waiting_at_most(60):
            time.sleep(60)
        # A later one goes on where ours was not needed.
        signal.setitimer(signal.ITIMER_REAL, 50)
        with waiting_at_most(20):
            pass
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_no_alarm_left")
def test_a_host_that_hangs_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "seconds_for", lambda _step, _request: 0.1)
    monkeypatch.setattr(steps, "MARGIN", 0.1)

    class Hanging(steps.HostSteps):
        # Through a pipe, a host that is quick enough would answer.
        pipe_is_unknown = True

        def _execute_module(self, **_named: Any) -> dict[str, Any]:
            try:
                time.sleep(60)
            except Exception:
                pytest.fail("a connection plugin would take it for its own")
            return {}

        def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
            return self.step("facts", {"directory": "/nonexistent"}, task_vars)

    assert issubclass(Hanging, ActionBase)
    with pytest.raises(HostError, match="step 'facts': the host gave no answer"):
        run_action(Hanging, "{}")


@pytest.mark.parametrize("step", ["several", "inspect"])
def test_several_steps_have_the_time_of_the_slowest(step: str) -> None:
    look = {"certificates": [{}, {}]}
    both = {"requests": [{"step": "look", "request": look}, {"step": "facts", "request": {}}]}
    assert seconds_for(step, both) == seconds_for("look", look) > seconds_for("facts", {})


@pytest.mark.parametrize("step", ["several", "inspect"])
def test_several_steps_are_as_secret_as_one_of_them(step: str) -> None:
    def secret(*names: str) -> bool:
        return steps.holds_secrets(step, {"requests": [{"step": each, "request": {}} for each in names]}, {})

    assert secret("look", "configure") and not secret("look", "client", "tickets")
    named = {"requests": [{"step": "look", "request": {"certificates": [{"outputs": [{"passphrase": "x"}]}]}}]}
    assert steps.holds_secrets(step, named, {})
