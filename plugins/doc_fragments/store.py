# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that several modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options ``store`` and ``issuers``."""

    DOCUMENTATION = r"""
options:
  store:
    description:
      - Where CA keys, the ledger and everything else that outlives a run is kept, on the controller.
      - C(type) is V(directory), the embedded store. C(path) is a directory of its own, an absolute path such as
        V({{ inventory_dir }}/tls-store), made on first use with mode V(0700) and a C(.gitignore) that keeps all of it out of a repository.
      - C(passphrase) seals all private keys in it, at least 12 characters long. Make one with C(openssl rand -base64 32); a store is not made
        with one that is easy to guess. It is needed only when something is issued, not by a run with nothing to do. Keep it in Ansible Vault.
      - The controller needs the program C(openssl) to seal a key, but not to use one.
      - Back this directory up. Whoever loses it loses the CA.
      - With V(openbao) it is a KV engine of OpenBao or HashiCorp Vault that several controllers share. Its options are C(url), C(auth), C(mount)
        (default V(secret)), C(path) (default V(fleet-tls)), C(namespace), C(ca_certificate), C(timeout) and C(passphrase); they are described in
        C(docs/stores/openbao.md) of the collection. The controller needs the Python package C(hvac) then.
    type: dict
    required: true
  issuers:
    description:
      - Who issues certificates, by names of your own.
      - C(type) is V(ca), an internal CA of a root and an issuing CA below it, made when first needed. Its options are
        C(duration) of a certificate (default V(90d)), C(issuing_duration) (default V(2y)), C(root_duration) (default
        V(10y)), C(crl_duration) of the issuing CA's revocation lists (default V(7d)), C(key_algorithm) of the CA keys (default
        V(ecdsa-p256)) and C(common_name) (default the issuer's name and C(CA)). With C(root) and C(issuing) it is a CA that exists, or
        one below a root whose key is elsewhere. C(name_constraints), C(path_length), C(subject), C(crl_distribution_points),
        C(authority_information_access) and C(cross_certificates) say what its certificates say. They are described in
        C(docs/issuers/ca.md) of the collection.
      - With V(acme) it is any CA that speaks ACME. Its options are C(directory_url), C(challenge), C(contact), C(terms_agreed),
        C(external_account), C(profile), C(preferred_chain), C(anchors), C(ca_certificate), C(limits) and C(timeout); they are described in
        C(docs/issuers/acme.md) of the collection. The controller needs the Python package C(acme) then.
      - With V(openbao) the PKI engine of OpenBao or HashiCorp Vault signs. Its options are C(url), C(auth), C(mount) (default V(pki)), C(role),
        C(issuer_ref), C(duration), C(root), C(namespace), C(ca_certificate) and C(timeout); they are described in C(docs/issuers/openbao.md) of the
        collection. The controller needs the Python package C(hvac) then.
      - V(command) is any program that makes a certificate of a CSR, V(fetch) hands out certificates that others make. Their options
        are in docs/issuers of this collection, as is how to write an issuer of your own.
      - Every type takes C(permit), rules for which hosts may have which certificates. They are described in C(docs/issuers/permit.md).
      - An issuer of another collection is named in full, C(namespace.collection.name).
    type: dict
    required: true
"""

    # For tasks that need no issuer.
    ONLY_STORE = r"""
options:
  store:
    description:
      - Where everything that outlives a run is kept, on the controller, as in M(fleet.tls.certificates).
      - Its passphrase is needed only when keys are made or go to a host.
    type: dict
    required: true
"""
