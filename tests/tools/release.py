# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev release: one commit and one tag for a version, and the artifact that the tag gives. Standard library only.

The version is in galaxy.yml and nowhere else. Nothing is pushed or uploaded.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import artifact, paths  # noqa: E402
from tools.running import program, tool_environment  # noqa: E402

# https://semver.org, as Galaxy wants it; a part of a version has no leading zero.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?")
LINE = re.compile(r"^version: (.+)$", re.MULTILINE)
# The markup of ansible-doc, which a changelog in reStructuredText shows as it is.
MARKUP = re.compile(r"\b[BCEILMOPRUV]\([^)\n]*\)")


class Refused(Exception):
    """Why there is no release; nothing was changed."""


def main(words: Sequence[str]) -> int:
    """2 and a sentence, where it cannot be done."""
    parser = argparse.ArgumentParser(prog="./dev release", description=__doc__.splitlines()[0])
    parser.add_argument("version", help="such as 1.0.0; with --build, of a release that was made before")
    parser.add_argument("--build", action="store_true", help="only build the artifact of that release again")
    parser.add_argument("--root", type=Path, default=paths.ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    try:
        if not options.build:
            release(options.root, options.version)
        path, digest = build(options.root, options.version)
    except Refused as error:
        print(f"dev: {error}", file=sys.stderr)
        return 2
    print(f"{path}\nsha256 {digest}")
    return 0


def release(root: Path, version: str) -> None:
    """The commit and the tag."""
    description = root / "galaxy.yml"
    check(root, version, present(description.read_text(encoding="utf-8")))
    description.write_text(LINE.sub(f"version: {version}", description.read_text(encoding="utf-8")), encoding="utf-8")
    # Plugins are listed as new in the changelog; antsibull-changelog wants the tree where Ansible finds it.
    with tempfile.TemporaryDirectory(prefix="fleet-tls-release-") as folder:
        place = Path(folder) / "ansible_collections" / "fleet"
        place.mkdir(parents=True)
        (place / "tls").symlink_to(root)
        env = {**tool_environment(), "ANSIBLE_COLLECTIONS_PATH": folder}
        command = [program("antsibull-changelog"), "release", "--version", version]
        subprocess.run(command, cwd=place / "tls", env=env, check=True)
    written = (root / "CHANGELOG.rst").read_text(encoding="utf-8")
    if MARKUP.search(written):
        raise Refused(
            f"the changelog shows markup: {MARKUP.findall(written)[:3]}. Mend the fragments; git restore takes back what was done"
        )
    git(root, "add", "--all", "CHANGELOG.rst", "changelogs", "galaxy.yml")
    git(root, "commit", "--quiet", "--message", f"Release {version}")
    git(root, "tag", "--annotate", "--message", f"fleet.tls {version}", f"v{version}")


def check(root: Path, version: str, before: str) -> None:
    """Refuse what would be no release."""
    if not VERSION.fullmatch(version):
        raise Refused(f"{version} is not a version such as 1.0.0")
    if number(version) < number(before):
        raise Refused(f"{version} comes before {before}, the version in galaxy.yml")
    if git(root, "tag", "--list", f"v{version}"):
        raise Refused(f"the tag v{version} exists: {version} was released")
    if git(root, "status", "--porcelain"):
        raise Refused("there are changes that are not committed")
    if not list((root / "changelogs" / "fragments").glob("*.yml")):
        raise Refused("changelogs/fragments is empty: nothing has changed since the last release")


def build(root: Path, version: str) -> tuple[Path, str]:
    """The artifact of the tag, below .dev/release, and its SHA-256."""
    tag = f"v{version}"
    if not git(root, "tag", "--list", tag):
        raise Refused(f"there is no tag {tag}")
    target = root / ".dev" / "release"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fleet-tls-release-") as folder:
        tree = Path(folder) / "tree"
        git(
            root,
            "clone",
            "--quiet",
            "--local",
            "--branch",
            tag,
            "--config",
            "advice.detachedHead=false",
            str(root),
            str(tree),
        )
        command = [program("ansible-galaxy"), "collection", "build", "--force", "--output-path", str(target)]
        subprocess.run(command, cwd=tree, env=tool_environment(), check=True, stdout=subprocess.DEVNULL)
    path = target / f"fleet-tls-{version}.tar.gz"
    return path, artifact.normalize(path, int(git(root, "log", "-1", "--format=%ct", tag)))


def present(description: str) -> str:
    """The version that galaxy.yml has."""
    found = LINE.search(description)
    if not found:
        raise Refused("galaxy.yml has no line that begins with 'version:'")
    return found[1]


def number(version: str) -> tuple[int, ...]:
    """Its three numbers."""
    return tuple(int(part) for part in version.partition("-")[0].split("."))


def git(root: Path, *arguments: str) -> str:
    """What git says."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Refused(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
