# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of docs/issuers/acme.md, word for word but for addresses, secrets and names, has a certificate issued by real servers."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import josepy
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from cryptography.hazmat.primitives.asymmetric import ec

from acme_servers import acme2certifier, acme_dns, bind, pebble, powerdns, proxy
from acme_servers.bind import Bind
from acme_servers.kerberos import Kerberos
from acme_servers.pebble import Pebble
from acme_servers.proxy import Proxy
from acme_servers.servers import Pair
from acme_servers.world import Responder, World, now, obtained, refused
from ansible_collections.fleet.tls.plugins.sub_plugins.issuer.acme import AcmeIssuer
from local import nginx
from tools import paths

PAGE = (paths.ROOT / "docs/issuers/acme.md").read_text(encoding="utf-8")
FAR_ZONES = ("dyn.example.net", "auth.example.net")
WWW = "www.example.com"
HOOK = """\
#!{python}
import sys, dns.update, dns.query, dns.tsigkeyring
option, zone, verb, domain, name, value = sys.argv[1:]
update = dns.update.UpdateMessage(zone, keyring=dns.tsigkeyring.from_text({{"update.": "{secret}"}}))
update.add(name + ".", 60, "TXT", value) if verb == "present" else update.delete(name + ".")
assert dns.query.tcp(update, "127.0.0.1", port={port}, timeout=10).rcode() == 0
"""


def blocks(language: str) -> dict[str, str]:
    """The fenced blocks of a language, by their heading; a second one of a heading is called "heading 2"."""
    found: dict[str, str] = {}
    for part in re.split(r"^#+ ", PAGE, flags=re.MULTILINE)[1:]:
        heading = part.partition("\n")[0]
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", part, re.DOTALL | re.MULTILINE), 1):
            found[heading if number == 1 else f"{heading} {number}"] = text
    return found


EXAMPLES = blocks("yaml")


def filled(name: str, names: dict[str, str], **secrets: str) -> dict[str, Any]:
    """An example as a user makes it his own.

    :param names: addresses and names of the documentation, each of which has to be there, and ours.
    :param secrets: what the user's vault has.
    """
    text = EXAMPLES[name]
    for theirs, ours in names.items():
        assert theirs in text, f"{theirs} is not in the example any more"
        text = text.replace(theirs, ours)
    templar = Templar(loader=DataLoader(), variables=secrets)
    found = yaml.safe_load(text)
    return json.loads(
        json.dumps(templated(found, templar))
    )  # plain text, without what Ansible knows of where it came from


def templated(value: Any, templar: Templar) -> Any:
    """As an inventory's values are when a module gets them."""
    if isinstance(value, dict):
        return {key: templated(each, templar) for key, each in value.items()}
    if isinstance(value, list):
        return [templated(each, templar) for each in value]
    return templar.template(trust_as_template(value)) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    with bind.running(tmp_path_factory.mktemp("far"), zones=FAR_ZONES) as running:
        yield running


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, far: Bind) -> Iterator[Bind]:
    """As the documentation has it, _acme-challenge.www.example.com may be an alias for www.dyn.example.net."""
    delegated = dict.fromkeys(FAR_ZONES, far.port)
    with bind.running(tmp_path_factory.mktemp("near"), forward=delegated) as running:
        yield running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory, pair: Pair, names: Bind) -> Iterator[Pebble]:
    with pebble.running(tmp_path_factory.mktemp("pebble"), pair, dns=f"127.0.0.1:{names.port}") as running:
        yield running


@dataclasses.dataclass
class Reader(World):
    """Who reads the page and does what it says; with BIND, which the CA asks."""

    names: Bind = None  # type: ignore[assignment]
    far: Bind = None  # type: ignore[assignment]

    @property
    def primary(self) -> dict[str, str]:
        """The page's server and key, and ours."""
        return {"ns1.example.com": f"127.0.0.1:{self.names.port}", "acme-update": "update"}

    def options(self, **changes: Any) -> dict[str, Any]:
        return super().options(**{"challenge": self.names.solver(), **changes})

    def issuer_of(self, example: dict[str, Any], *servers: int) -> AcmeIssuer:
        """The issuer of an example, with an account.

        :param servers: ports of our DNS servers, which are not where a resolver would look for them.
        """
        options = self.options(**example)
        if servers:
            options["challenge"] = {**options["challenge"], "authoritative": [f"127.0.0.1:{each}" for each in servers]}
        return self.prepared(options)

    def prepared(self, options: dict[str, Any]) -> AcmeIssuer:
        issuer = AcmeIssuer("public", {key: value for key, value in options.items() if key != "type"}, self.store())
        issuer.prepare(now())
        return issuer

    def with_resolver(self, example: dict[str, Any]) -> dict[str, Any]:
        """And our resolver, which a controller has in its system's settings."""
        return {"challenge": {**example["challenge"], "resolvers": [f"127.0.0.1:{self.names.port}"]}}


