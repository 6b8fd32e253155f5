# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy's upstreams in a configuration that is to come: the files for them, what they say to it, and the way through it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.batch import WantedFile
from ansible_collections.fleet.tls.plugins.module_utils.files.content import read, read_if_there
from ansible_collections.fleet.tls.plugins.module_utils.pair.copies import pair_copy
from ansible_collections.fleet.tls.plugins.module_utils.proof.served import BRIEFLY
from ansible_collections.fleet.tls.plugins.module_utils.proof.upstream import (
    Upstream,
    UpstreamReport,
    ask_directly,
    blocked,
    refused,
    unanswered,
)
from ansible_collections.fleet.tls.plugins.module_utils.services.trust_stores import STORES, find_trust_store


def resolved_files(files: Sequence[dict[str, Any]], directory: str, *, check: bool) -> list[dict[str, Any]]:
    """``files`` of step configure with what only the host knows: copies of its pairs, and its system's trust store.

    :param check: a pair that is not there yet is left out; else it is an error.
    :raises StepError: no_certificate, no_trust_store.
    """
    found = []
    for each in files:
        if each.get("pair"):
            content = pair_copy(directory, each["pair"], each["form"])
            if content is not None:
                above = (
                    read(system_bundle(), follow=True) if each.get("system_trust") else each.get("content", "").encode()
                )
                whole = (above + content).decode()
                found.append({**each, "content": whole, "secret": each["form"] != "chain"})
            elif not check:
                raise no_certificate(each["pair"], directory)
        elif each.get("system_trust"):
            # A copy: what the system trusts is the server's with a reload, and what it had is known when it changes.
            found.append({**each, "content": read(system_bundle(), follow=True).decode(errors="replace")})
        else:
            found.append(each)
    return found


def no_certificate(name: str, directory: str) -> StepError:
    """That a certificate is named and is not there."""
    return StepError(
        "no_certificate",
        f"the certificate '{name}' is not on this host ({directory})",
        "add it to tls_certificates and run fleet.tls.certificates first; nothing was changed",
    )


def system_bundle() -> str:
    """The file of what the host's system trusts.

    :raises StepError: no_trust_store.
    """
    store = find_trust_store(STORES)
    if store is None:
        raise StepError(
            "no_trust_store",
            "the host's trust store is of no kind that is known",
            "give upstream_trust CA certificates; nothing was changed",
        )
    return store.bundle


def left_over(owned: str | None, files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The files of a directory of ours that are wanted no more, as ``files`` of step configure: keys do not stay behind."""
    try:
        names = sorted(os.listdir(owned)) if owned else []
    except FileNotFoundError:
        names = []
    wanted = {each["path"] for each in files}
    paths = [os.path.join(str(owned), name) for name in names if not name.startswith(".")]
    return [{"path": path, "state": "absent", "secret": True} for path in paths if path not in wanted]


class Upstreams:
    """The upstreams of a request.

    :raises StepError: upstream_refused: one of them would refuse the proxy, or be refused by it. Nothing was changed.
    """

    def __init__(self, raw: Sequence[dict[str, Any]], wanted: Sequence[WantedFile]) -> None:
        contents = {each.path: each.content for each in wanted if each.content is not None}
        self.all = [upstream for each in raw for upstream in read_upstream(each, contents)]
        self.reports: list[UpstreamReport] = ask_directly(self.all)
        problem = refused(self.all, self.reports)
        if problem:
            raise problem
        self.notes = unanswered(self.all, self.reports)

    def blocked(self, timeout: float) -> StepError | None:
        """Whether one of them is not reached through the proxy after so many seconds, see :func:`upstream.blocked`."""
        return blocked(self.all, self.reports, timeout)

    def blocked_anew(self, timeout: float) -> StepError | None:
        """The same right after a reload: old workers that still answer would hide what the new ones do not reach."""
        if self.all:
            time.sleep(min(BRIEFLY, timeout))
        return self.blocked(timeout)


def read_upstream(raw: dict[str, Any], contents: Mapping[str, bytes]) -> list[Upstream]:
    """One of ``upstreams`` of step configure; none where a file for it is missing still (check mode).

    :param contents: of files that are to be written.
    """

    def content(path: str) -> bytes | None:
        return contents[path] if path in contents else read_if_there(path)

    anchors, crls = (content(raw[key]) if raw[key] else None for key in ("anchors", "crls"))
    client = [content(path) for path in raw["client"]]
    if (raw["anchors"] and anchors is None) or None in client:
        return []
    proxy = raw["proxy"]
    return [
        Upstream(
            **{key: raw[key] for key in ("site", "url", "host", "port", "name", "path", "host_header")},
            anchors=anchors,
            crls=crls,
            client=b"".join(part or b"" for part in client) or None,
            proxy=(proxy["host"], int(proxy["port"]), proxy["server_name"]),
        )
    ]
