# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at before anything is swapped, because no service's own check looks at it."""

from __future__ import annotations

import os
import pwd
import signal
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import beside, group_name, user_name
from ansible_collections.fleet.tls.plugins.module_utils.pair.forms import FORMATS_WITH_KEY
from ansible_collections.fleet.tls.plugins.module_utils.pair.layout import PRIVKEY, output_file
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import ProofTarget
from ansible_collections.fleet.tls.plugins.module_utils.services.daemons import Service, is_running, validate
from ansible_collections.fleet.tls.plugins.module_utils.system.sockets import Place, intruder, local_addresses

# With what the child of can_read ends.
READABLE, UNREADABLE, NOT_TRIED = 0, 1, 2


def check_readers(folder: str, entry: Mapping[str, Any], services: Iterable[Service]) -> None:
    """Whether each service's user can read the key, in one of the files that hold it.

    :param folder: of the generation, staged or live, with owners and modes as they will be.
    :raises StepError: key_unreadable.
    """
    files = key_files(folder, entry)
    for service in services:
        if service.user is None or service.user == "root":
            continue
        account = account_of(service)
        if os.geteuid() != 0 and account.pw_uid != os.geteuid():
            continue  # only root can try what another may
        accepted = [path for path in files if not service.strict_key or is_strict(path, account.pw_uid)]
        if not accepted:
            wants = "the user's own with no rights for others, or root's with mode 0640 at most"
            raise unreadable(service, f"it takes a key only when it is {wants}; here it is {described(files)}")
        if not can_read(account, accepted):
            raise unreadable(service, f"its user '{service.user}' cannot read the private key: {described(files)}")


def account_of(service: Service) -> pwd.struct_passwd:
    """A service's user; one who is a number needs no entry, as in containers.

    :raises StepError: key_unreadable: there is none.
    """
    user = str(service.user)
    try:
        if not user.isdecimal():
            return pwd.getpwnam(user)
        number = int(user)
        try:
            return pwd.getpwuid(number)
        except KeyError:
            return pwd.struct_passwd((user, "x", number, number, "", "/", ""))
    except (KeyError, OverflowError):
        raise unreadable(service, f"there is no user '{user}' on the host") from None


def unreadable(service: Service, why: str) -> StepError:
    """The error of :func:`check_readers`."""
    return StepError(
        "key_unreadable",
        f"service '{service.name}': {why}",
        "leave out owner, group and mode, so that they suit the service, or give the certificate an output that its user can read",
    )


def key_files(folder: str, entry: Mapping[str, Any]) -> list[str]:
    """The files that hold the key, where they are before the swap."""
    files = [os.path.join(folder, PRIVKEY)]
    for output in entry["outputs"]:
        if output["format"] in FORMATS_WITH_KEY:
            path = output["path"] if output["method"] == "copy" else os.path.join(folder, output_file(output["path"]))
            files += [each for each in (beside(path, "new"), path) if os.path.isfile(each)][:1]
    return files


def is_strict(path: str, uid: int) -> bool:
    """PostgreSQL's rule (``check_ssl_key_file_permissions``)."""
    found = os.stat(path)
    bits = stat.S_IMODE(found.st_mode)
    return (found.st_uid == uid and not bits & 0o077) or (found.st_uid == 0 and not bits & 0o037)


def can_read(account: pwd.struct_passwd, files: Sequence[str]) -> bool:
    """Try as that user: owner, groups, directories and access lists count, whatever they are.

    In a child that becomes the user and runs no program: a program of the user's would have our environment to show.
    """
    if os.geteuid() != 0:
        return any(map(opens, files))
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    child = os.fork()
    if child == 0:
        status = NOT_TRIED
        try:
            os.setgroups(groups)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            status = READABLE if any(map(opens, files)) else UNREADABLE
        finally:
            # Nothing of what this process has begun is ended in the child.
            os._exit(status)
    try:
        _child, ended = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    # Root of a container may not be allowed to become others; that says nothing of the key.
    return os.WIFEXITED(ended) and os.WEXITSTATUS(ended) in (READABLE, NOT_TRIED)


def opens(path: str) -> bool:
    """Whether this process can read a file; a pipe in its place is not waited for."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def described(files: Iterable[str]) -> str:
    """Owner, group and mode of files, for people."""
    said = []
    for path in files:
        found = os.stat(path)
        owner, group = user_name(found.st_uid), group_name(found.st_gid)
        said.append(f"{os.path.basename(path)} is {owner}:{group} {stat.S_IMODE(found.st_mode):04o}")
    return ", ".join(said)


def refuse_unreloadable(services: Iterable[Service]) -> None:
    """A service that nobody can let take what is about to change.

    :raises StepError: cannot_reload.
    """
    for service in services:
        if service.unreloadable:
            raise StepError(
                "cannot_reload",
                f"service '{service.name}': {service.unreloadable}",
                "write reload as a command, reload: restart where a restart will do, or reload: none where it rereads its files by"
                " itself; nothing was changed",
            )


def refuse_taken_ports(service: Service, targets: Iterable[ProofTarget]) -> None:
    """A port where the service has to serve, and where somebody else does: it would not get it, and may end over that.

    :param targets: of this service; those that already present what they are to are nobody's business.
    :raises StepError: port_taken.
    """
    wanted = [each for each in targets if each.required and each.explicit and each.before != each.expected]
    places = [Place(address, each.port) for each in wanted for address in local_addresses(each.host)]
    refuse_taken(service, places, "correct the endpoint")


def refuse_taken(service: Service, places: Sequence[Place], way_out: str) -> None:
    """A place that the service wants, and that somebody else has; where nobody knows its processes, nobody can tell.

    :param way_out: what else can be done than to stop that process, for people.
    :raises StepError: port_taken.
    """
    found = intruder(places, service.programs, anywhere=service.anywhere) if places and service.programs else None
    if found:
        port, pid, name = found
        raise StepError(
            "port_taken",
            f"service '{service.name}': port {port} is held by '{name}' (process {pid})",
            f"stop that process, or {way_out}. Nothing was changed",
        )


def checked_though_stopped(services: Iterable[Service]) -> list[Service]:
    """The services as they are to take a change. One that does not run is made to check its configuration all the same, where that is in
    order now: it would not come up without its key."""
    return [
        each if is_running(each) or not is_valid(each) else replace(each, check=None, reload=None, control=None)
        for each in services
    ]


def is_valid(service: Service) -> bool:
    """Whether a service finds its configuration in order."""
    try:
        validate(service)
    except StepError:
        return False
    return True
