# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports as files on the controller: which there are to be, whether they say anything new, and writing them whole or not at all.

Every run makes every file anew, so that a reader sees when the fleet was last looked at. A file has changed when it has more to say than
another moment, and the days and ages that are counted from it.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fleet.tls.plugins.module_utils.errors import StepError
from ansible_collections.fleet.tls.plugins.module_utils.files.places import make_directory
from ansible_collections.fleet.tls.plugins.module_utils.files.transaction import metadata_drift, replace_file
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.fields import parse_directory, parse_mode, parse_path
from ansible_collections.fleet.tls.plugins.plugin_utils.report.formats import FORMATS, as_before, format_named

# node_exporter is another user, and what it reads is shown to everybody who may ask Prometheus.
PROMETHEUS_MODE = "0644"


class ReportError(TlsError):
    """A report cannot be written."""

    code = "report"


@dataclass(frozen=True)
class Place:
    """Where a form is to be written; is_ours: its directory is made where it is missing."""

    form: str
    path: str
    mode: str
    is_ours: bool


@dataclass(frozen=True)
class Report:
    """One file as it is, and as it is to be.

    before: None where there is none. new: what it has to be for the moment of ``before``.
    """

    place: Place
    before: str | None
    new: str
    text: str
    drift: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether it has anything new to say, or another mode."""
        return self.before != self.new or bool(self.drift)

    def diff(self) -> dict[str, str]:
        """The difference without that of the moments."""
        headers = {"before_header": self.place.path, "after_header": self.place.path}
        if self.before == self.new:
            return {
                **headers,
                "before": "".join(f"{each}\n" for each in self.drift),
                "after": f"mode {self.place.mode}\n",
            }
        return {**headers, "before": self.before or "", "after": self.new}


def places(directory: Any, formats: Iterable[Any], files: Mapping[str, Any], mode: Any) -> list[Place]:
    """Where everything goes, checked.

    :param files: form → path, for those that do not go into ``directory``; a form that is named here need not be in ``formats``.
    :raises SpecError: an unknown form, a path that is not absolute, two forms in one file, a mode that is none.
    """
    folder, bits = parse_directory(directory, "directory"), parse_mode(mode, secret=False)
    found = []
    for name in dict.fromkeys([*map(str, formats), *map(str, files)]):
        form = format_named(name)
        path = parse_path(files[name], f"files: {name}") if name in files else os.path.join(folder, form.file_name)
        found.append(Place(name, path, PROMETHEUS_MODE if name == "prometheus" else bits, name not in files))
    for path in {each.path for each in found}:
        sharing = [each.form for each in found if each.path == path]
        if len(sharing) > 1:
            raise SpecError(
                f"files: {' and '.join(sharing)} would be one file, {path}", remedy="give each its own path"
            )
    return found


def compare(place: Place, document: Mapping[str, Any]) -> Report:
    """What is there beside what is to be there.

    :raises ReportError: it cannot be read, or is no file.
    """
    text = FORMATS[place.form].render(document)
    try:
        if not os.path.exists(place.path):
            return Report(place, None, text, text, ())
        with open(place.path, encoding="utf-8", errors="replace", newline="") as stream:
            before = stream.read()
        drift = tuple(metadata_drift(os.path.realpath(place.path), None, None, place.mode))
    except OSError as error:
        raise cannot("read", place.path, error) from None
    return Report(place, before, as_before(document, place.form, before), text, drift)


def write(report: Report) -> None:
    """Put the file in its place by rename(2), its mode set before it has content.

    :raises ReportError: it cannot be written.
    """
    path = report.place.path
    folder = os.path.dirname(path)
    if not report.place.is_ours and not os.path.isdir(folder):
        raise ReportError(f"there is no directory {folder}", remedy="make it first, or name another path")
    try:
        make_directory(folder, 0o755)
        # A link stays one: what it points at is replaced.
        replace_file(os.path.realpath(path), report.text.encode(), mode=report.place.mode)
    except OSError as error:
        raise cannot("written", path, error) from None
    except StepError as error:
        raise ReportError(error.message, remedy=error.remedy) from None


def cannot(what: str, path: str, error: OSError) -> ReportError:
    """The error of a file."""
    return ReportError(
        f"{path} cannot be {what}: {error.strerror}",
        remedy="the user who runs ansible-playbook needs the right to replace it; tls_report_directory names another place",
    )
