# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``fleet.tls.sites``: ``tls_sites`` with all defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.web.sites import expand_sites

DOCUMENTATION = r"""
name: sites
short_description: Fill in the defaults of tls_sites
version_added: 0.1.0
author: Contributors to the fleet.tls project (@fleet-tls)
description:
  - Takes C(tls_sites) as users write them and returns them with every field there,
    and with the endpoints that prove them.
  - The roles for web servers use it, so that all of them read C(tls_sites) in one way.
positional: server, client_auth, waiting, client_names
options:
  _input:
    description: The list of sites, see the role P(fleet.tls.nginx#role).
    type: list
    elements: dict
    required: true
  server:
    description: Which web server is to serve them. What it cannot do is refused.
    type: str
    choices: [nginx, apache, haproxy]
    default: nginx
  client_auth:
    description: C(client_auth) of sites that do not say.
    type: str
    choices: [none, optional, required]
    default: none
  waiting:
    description: Names of certificates that are not on the host yet. Their sites can answer on port 80 only.
    type: list
    elements: str
    default: []
  client_names:
    description: C(client_names) of sites that require a certificate and do not say.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show where the sites are served
  ansible.builtin.debug:
    msg: "{{ tls_sites | fleet.tls.sites | map(attribute='endpoints') | flatten }}"
  vars:
    tls_sites:
      - name: www
        server_names: [www.example.com]
        certificate: www
        root: /srv/www
"""

RETURN = r"""
_value:
  description: The same sites in the same order.
  type: list
  elements: dict
  contains:
    name:
      description: The site's name.
      type: str
    server_names:
      description: The names it answers to.
      type: list
      elements: str
    certificate:
      description: The name of its certificate; of several, the first.
      type: str
    certificates:
      description: The names of its certificates, each with a key of another kind. Of several, those that are on the host.
      type: list
      elements: str
    listen:
      description: Ports, or addresses with ports.
      type: list
      elements: str
    root:
      description: The directory it serves, or null.
      type: str
    upstream:
      description: The URL it passes requests to, or null.
      type: str
    upstream_tls:
      description: >-
        How it speaks TLS with its upstream, or null. C(verify), C(name) (asked for and looked for in the certificate, or null), C(issuers) (null: those that
        the fleet trusts), C(anchors), C(system) (what the host's system trusts, instead) and C(certificate) (what it shows, or null).
      type: dict
    hsts:
      description: Seconds of C(Strict-Transport-Security); V(0) means that the header is not sent.
      type: int
    http2:
      description: Whether HTTP/2 is offered.
      type: bool
    upstream_address:
      description: The same as C(scheme), C(host), C(port) and C(path), or null.
      type: dict
    client_auth:
      description: Whether clients are asked for a certificate, and whether they need one.
      type: str
    client_names:
      description: The names of the clients that get in; empty where every client of the trusted CAs does.
      type: list
      elements: str
    client_headers:
      description: What the upstream is told of a client's certificate.
      type: list
      elements: str
    checks_clients:
      description: Whether the web server has to read the certificates of clients for either of these.
      type: bool
    session:
      description: >-
        Whose sessions may be resumed there. Sites of one word share them; V(off) is for sites that share an address and port with
        sites of another C(client_auth), where nobody's may.
      type: str
    http_listen:
      description: The addresses of C(listen) with port 80.
      type: list
      elements: str
    redirect:
      description: Whether plain HTTP is answered with a redirect.
      type: bool
    redirect_port:
      description: What a redirect puts behind the host name, V(:8443) or nothing.
      type: str
    waiting:
      description: Whether none of its certificates is there yet.
      type: bool
    endpoints:
      description: >-
        Where the host can see the site's certificate, each with C(host), C(port), C(server_name) and C(certificate).
        A site with several certificates has one for each of them.
      type: list
      elements: dict
"""


def sites(
    raw: Any,
    server: str = "nginx",
    client_auth: str = "none",
    waiting: Sequence[str] = (),
    client_names: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """See RETURN.

    :raises AnsibleFilterError: what :func:`expand_sites` refuses.
    """
    try:
        return expand_sites(raw, server, client_auth, waiting, client_names)
    except TlsError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"sites": sites}
