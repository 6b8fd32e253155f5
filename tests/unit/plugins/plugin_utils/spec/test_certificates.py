# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleet.tls.plugins.plugin_utils.base.durations import RenewBefore
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import SpecError
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import Names
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.certificates import (
    CertificateSpec,
    KeySpec,
    parse_certificate,
    parse_host,
    refuse_own_directory,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.outputs import Output

LIFETIMES = {"internal": 90 * 86400, "public": None}
SECRET = "hunter2"
WWW: dict[str, Any] = {"name": "www", "issuer": "internal", "dns_names": ["www.example.com"]}


class Tagged(str):
    """A text as ansible-core hands it to plugins: a subclass of str."""


def test_defaults() -> None:
    assert parse_certificate(WWW, LIFETIMES) == CertificateSpec(
        name="www", issuers=("internal",), names=Names(dns_names=("www.example.com",))
    )


def test_everything_said() -> None:
    spec = parse_certificate(
        {
            **WWW,
            "issuer": ["public", "internal"],
            "usages": ["server_auth", "client_auth", "server_auth"],
            "private_key": {"algorithm": "rsa-3072", "rotation_policy": "never", "location": "controller"},
            "renew_before": "30d",
            "duration": "60d",
            "owner": "root",
            "group": "ssl-cert",
            "mode": "0640",
            "outputs": [
                {"path": "/etc/x/all.pem", "format": "combined", "method": "copy", "owner": "x", "mode": "0600"},
                {"path": "/etc/x/chain.pem", "format": "chain"},
            ],
            "services": ["nginx"],
        },
        LIFETIMES,
    )
    assert spec.issuers == ("public", "internal")
    assert spec.usages == ("client_auth", "server_auth")
    assert spec.private_key == KeySpec("rsa-3072", "never", "controller")
    assert (spec.renew_before, spec.duration) == (RenewBefore(seconds=30 * 86400), 60 * 86400)
    assert spec.outputs == (
        Output("/etc/x/all.pem", "combined", "copy", "x", "ssl-cert", "0600"),
        Output("/etc/x/chain.pem", "chain", "link", "root", "ssl-cert", "0644"),
    )
    assert [service.name for service in spec.services] == ["nginx"]


def test_the_texts_of_ansible_become_plain_ones() -> None:
    raw = {
        key: Tagged(value) if isinstance(value, str) else [Tagged(each) for each in value] for key, value in WWW.items()
    }
    spec = parse_certificate(
        {**raw, "private_key": {"algorithm": Tagged("ed25519")}, "owner": Tagged("root")}, LIFETIMES
    )
    texts = (spec.name, *spec.issuers, *spec.names.dns_names, spec.private_key.algorithm, spec.owner, *spec.usages)
    assert {type(text) for text in texts} == {str}


@pytest.mark.parametrize(
    ("fields", "words", "remedy"),
    [
        ({"issuer": "internl"}, "issuer: 'internl' is unknown", "did you mean 'internal'?"),
        ({"issuer": ["internal", "zzz"]}, "issuer: 'zzz' is unknown", "known: internal, public"),
        ({"issuer": None}, "has no issuer", "internal, public"),
        ({"issuer": []}, "has no issuer", "internal, public"),
        ({"services": ["ngnix"]}, "services: 'ngnix' is unknown", "did you mean 'nginx'?"),
        ({"services": "nginx"}, "services must be a list", "services"),
        ({"dns_names": []}, "has no names", "dns_names"),
        ({"dns_names": ["a..b"]}, "an empty label", "63"),
        ({"usages": ["server"]}, "usages: 'server' is unknown", "did you mean 'server_auth'?"),
        ({"renew_before": "90d"}, "renew_before (90d) is not shorter than the lifetime (90d)", "33%"),
        (
            {"renew_before": "30d", "duration": "30d"},
            "renew_before (30d) is not shorter than the lifetime (30d)",
            "33%",
        ),
        ({"renew_before": "120d", "issuer": ["public", "internal"]}, "renew_before (120d)", "33%"),
        ({"renew_before": "0%"}, "outside 1% to 99%", "33%"),
        ({"duration": "90"}, "duration: '90' is not a duration", "90d"),
        ({"mode": "0644"}, "lets more than its owner", "0600"),
        ({"private_key": {"algorithm": "rsa-1024"}}, "private_key.algorithm: 'rsa-1024' is unknown", "did you mean"),
        ({"private_key": {"size": 2048}}, "private_key: unknown option 'size'", "known"),
        ({"private_key": "ed25519"}, "private_key must be a mapping", "algorithm"),
        ({"private_key": {"rotation_policy": "sometimes"}}, "private_key.rotation_policy", "always"),
        ({"private_key": {"location": "moon"}}, "private_key.location", "host"),
        ({"outputs": [{"format": "cert"}]}, "outputs: path: '' is not an absolute path", "slash"),
        ({"outputs": [{"path": "x.pem"}]}, "outputs: path: 'x.pem' is not an absolute path", "slash"),
        ({"outputs": [{"path": "/x", "format": "pem"}]}, "outputs: format of /x: 'pem' is unknown", "known"),
        ({"outputs": [{"path": "/x", "method": "move"}]}, "outputs: method of /x: 'move' is unknown", "link"),
        (
            {"outputs": [{"path": "/x", "format": "combined", "mode": "0644"}]},
            "lets more than its owner",
            "0600",
        ),
        (
            {"outputs": [{"path": "/x", "passphrase": "geheim"}]},
            "/x has passphrase, which format: fullchain does not take",
            "encrypted, pkcs12, truststore, jks",
        ),
        ({"outputs": [{"path": "/x", "format": "combined", "anchors": True}]}, "/x has anchors, which", "does: pkcs12"),
        (
            {"outputs": [{"path": "/x", "format": "jks", "passphrase": SECRET, "anchors": True}]},
            "anchors, which",
            "pkcs12",
        ),
        (
            {"outputs": [{"path": "/x", "format": "privkey", "profile": "legacy"}]},
            "profile, which",
            "pkcs12, truststore",
        ),
        ({"outputs": [{"path": "/x", "format": "pkcs12", "profile": "old"}]}, "profile of /x: 'old' is", "legacy"),
        ({"outputs": [{"path": "/x", "format": "encrypted"}]}, "encrypted needs a passphrase", "Ansible Vault"),
        ({"outputs": [{"path": "/x", "format": "jks", "passphrase": ""}]}, "jks needs a passphrase", "Ansible Vault"),
        ({"outputs": [{"path": "/x", "format": "jks", "passphrase": "12345"}]}, "fewer than 6 characters", "rand"),
        ({"outputs": [{"path": "/x", "format": "jks", "passphrase": "größer als 6"}]}, "is not ASCII", "rand"),
        (
            {"outputs": [{"path": "/x", "format": "encrypted", "passphrase": SECRET, "mode": "0644"}]},
            "lets more",
            "0600",
        ),
        ({"outputs": [{"path": "/x", "format": "jks", "passphrase": SECRET, "mode": "0644"}]}, "lets more", "0600"),
        (
            {"outputs": [{"path": "/x", "format": "truststore", "profile": "legacy"}]},
            "profile, but no passphrase",
            "leave",
        ),
        ({"outputs": [{"path": "/x", "format": "truststore", "anchors": True}]}, "anchors, which", "does: pkcs12"),
        ({"outputs": [{"path": "/x", "format": "pkcs1"}]}, "only RSA keys can be, and", "rsa-3072"),
        (
            {"outputs": [{"path": "/x", "format": "pkcs1"}], "private_key": {"algorithm": "ed25519"}},
            "private_key.algorithm is ed25519",
            "privkey",
        ),
        ({"outputs": [{"path": "/x", "format": "pkcs12", "anchors": "some"}]}, "'some' is neither true", "true or"),
        ({"must_staple": "some"}, "must_staple: 'some' is neither true", "true or"),
        ({"outputs": [{"path": "/x", "format": "pkcs12", "passphrase": "a\nb"}]}, "not printable", "Ansible Vault"),
        ({"outputs": [{"path": "/x", "format": "pkcs12", "passphrase": "x" * 1024}]}, "longer than 1023", "rand"),
        ({"outputs": [{"path": "/x", "format": "pkcs12", "mode": "0604"}]}, "lets more than its owner", "0600"),
        ({"dns_name": ["x"]}, "unknown option 'dns_name'", "did you mean 'dns_names'?"),
        ({"key": {}}, "unknown option 'key'", "known"),
    ],
)
def test_refused_with_the_name_and_a_remedy(fields: dict[str, Any], words: str, remedy: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_host([{**WWW, **fields}], LIFETIMES)
    assert caught.value.certificate == "www"
    assert words in caught.value.message
    assert remedy in str(caught.value.remedy)
    assert str(caught.value).startswith("certificate 'www': ")


@pytest.mark.parametrize("name", [None, "", ".", "..", "a/b", "-a", "a b", "a" * 65, "ä", "a\n", ["a"], {}])
def test_names_that_no_directory_can_have(name: Any) -> None:
    with pytest.raises(SpecError, match="is not a valid certificate name") as caught:
        parse_host([{**WWW, "name": name}], LIFETIMES)
    assert caught.value.remedy


@pytest.mark.parametrize("raw", ["www", {"name": "www"}, None, 5])
def test_no_list(raw: Any) -> None:
    with pytest.raises(SpecError, match="certificates must be a list") as caught:
        parse_host(raw, LIFETIMES)
    assert caught.value.remedy


def test_an_entry_that_is_no_mapping_is_not_told() -> None:
    with pytest.raises(SpecError) as caught:
        parse_host(["-----BEGIN PRIVATE KEY-----"], LIFETIMES)
    assert "BEGIN" not in str(caught.value) and caught.value.remedy


def test_two_of_one_name() -> None:
    with pytest.raises(SpecError, match="two certificates have the name 'www'"):
        parse_host([WWW, {**WWW, "dns_names": ["b.example.com"]}], LIFETIMES)


def test_two_outputs_at_one_path() -> None:
    outputs = [{"path": "/x/a.pem"}]
    entries = [{**WWW, "outputs": outputs}, {**WWW, "name": "b", "outputs": [{"path": "/x/./a.pem"}]}]
    with pytest.raises(SpecError, match="certificate 'b': two outputs have the path '/x/a.pem'"):
        parse_host(entries, LIFETIMES)
    with pytest.raises(SpecError, match="certificate 'www': two outputs have the path '/x/a.pem'"):
        parse_host([{**WWW, "outputs": outputs * 2}], LIFETIMES)


def test_one_service_described_in_two_ways_names_the_certificate() -> None:
    entries = [{**WWW, "name": word, "services": [{"name": "x", "reload": word}]} for word in ("one", "two")]
    with pytest.raises(SpecError, match="certificate 'two': the service 'x' is described in two ways"):
        parse_host(entries, LIFETIMES)


def test_no_issuer_is_configured() -> None:
    with pytest.raises(SpecError, match="'internal' is unknown. Known: none"):
        parse_host([WWW], {})


def test_services_stand_once_with_all_endpoints() -> None:
    spec = parse_host([{**WWW, "name": name, "services": ["nginx"]} for name in ("a", "b")], LIFETIMES)
    assert [(service.name, len(service.endpoints)) for service in spec.services] == [("nginx", 2)]
    assert parse_host([], LIFETIMES).certificates == ()


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/etc/fleet-tls/live/www/privkey.pem", True),
        ("/etc/fleet-tls", True),
        ("/etc/fleet-tls-2/x.pem", False),
        ("/etc/x.pem", False),
    ],
)
def test_outputs_in_our_own_directory(path: str, refused: bool) -> None:
    spec = parse_host([{**WWW, "outputs": [{"path": path}]}], LIFETIMES)
    if not refused:
        return refuse_own_directory(spec, "/etc/fleet-tls")
    with pytest.raises(SpecError, match="certificate 'www': outputs: /etc/fleet-tls") as caught:
        refuse_own_directory(spec, "/etc/fleet-tls")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({"renew_before": "10d", "owner": "x", "mode": "0640", "issuer": "public", "duration": "20d"}, True),
        ({"private_key": {"rotation_policy": "never"}}, True),
        ({"dns_names": ["b.example.com"]}, False),
        ({"ip_addresses": ["192.0.2.1"]}, False),
        ({"common_name": "x"}, False),
        ({"usages": ["client_auth"]}, False),
        ({"private_key": {"algorithm": "ed25519"}}, False),
    ],
)
def test_request_digest_is_of_what_a_csr_says(fields: dict[str, Any], same: bool) -> None:
    plain, other = parse_certificate(WWW, LIFETIMES), parse_certificate({**WWW, **fields}, LIFETIMES)
    assert (plain.request_digest == other.request_digest) is same


def test_an_output_without_anchors_may_say_so_as_text() -> None:
    output = {"path": "/x", "format": "combined", "anchors": "false"}
    (certificate,) = parse_host([{**WWW, "outputs": [output], "must_staple": "no"}], LIFETIMES).certificates
    assert certificate.outputs[0].anchors is False and certificate.must_staple is False