@pytest.fixture
def reader(tmp_path: Path, ca: Pebble, front: Proxy, names: Bind, far: Bind) -> Reader:
    return Reader(tmp_path, ca, front, Responder(), names=names, far=far)


def test_issuer_acme_and_http_01_by_hand(reader: Reader) -> None:
    """The first example, and the nginx that the page has for it."""
    example = filled("Issuer `acme`", {"https://acme-v02.api.letsencrypt.org/directory": reader.proxy.directory_url})[
        "tls_issuers"
    ]["public"]
    location = next(iter(blocks("nginx").values()))
    check = {"challenge": {**example["challenge"], "check_address": f"127.0.0.1:{reader.pebble.http_port}"}}
    tests = {key: reader.options()[key] for key in ("ca_certificate", "anchors")}
    issuer = reader.prepared({**example, **tests, **check})
    location = location.replace("THUMBPRINT", issuer.thumbprints()[0])
    server = f"server {{ listen 127.0.0.1:{reader.pebble.http_port};\n{location}\n}}"
    with nginx.running(reader.folder / "nginx", server, reader.pebble.http_port):
        obtained(issuer, reader.request(WWW, dns_names=[WWW]))


def test_accounts(reader: Reader) -> None:
    """certbot's key: the account is taken over."""
    key = ec.generate_private_key(ec.SECP256R1())
    url = reader.issuer("elsewhere").connect(key).register([], terms_agreed=True, external=None)
    path = reader.folder / "private_key.json"
    path.write_text(json.dumps(josepy.JWKEC(key=key).to_json()))
    (theirs,) = re.findall(r"/etc/letsencrypt/.*?/private_key\.json", EXAMPLES["Accounts"])
    issuer = reader.issuer_of(filled("Accounts", {theirs: str(path)}))
    account = issuer.accounts.kept()
    assert account is not None and account.url == url


def test_dns_rfc2136(reader: Reader) -> None:
    example = filled("dns_rfc2136", reader.primary, vault_tsig_secret=reader.names.secret)
    issuer = reader.issuer_of(example, reader.names.port, reader.names.second)
    obtained(issuer, reader.request(dns_names=["example.com", "*.example.com"]))


def test_dns_rfc2136_2(reader: Reader) -> None:
    """With the alias that the page speaks of: the record is written to the other server."""
    ours = {**reader.primary, "192.0.2.53": f"127.0.0.1:{reader.far.port}", "dyn-update": "update"}
    secrets = {"vault_tsig_secret": reader.names.secret, "vault_dyn_secret": reader.far.secret}
    example = reader.with_resolver(filled("dns_rfc2136 2", ours, **secrets))
    (zone,) = example["challenge"]["zones"]
    zone["authoritative"] = [f"127.0.0.1:{reader.far.port}"]
    reader.names.add(f"_acme-challenge.{WWW}.", "CNAME", "www.dyn.example.net.")
    issuer = reader.issuer_of(example, reader.names.port)
    assert issuer.solver.place_of(f"_acme-challenge.{WWW}").name == "www.dyn.example.net"  # type: ignore[attr-defined]
    obtained(issuer, reader.request(dns_names=[WWW]))


def test_kerberos(
    reader: Reader, realm: Kerberos, controller: Callable[[str | None], None], tmp_path: Path, pair: Pair
) -> None:
    controller("ansible")
    with (
        bind.running(tmp_path / "directory", kerberos=realm) as directory,
        pebble.running(tmp_path / "pebble", pair, dns=f"127.0.0.1:{directory.port}") as ca,
        proxy.running(pair, ca.port) as front,
    ):
        mine = dataclasses.replace(reader, pebble=ca, proxy=front)
        example = filled("Kerberos", {"dc1.ad.example.com": f"localhost:{directory.port}"})
        obtained(mine.issuer_of(example, directory.port), mine.request(dns_names=["*.ad.example.com"]))


