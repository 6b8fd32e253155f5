# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of this host: its commands decided, is it there, does it run, let it take what was changed."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read_text
from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Command, Preset, read_preset
from ansible_collections.fleet.tls.plugins.module_utils.services.unit_calls import ask_unit
from ansible_collections.fleet.tls.plugins.module_utils.system.commands import WORDS_KEPT, output_of, run
from ansible_collections.fleet.tls.plugins.module_utils.system.systemd import systemd_runs

RESTART = 'systemctl reset-failed "$@"; exec systemctl restart "$@"'
COMMANDS = ("validate", "reload", "check", "start")
# The last one has those that systemd makes of scripts in /etc/init.d.
UNIT_DIRECTORIES = (
    "/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
)  # fmt: skip


@dataclass(frozen=True)
class Service:
    """A service of this host, its commands decided; None: there is nothing to run.

    :param prepare: before it is checked for the first time, where it does not run.
    :param restart: brings it up again when it went down, with the state that it finds then.
    :param programs: names of the processes that may hold its ports; empty: nobody knows.
    :param anywhere: these may be a container's, too: it is not systemd that reloads them.
    :param user: who has to be able to read the private key; None: root.
    :param environment: what its unit gives its program, for its check and its reload.
    :param unreloadable: why nobody can let it take anything, for people; empty: somebody can, or nobody has to.
    :param strict_key, eager, guard, control, config_files: as in :class:`presets.Preset`.
    """

    name: str
    validate: Command = None
    reload: Command = None
    check: Command = None
    start: Command = None
    prepare: Command = None
    restart: Command = None
    programs: tuple[str, ...] = ()
    anywhere: bool = False
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    strict_key: bool = False
    eager: bool = False
    guard: str | None = None
    control: str | None = None
    config_files: tuple[str, ...] = ()
    unreloadable: str = ""


def resolve(raw: dict[str, Any]) -> Service:
    """A service of a request for this host: what the user did not say comes from the preset."""
    preset = read_preset(raw.get("preset"))
    own = {each: tuple(raw[each]) for each in COMMANDS if raw.get(each)}
    known: dict[str, Command] = {each: getattr(preset, each) for each in COMMANDS}
    units = tuple(raw.get("units") or ())
    variables: Mapping[str, str] = {}
    # A reload of the user's own means that systemd does not have this one, unless they say which unit it is: the preset's would be
    # another process.
    if systemd_runs() and (units or (preset.units and "reload" not in own)):
        found = find_units(units or preset.units)
        prepared_by = tuple(each for each in preset.prepared_by if unit_text(each) is not None)
        known["prepare"] = ("systemctl", "start", *prepared_by) if prepared_by else None
        known.update(unit_commands(found, preset if preset.units else Preset()))
        if preset.validate:
            calls = ask_unit(found[0])
            variables = calls.environment
            if preset.check_word:
                known["validate"] = calls.check(preset.validate, preset.check_word, preset.programs)
    commands = {**known, **own}
    instead = raw.get("reload_by") or (preset.reload_by if "reload" not in own else None)
    if instead:
        commands["reload"] = known.get("restart") if instead == "restart" else None
    control = preset.control if "reload" not in own and not instead else None
    # What looks at the usual configuration is of no use for another.
    usual = "validate" not in own and "reload" not in own
    return Service(
        name=str(raw["name"]),
        **{each: commands[each] for each in COMMANDS},
        prepare=known.get("prepare"),
        restart=own.get("start") or known.get("restart") or known["start"],
        programs=tuple(raw.get("programs") or preset.programs),
        anywhere="reload" in own and not units,
        user=raw.get("user") or preset.user,
        environment=variables,
        strict_key=preset.strict_key,
        eager=preset.eager,
        guard=preset.guard if usual else None,
        control=control,
        config_files=preset.config_files,
        unreloadable="" if instead == "none" or control else why_unreloadable(commands["reload"]),
    )


def unit_commands(units: Sequence[str], preset: Preset) -> dict[str, Command]:
    """How systemd asks, starts and reloads these units."""
    commands: dict[str, Command] = {
        "check": ("systemctl", "is-active", "--quiet", *units),
        "start": ("systemctl", "enable", "--now", *units),
        # One that went down several times within seconds would not be started again without the first command.
        "restart": ("sh", "-c", RESTART, "sh", *units),
    }
    if preset.signal:
        commands["reload"] = ("systemctl", "kill", "--signal=" + preset.signal, *units)
    elif preset.through_unit:
        commands["reload"] = ("systemctl", "reload", *units)
    return commands


