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
        V({{ inventory_dir }}/tls-store), made on first use with mode V(0700).
      - C(passphrase) seals all private keys in it, at least 12 characters long. It is needed only when something is
        issued, not by a run with nothing to do. Keep it in Ansible Vault.
      - Back this directory up. Whoever loses it loses the CA.
    type: dict
    required: true
  issuers:
    description:
      - Who issues certificates, by names of your own.
      - C(type) is V(ca), an internal CA of a root and an issuing CA below it, made when first needed. Its options are
        C(duration) of a certificate (default V(90d)), C(issuing_duration) (default V(2y)), C(root_duration) (default
        V(10y)), C(crl_duration) of the issuing CA's revocation lists (default V(7d)), C(key_algorithm) of the CA keys (default
        V(ecdsa-p256)) and C(common_name) (default the issuer's name and C(CA)).
      - V(command) is any program that makes a certificate of a CSR, V(fetch) hands out certificates that others make. Their options
        are in docs/issuers of this collection, as is how to write an issuer of your own.
      - An issuer of another collection is named in full, C(namespace.collection.name).
    type: dict
    required: true
"""