def test_dns_lexicon(reader: Reader, tmp_path: Path, pair: Pair) -> None:
    with (
        powerdns.running(tmp_path / "pdns") as pdns,
        pebble.running(tmp_path / "pebble", pair, dns=f"127.0.0.1:{pdns.port}") as ca,
        proxy.running(pair, ca.port) as front,
    ):
        mine = dataclasses.replace(reader, pebble=ca, proxy=front)
        ours = {"https://pdns.example.com:8081": f"http://127.0.0.1:{pdns.api}"}
        example = filled("dns_lexicon", ours, vault_pdns_token=pdns.key)
        obtained(mine.issuer_of(example, pdns.port), mine.request(dns_names=["*.example.com"]))


def test_acme_dns(reader: Reader) -> None:
    """The first run stops with the record to add, the next one has the certificate."""
    with acme_dns.running(reader.far, "auth.example.net") as service:
        example = filled("acme_dns", {"https://auth.example.org": f"http://127.0.0.1:{service.port}"})
        issuer = reader.issuer_of(reader.with_resolver(example), reader.far.port)
        request = reader.request(dns_names=["app.example.com"])
        (cname,) = re.findall(r"_acme-challenge\S+ CNAME (\S+)", str(refused(issuer, request)))
        reader.names.add("_acme-challenge.app.example.com.", "CNAME", cname)
        obtained(issuer, request)


def test_dns_persist_01(reader: Reader, tmp_path: Path, pair: Pair) -> None:
    """By hand, and by the writer of the second example."""
    (tmp_path / "acme2certifier").mkdir()
    with (
        acme2certifier.running(tmp_path / "acme2certifier", dns_port=reader.names.port) as server,
        proxy.running(pair, server.port, path="/directory", upstream_tls=False) as front,
    ):
        mine = dataclasses.replace(reader, proxy=front)
        own = {"anchors": server.root, "external_account": server.external, "contact": ["tls@example.com"]}
        example = mine.with_resolver(filled("dns_persist_01", {}))
        issuer, request = mine.issuer_of({**own, **example}), mine.request(dns_names=["hand.example.com"])
        (record,) = re.findall(r'IN TXT ("[^"]+")', str(refused(issuer, request)))
        mine.names.add("_validation-persist.hand.example.com.", "TXT", record)
        obtained(issuer, request)
        example = mine.with_resolver(filled("dns_persist_01 2", mine.primary, vault_tsig_secret=mine.names.secret))
        servers = [f"127.0.0.1:{mine.names.port}"]
        example["challenge"]["writer"]["authoritative"] = servers
        obtained(mine.issuer_of({**own, **example}), mine.request(dns_names=["program.example.com"]))


def test_command(reader: Reader) -> None:
    hook = reader.folder / "hook"
    hook.write_text(HOOK.format(python=sys.executable, secret=reader.names.secret, port=reader.names.port))
    hook.chmod(0o700)
    example = filled("command", {"/usr/local/bin/dns-hook": str(hook)})
    obtained(reader.issuer_of(example), reader.request(dns_names=["hook.example.com"]))


RUN = {
    "Issuer `acme`": test_issuer_acme_and_http_01_by_hand,
    "Accounts": test_accounts,
    "dns_rfc2136": test_dns_rfc2136,
    "dns_rfc2136 2": test_dns_rfc2136_2,
    "Kerberos": test_kerberos,
    "dns_lexicon": test_dns_lexicon,
    "acme_dns": test_acme_dns,
    "dns_persist_01": test_dns_persist_01,
    "dns_persist_01 2": test_dns_persist_01,
    "command": test_command,
}


def test_every_example_is_run() -> None:
    """A new one needs a test above; and each way to validate names has a section."""
    assert set(EXAMPLES) == set(RUN) and list(blocks("nginx")) == ["http-01 without files"]
    solvers = {path.stem for path in (paths.ROOT / "plugins/sub_plugins/solver").glob("[a-z]*.py")} - {"http_01"}
    assert solvers <= set(EXAMPLES)