def why_unreloadable(reload: Command) -> str:
    """Why a service cannot be let take what was changed, for people; empty: it can."""
    if reload is None:
        return "nobody says how it is reloaded, and systemd, which could, does not run this host"
    if reload[:2] == ("systemctl", "reload"):
        for unit in reload[2:]:
            # One that is not there yet may be installed by a later task.
            shown = output_of(("systemctl", "show", "--property=LoadState,CanReload", unit)).split()
            if "LoadState=loaded" in shown and "CanReload=no" in shown:
                return f"its unit '{unit}' has no reload (ExecReload)"
    return ""


def find_units(candidates: Sequence[str]) -> tuple[str, ...]:
    """The units that the first candidate to be found stands for; the first candidate itself where none is."""
    for name in candidates:
        found = instances(name) if "*" in name else (name,) if is_daemon(name) else ()
        if found:
            return found
    return (candidates[0],)


def is_daemon(name: str) -> bool:
    """Whether there is such a unit, and it has processes of its own: Debian brackets instances in units that do nothing."""
    text = unit_text(name)
    return text is not None and not any(line.strip() == "Type=oneshot" for line in text.splitlines())


def unit_text(name: str) -> str | None:
    """The file of a unit; None: there is none."""
    prefix, at, _instance = name.partition("@")
    for directory in UNIT_DIRECTORIES:
        try:
            return read_text(os.path.join(directory, prefix + at + ".service"), follow=True)
        except OSError:
            continue
    return None


def instances(pattern: str) -> tuple[str, ...]:
    """The units that systemd has loaded under names like this: those that run, or all where none does. One that was stopped cannot be
    reloaded, and would keep the others from it."""
    listed = output_of(("systemctl", "list-units", "--all", "--plain", "--no-legend", pattern + ".service"))
    known = [line.split() for line in listed.splitlines() if len(line.split()) > 2]
    found = [(words[0], words[2]) for words in known if fnmatch.fnmatch(words[0], pattern + ".service")]
    running = tuple(name for name, active in found if active in ("active", "reloading", "activating"))
    return running or tuple(name for name, _active in found)


def is_running(service: Service) -> bool:
    """Whether a service runs; one that cannot be asked is taken to."""
    if service.check is None:
        return True
    try:
        run(service.check, "check")
    except StepError:
        return False
    return True


def validate(service: Service) -> None:
    """Let a service, and then us, find fault with its configuration.

    :raises StepError: validate_failed.
    """
    if service.validate:
        run(service.validate, "validate", service.environment)
    if service.guard:
        # Late: most services have none.
        from ansible_collections.fleet.tls.plugins.module_utils.services.guards import GUARDS

        GUARDS[service.guard](service)


def shown_by(service: Service, check: str, *show: str) -> str:
    """What a server's own check shows of its configuration when it is asked to show it instead; empty where that is not how it is checked,
    or it finds fault with it.

    :param check: the option by which it checks.
    :param show: the options by which it shows.
    """
    words = service.validate or ()
    if check not in words:
        return ""
    at = words.index(check)
    return output_of((*words[:at], *show, *words[at + 1 :]), service.environment)


def reload(service: Service) -> None:
    """Let a service take what was changed.

    :raises StepError: reload_failed.
    """
    if service.reload:
        # Caddy's configuration may name variables, and it is the reload that puts them in. systemd knows them.
        through_unit = service.reload[0] == "systemctl"
        run_with_words(service.reload, "reload", {} if through_unit else service.environment)
    elif service.control == "redis":
        from ansible_collections.fleet.tls.plugins.module_utils.services.redis_control import reload_pair

        reload_pair(service.config_files)


def bring_back(service: Service) -> None:
    """Let a service take the old state again; one that went down meanwhile is started.

    :raises StepError: reload_failed, start_failed.
    """
    if is_running(service):
        reload(service)
    elif service.restart:
        run_with_words(service.restart, "start")


def tell_why_down(service: Service) -> None:
    """The last words of a service that runs no more.

    :raises StepError: service_down, always.
    """
    words = own_words(service.check or ())
    raise StepError(
        "service_down",
        "it went down with the reload" + (f": {words}" if words else ""),
        "find out why with its own log, then run again",
    )


def run_with_words(command: Sequence[str], what: str, variables: Mapping[str, str] | None = None) -> None:
    """:func:`run`; where systemd only says that it did not work, and where to look, the service's own words are put in.

    :raises StepError: as :func:`run`.
    """
    try:
        run(command, what, variables)
    except StepError as error:
        words = own_words(command)
        if words:
            error.message = f"{error.message}; its own last words: {words}"
        raise


def own_words(command: Sequence[str]) -> str:
    """The last lines in the journal of the units that a command of :func:`unit_commands` is about; empty for others."""
    about = (
        command[2:] if command[:1] == ("systemctl",) else command[4:] if command[:3] == ("sh", "-c", RESTART) else ()
    )
    units = ["--unit=" + each for each in about if not each.startswith("-")]
    asked = ("journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=10", *units)
    return output_of(asked).strip()[-WORDS_KEPT:] if units else ""
