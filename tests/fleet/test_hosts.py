# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machinery itself: what the other tests of this folder take for granted."""

from __future__ import annotations

import ssl
import time

import pytest

from fleet import images
from fleet.fleet import DEFAULT, Fleet
from fleet.podman import podman
from tools.playbook import run_playbook

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Who
      ansible.builtin.command: id -un
      changed_when: false
    - name: Write
      ansible.builtin.copy: {dest: /root/test_hosts, content: "{{ word }}", mode: "0600"}
"""


def test_a_playbook_reports_what_it_did(fleet: Fleet, tmp_path) -> None:
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    first = run_playbook(tmp_path / "play.yml", fleet.inventory, {"word": "one"}).check()
    second = run_playbook(tmp_path / "play.yml", fleet.inventory, {"word": "one"}).check()

    assert sorted(first.stats) == sorted(host.name for host in fleet.hosts)
    assert [each["stdout"] for each in first.results(task="Who")] == ["root"] * len(fleet.hosts)
    assert (first.changed, second.changed) == (len(fleet.hosts), 0)
    assert fleet.exec("deb12u", ["cat", "/root/test_hosts"]).stdout == "one"


def test_a_missing_inventory_is_no_success(tmp_path) -> None:
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    assert run_playbook(tmp_path / "play.yml", tmp_path / "none.yml", {"word": "one"}).rc != 0


# release -> its Python, and its OpenSSL
VERSIONS = {
    "bullseye": ("Python 3.9.", "OpenSSL 1.1.1"),
    "bookworm": ("Python 3.11.", "OpenSSL 3.0."),
    "trixie": ("Python 3.13.", "OpenSSL 3.5."),
}


def test_hosts_are_what_the_other_tests_count_on(fleet: Fleet) -> None:
    """Three generations of Python and OpenSSL; booted; in the image nothing is enabled that a role has to enable.

    The image is asked, because other tests may have used the hosts before.
    """
    for host in fleet.hosts:
        ask = "python3 --version; openssl version; systemctl is-system-running --wait"
        shown = fleet.exec(host.name, ["sh", "-c", ask], check=False).stdout.splitlines()
        wanted = [*VERSIONS[host.release], "running"]
        assert [each[: len(word)] for each, word in zip(shown, wanted)] == wanted, (host, shown)
        ask = "systemctl is-enabled nginx || true"
        image = images.tag(host.release, host.servers)
        assert podman("run", "--rm", "--network=none", image, "sh", "-c", ask).strip() == "disabled", host


@pytest.mark.parametrize("name", [host.name for host in DEFAULT])
def test_the_controller_reaches_any_port(fleet: Fleet, name: str) -> None:
    """A handshake from here with a server there, which is how certificates are proven."""
    request = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout /run/k.pem -out /run/c.pem -subj /CN={0} -days 2".format(
            name
        )
    )
    fleet.exec(name, request.split())
    fleet.exec(name, "systemd-run openssl s_server -accept 9443 -cert /run/c.pem -key /run/k.pem -www".split())
    end = time.monotonic() + 60
    while True:
        try:
            served = ssl.get_server_certificate((fleet.addresses[name], 9443))
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
    assert served.split() == fleet.exec(name, ["cat", "/run/c.pem"]).stdout.split()
