# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role schedule writes, run with the real ansible-playbook: the script of its cron job, and the command line of its unit."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.hosts import PASSPHRASE, Hosts, ledger, serving
from tools import paths
from tools.playbook import ansible_environment, run_playbook

TEMPLATES = paths.ROOT / "roles/schedule/templates"
JOB = {"name": "deploy", "interval": "12h", "hour": 3}
# What systemd.service(5) says of words, beside quotes and backslashes.
UNQUOTED = ((r"%%", "%"), (r"$$", "$"))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    one = Hosts(tmp_path_factory.mktemp("controller") / "50%here", {"web1": ["www"]})
    one.issue()
    return one


def rendered(hosts: Hosts, inventory: Path, template: str, **more: Any) -> Path:
    """A template as the role writes it."""
    target = hosts.folder / template.removesuffix(".j2")
    variables = {
        "tls_schedule_program": str(paths.venv("main") / "bin" / "ansible-playbook"),
        "tls_schedule_inventory": str(inventory),
        "tls_schedule_vault_password_file": str(hosts.folder / "vault.txt"),
        "tls_schedule_arguments": ["--limit=web*", "--extra-vars", '{"unused": "50% of $HOME"}'],
        "tls_schedule_user": "tlsops",
        "schedule_job": JOB,
        **more,
    }
    task = {"ansible.builtin.template": {"src": str(TEMPLATES / template), "dest": str(target), "mode": "0700"}}
    files = [str(paths.ROOT / "roles/schedule" / each / "main.yml") for each in ("defaults", "vars")]
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": [task]}
    playbook = hosts.folder / "render.yml"
    playbook.write_text(json.dumps([play]))
    run_playbook(playbook, "localhost,", variables, args=["--connection=local"]).check()
    return target


def prepared(hosts: Hosts) -> Path:
    """An inventory that needs the vault password."""
    password = hosts.folder / "vault.txt"
    password.write_text("the vault's password\n")
    password.chmod(0o600)
    vault = [
        str(paths.venv("main") / "bin" / "ansible-vault"),
        "encrypt_string",
        "--vault-password-file",
        str(password),
    ]
    done = subprocess.run(
        [*vault, "--stdin-name", "vault_tls_passphrase"],
        input=PASSPHRASE,
        env=ansible_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    variables = hosts.folder / "group_vars"
    variables.mkdir(exist_ok=True)
    (variables / "all.yml").write_text(done.stdout)
    store = hosts.store_options(path="{{ inventory_dir }}/store", passphrase="{{ vault_tls_passphrase }}")
    return hosts.inventory(tls_store=store, tls_trust_system=False)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """As cron or systemd would; what it said is in stdout."""
    return subprocess.run(
        command,
        env=ansible_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_script_of_cron_deploys_in_silence_and_says_what_failed(hosts: Hosts) -> None:
    forced = ["--limit=web*", "--extra-vars", '{"tls_force": true, "unused": "50% of $HOME"}']
    script = rendered(hosts, prepared(hosts), "job.sh.j2", tls_schedule_arguments=forced)
    site = hosts["web1"]
    with serving(site):
        before = site.on_disk()
        done = run([str(script)])
        assert (done.returncode, done.stdout) == (0, "")
        assert site.served(hosts.root) == site.on_disk() != before
    assert len(ledger(hosts.store)) == 2
    failing = rendered(hosts, prepared(hosts), "job.sh.j2", tls_schedule_arguments=["--limit=nobody"])
    failed = run([str(failing)])
    assert failed.returncode != 0 and "nobody" in failed.stdout
    assert PASSPHRASE not in failed.stdout


def words_of(unit: str) -> list[str]:
    """The arguments of a unit's command."""
    (line,) = [each for each in unit.splitlines() if each.startswith("ExecStart=")]
    return [unquoted(word) for word in shlex.split(line.removeprefix("ExecStart="))]


def test_the_command_line_of_the_unit_is_the_same(hosts: Hosts) -> None:
    inventory = prepared(hosts)
    unit = rendered(hosts, inventory, "job.service.j2").read_text()
    words = words_of(unit)
    assert words[1:3] == ["-i", str(inventory)] and words[-1] == "fleet.tls.deploy"
    only_due = rendered(hosts, inventory, "job.service.j2", tls_schedule_only_due=True).read_text()
    assert words_of(only_due) == [*words[:-1], "fleet.tls.deploy_due"]
    with serving(hosts["web1"]):
        done = run(words)
    assert done.returncode == 0, done.stdout
    assert "changed=0" in done.stdout


def unquoted(word: str) -> str:
    """What systemd makes of a word whose quotes and backslashes are gone."""
    for escaped, plain in UNQUOTED:
        word = word.replace(escaped, plain)
    return word
