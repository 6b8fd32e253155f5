# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host images: a Debian with systemd, sshd and the servers the collection cares for, made from the machine's own package sources; no registry is asked."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fleet.podman import PodmanError, podman

RELEASES = ("bullseye", "bookworm", "trixie")  # Debian 11, 12, 13
REPOSITORY = "localhost/fleet-tls"
LABEL = "fleet-tls.image"
# Names releases, separated by commas, to do without. A test run sets it to what could not be had at its start: no suite tries again.
LEFT_OUT = "FLEET_TLS_RELEASES_LEFT_OUT"

INCLUDE = (
    # the host itself
    "systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "procps",
    # what the collection may expect of a managed host, and the server that every test may count on
    "python3", "openssl", "ca-certificates", "nginx-light",
    # what nginx reads clients' certificates with
    "libnginx-mod-http-lua",
    # for tests of a wrong clock
    "faketime",
)  # fmt: skip

# The other servers the collection cares for, as far as each release has them.
SERVERS = {
    "bullseye": ("apache2", "haproxy"),
    "bookworm": (
        "apache2", "haproxy", "postgresql", "redis-server", "postfix", "dovecot-imapd", "dovecot-pop3d", "lighttpd",
        "lighttpd-mod-openssl", "caddy",
    ),
    "trixie": (
        "apache2", "haproxy", "postgresql", "redis-server", "postfix", "dovecot-imapd", "dovecot-pop3d", "lighttpd",
        "lighttpd-mod-openssl", "caddy",
    ),
}  # fmt: skip
# Their units: Debian starts what it installs at the next boot, where several would want port 80; here a test starts what it needs.
UNITS = (
    "nginx", "apache2", "haproxy", "postgresql", "redis-server", "postfix", "dovecot", "lighttpd", "caddy",
)  # fmt: skip

# Both keys come from a folder that the fleet mounts, so that an image holds no key and ssh knows each host from the start.
SSHD = """HostKey /etc/fleet-ssh/host_ed25519
AuthorizedKeysFile /etc/fleet-ssh/authorized_keys
PasswordAuthentication no
UsePAM no
UseDNS no
"""

FILES = {
    "/etc/ssh/sshd_config.d/fleet.conf": SSHD,
    "/etc/sudoers.d/ops": "ops ALL=(ALL) NOPASSWD: ALL\n",
    # Debian starts what it installs at the next boot; here a role has to do it.
    "/etc/systemd/system-preset/00-fleet.preset": "".join("disable {0}.service\n".format(unit) for unit in UNITS),
}

# Debian 11's security archive has newer nginx packages than mirrors have modules for; all of one version come from the release.
PREFERENCES = {
    "bullseye": r"Package: nginx* libnginx*\nPin: release n=bullseye\nPin-Priority: 1001\n",
}

CUSTOMIZE = (
    'chroot "$1" useradd --create-home --shell /bin/bash ops',
    # sshd without PAM refuses an account whose password is locked with "!".
    'chroot "$1" usermod --password "*" ops',
    'chroot "$1" chmod 0440 /etc/sudoers.d/ops',
    'chroot "$1" systemctl disable $(for unit in {0}; do test -e "$1/lib/systemd/system/$unit.service" && echo $unit; done)'.format(
        " ".join(UNITS)
    ),
    'chroot "$1" systemctl mask getty.target console-getty.service systemd-logind.service systemd-udevd.service'
    " systemd-resolved.service systemd-timesyncd.service systemd-networkd.service apt-daily.timer apt-daily-upgrade.timer"
    " e2scrub_all.timer fstrim.timer dpkg-db-backup.timer",
    'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id && : > "$1"/etc/machine-id',
)


class ImageError(Exception):
    """The image of a release could not be built; the text names the release and the last words of the build."""


# Of an image with servers of its own: nothing that they brought begins with the host.
NOTHING_ENABLED = (
    'find "$1"/etc/systemd/system -path "*.wants/*" ! -name "ssh*" ! -name "remote-fs*" ! -name "dbus*" -delete',
    # Written while the packages were set up, where nobody resolves names.
    'rm -rf "$1"/var/lib/rabbitmq/mnesia',
)
# Where the folder of a layout is while its script runs.
LAYOUT = "/usr/src/stand-in"
LAID_OUT = ('chroot "$1" sh {0}/set-up.sh >&2'.format(LAYOUT),)


def tag(release: str, servers: Sequence[str] = (), layout: Path | None = None) -> str:
    """The image's name; it changes with the recipe, so an image made by an older recipe is never taken."""
    preferences = [PREFERENCES[release]] if release in PREFERENCES else []
    recipe = [_packages(release, servers), FILES, _customize(servers, layout), *preferences, release]
    known = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for path in sorted(each for each in layout.rglob("*") if each.is_file()) if layout else ():
        known.update(json.dumps([str(path.relative_to(layout)), path.stat().st_mode & 0o100]).encode())
        known.update(path.read_bytes())
    return "{0}/{1}:{2}".format(REPOSITORY, release, known.hexdigest()[:12])


def ensure(release: str, servers: Sequence[str] = (), layout: Path | None = None) -> str:
    """The tag of a release's image, built first where it is not there yet.

    :param servers: packages in place of :data:`SERVERS`; they make an image of their own.
    :param layout: a folder whose ``set-up.sh`` is run in the image, as its last step.
    """
    if release not in RELEASES:
        raise ImageError("unknown release {0}; known: {1}".format(release, ", ".join(RELEASES)))
    if release in os.environ.get(LEFT_OUT, "").split(","):
        raise ImageError("no image of {0}: left out of this run".format(release))
    name = tag(release, servers, layout)
    if not _exists(name):
        with _lock(release):
            if not _exists(name):
                print("building {0}".format(name), file=sys.stderr, flush=True)
                _build(release, name, servers, layout)
                _remove_stale(_variant(release, servers, layout), name)
    return name


def ensure_all(releases: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """release -> tag for those that can be had, and release -> why not for the others."""
    built: dict[str, str] = {}
    left_out: dict[str, str] = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for release, future in {each: pool.submit(ensure, each) for each in sorted(set(releases))}.items():
            try:
                built[release] = future.result()
            except (ImageError, PodmanError) as error:
                left_out[release] = str(error)
    return built, left_out


def instead(release: str, built: Mapping[str, str]) -> str:
    """The release that a host gets: the one that it should have where there is an image, else the nearest newer one, else any."""
    newer = RELEASES[RELEASES.index(release) :]
    return next(each for each in (*newer, *RELEASES) if each in built)


def _exists(name: str) -> bool:
    return bool(podman("images", "--quiet", "--filter", "reference=" + name).strip())


def _variant(release: str, servers: Sequence[str], layout: Path | None) -> str:
    """The label that images of one purpose share."""
    return "+".join([release, *servers, *([layout.name] if layout else [])])


def _packages(release: str, servers: Sequence[str]) -> list[str]:
    return [*INCLUDE, *(servers or SERVERS[release])]


def _customize(servers: Sequence[str], layout: Path | None) -> list[str]:
    return [*CUSTOMIZE, *(NOTHING_ENABLED if servers else ()), *(LAID_OUT if layout else ())]


def _build(release: str, name: str, servers: Sequence[str], layout: Path | None) -> None:
    # /var/tmp: an archive is 250 MB, and /tmp may be memory.
    with tempfile.TemporaryDirectory(prefix="fleet-tls-image-", dir="/var/tmp") as folder:
        hooks = ["--customize-hook=" + line for line in _customize(servers, layout)]
        if layout:
            hooks.insert(0, '--customize-hook=cp -r --no-preserve=ownership {0} "$1"{1}'.format(layout, LAYOUT))
        if release in PREFERENCES:
            write = """printf '{0}' > "$1"/etc/apt/preferences.d/fleet""".format(PREFERENCES[release])
            hooks.append('--essential-hook=mkdir -p "$1"/etc/apt/preferences.d && ' + write)
        for number, (path, text) in enumerate(FILES.items()):
            source = Path(folder) / str(number)
            source.write_text(text, encoding="ascii")
            hooks.insert(0, '--customize-hook=mkdir -p "$1{0}"'.format(Path(path).parent))
            hooks.insert(1, "--customize-hook=upload {0} {1}".format(source, path))
        archive = Path(folder) / "image.tar"
        packages = ",".join(_packages(release, servers))
        command = ["mmdebstrap", "--variant=minbase", "--include=" + packages, *hooks, release, str(archive)]
        last = ""
        for sources in _sources(release):
            done = subprocess.run([*command, *sources], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            last = done.stderr.strip()
        else:
            words = [line for line in last.splitlines() if line.startswith(("E:", "W:", "Err:"))] or last.splitlines()
            raise ImageError("no image of {0}: {1}".format(release, " ".join(words[-4:])))
        label = "LABEL {0}={1}".format(LABEL, _variant(release, servers, layout))
        podman("import", "--quiet", "--change", label, str(archive), name)


def _sources(release: str) -> Iterator[list[str]]:
    """What to tell mmdebstrap of mirrors: on a Debian those that apt uses here, else (or when they fail) its own default."""
    ask = ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"]
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in subprocess.run(ask, capture_output=True, text=True, check=False).stdout.splitlines():
            label, unused, uri = line.partition("|")
            found.setdefault(label, uri)
    if "Debian" in found and "Debian-Security" in found:
        main, security = found["Debian"], found["Debian-Security"]
        suites = ((main, release), (main, release + "-updates"), (security, release + "-security"))
        yield ["deb {0} {1} main".format(uri, suite) for uri, suite in suites]
    yield []


def _remove_stale(variant: str, current: str) -> None:
    """Our own images of older recipes, a day old and not in use; other checkouts may be at a younger one."""
    listing = podman(
        "images",
        "--filter",
        "label={0}={1}".format(LABEL, variant),
        "--filter",
        "until=24h",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    )
    for name in listing.split():
        if name != current and name.startswith(REPOSITORY + "/"):
            with contextlib.suppress(PodmanError):  # in use
                podman("rmi", name)


@contextlib.contextmanager
def _lock(release: str) -> Iterator[None]:
    """Two checkouts that want the same image build it once."""
    with open("/run/lock/fleet-tls-image-{0}.lock".format(release), "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
