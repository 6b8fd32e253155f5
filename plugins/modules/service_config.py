# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_config
short_description: Change a service's configuration files as one
version_added: 0.1.0
description:
  - Writes a set of configuration files in one round trip, then has the service check its configuration, reloads it once and proves with
    handshakes that it serves the certificates it should.
  - If the check, the reload or the proof fails, the task restores all files, reloads the service again, and fails
    with the service's own words. It says so if the service rejected its configuration already before this task.
  - Templates are rendered on the controller, with the search path of M(ansible.builtin.template).
notes:
  - In check mode the files are compared, but the service cannot check files that are not there. So RV(validated) is false then.
  - If a run was interrupted between writing and reloading, the next one recovers.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.clocks
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.host
  - fleet.tls.host.presets
  - fleet.tls.host.proven
options:
  files:
    description: The files. One of C(template), C(content), C(link) and C(client) is needed for each that should be there.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - Where to put it. A missing directory is created.
          - Something there that is not of fleet.tls is kept beside it, once, as C(.NAME.before-fleet-tls), before it is replaced.
        type: path
        required: true
      template:
        description: A template on the controller, found like that of M(ansible.builtin.template).
        type: str
      content:
        description: The content itself.
        type: str
      link:
        description: Makes the path a symbolic link to this.
        type: str
      client:
        description:
          - What O(client_trust) says. V(bundle) are the CA certificates, V(crls) the revocation lists of all of them. The file is
            removed where there are none.
        type: str
        choices: [bundle, crls]
      block:
        description:
          - Write the content between two comments of our own, and leave everything else of the file as it is, byte for byte. A
            new block goes to the end.
          - For services that read one file and know no includes. With O(files[].state=absent) the block is removed, not the file.
        type: bool
        default: false
      vars:
        description: Variables for this template alone.
        type: dict
        default: {}
      owner:
        description: Owner. Without it, the user the task runs as.
        type: str
      group:
        description: Group.
        type: str
      mode:
        description: Mode.
        type: raw
        default: "0644"
      state:
        description: Whether it should be there.
        type: str
        choices: [present, absent]
        default: present
  client_trust:
    description:
      - By what the service is to verify its clients, for files with C(client). It is put together on the controller.
      - If revocation is checked, every CA needs a current revocation list, or nobody could connect. A CA without one is refused.
        Before one is signed, the host is asked whether its own lists more.
      - Templates find C(client_trust_digest) of it, for names that must change with it.
    type: dict
    suboptions:
      store:
        description: As in M(fleet.tls.certificates).
        type: dict
      issuers:
        description: As in M(fleet.tls.certificates).
        type: dict
        default: {}
      from_issuers:
        description: The issuers whose clients are trusted; every one by default.
        type: list
        elements: str
      anchors:
        description: Further CA certificates, a mapping of names to PEM texts or a list of PEM texts.
        type: raw
        default: {}
      crls:
        description: Revocation lists of these, PEM texts. Those of issuers come from them.
        type: list
        elements: str
        default: []
      revocation:
        description: Whether revocation is checked.
        type: bool
        default: true
  published:
    description:
      - What clients fetch of internal issuers by plain http. A file with the revocation list (C(.crl)) and one with the certificate (C(.crt))
        of each of their CAs, both DER, under the names that C(crl_distribution_points) and C(authority_information_access) give them.
      - Lists that are due are signed again, if the store has the passphrase.
    type: dict
    suboptions:
      store:
        description: As in M(fleet.tls.certificates).
        type: dict
      issuers:
        description: As in M(fleet.tls.certificates).
        type: dict
        default: {}
      from_issuers:
        description: The issuers whose files are to be there. Those of all others are removed.
        type: list
        elements: str
        default: []
      directory:
        description: Where they are on the host.
        type: path
        required: true
  upstreams:
    description:
      - The upstreams of sites, for the roles of web servers. Files with the CAs, the revocation lists and
        the server's own certificate go to C(upstreams/SERVER) in O(directory); what is no longer wanted there is removed.
      - Each upstream is asked directly before anything is changed, with the CAs and the certificate that are to come, and through the service
        afterwards. One that refuses, or would be refused, fails the task; one that does not answer is a warning.
      - Templates find the names of the sites whose upstreams are checked against revocation lists in C(upstreams_with_crls).
    type: dict
    suboptions:
      server:
        description: Which web server it is.
        type: str
        required: true
        choices: [nginx, apache, haproxy]
      sites:
        description: The sites, as the filter P(fleet.tls.sites#filter) returns them.
        type: list
        elements: dict
        required: true
      store:
        description: As in M(fleet.tls.certificates).
        type: dict
      issuers:
        description: As in M(fleet.tls.certificates).
        type: dict
        default: {}
      from_issuers:
        description: The issuers whose CAs are trusted for upstreams of sites that do not say; every one by default.
        type: list
        elements: str
      anchors:
        description: Further CA certificates for these, a mapping of names to PEM texts or a list of PEM texts.
        type: raw
        default: {}
      revocation:
        description: Whether revocation is checked, for sites all of whose CAs are of issuers that keep revocation lists.
        type: bool
        default: true
  service:
    description:
      - Whose files they are. A name of a preset (V(nginx)), or a mapping with C(name), C(validate), C(reload), C(check) and C(start)
        (commands, as lists of words; what is left out comes from the preset of that name).
    type: raw
    required: true
  started:
    description:
      - Start the service, now and at every boot, where it does not run. This happens after it has found its configuration good.
      - Without it, a service that does not run is left as it is.
    type: bool
    default: false
  missing:
    description:
      - What to do where the service's program is not on the host. V(fail) fails. V(report) changes nothing and says so in RV(missing),
        for plays that install it then.
    type: str
    choices: [fail, report]
    default: fail
  requires:
    description:
      - What the service's program must be able to do for these files. A host where it cannot is refused before anything is touched, with the
        package that brings it.
    type: list
    elements: str
    choices: [nginx_lua, apache_lua, haproxy_lua]
    default: []
  certificates:
    description:
      - The certificates that the play makes, C(tls_certificates). An endpoint or file that names any other, which the host does not have
        either, is refused before anything is done, and in check mode too.
      - Without this, check mode takes it that a certificate that is not there will be made.
    type: list
    elements: dict
  claims:
    description:
      - Which addresses, ports and names the files claim for sites, as P(fleet.tls.site_claims#filter) returns it. Where the service's own
        configuration has them for something else, the task fails before anything is touched, and names file and line.
    type: raw
  endpoints:
    description: Where the service must serve which certificate afterwards, seen from the host.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Name or address.
        type: str
        default: 127.0.0.1
      port:
        description: Port.
        type: int
        required: true
      server_name:
        description: The name to ask for (SNI). Without it, none is sent.
        type: str
      certificate:
        description: The name of a certificate that M(fleet.tls.certificates) has put on the host.
        type: str
        required: true
  prove_timeout:
    description: How long the service has to start serving the certificates.
"""

EXAMPLES = r"""
- name: A site for nginx
  fleet.tls.service_config:
    service: nginx
    started: true
    files:
      - path: /etc/nginx/conf.d/shop.conf
        template: shop.conf.j2
      - path: /etc/nginx/conf.d/old-shop.conf
        state: absent
    endpoints:
      - port: 443
        server_name: shop.example.com
        certificate: shop

- name: A service without a preset
  fleet.tls.service_config:
    service:
      name: billing
      validate: [billing, --check-config]
      reload: [systemctl, reload, billing]
    files:
      - path: /etc/billing/tls.conf
        content: |
          certificate = /etc/fleet-tls/live/billing/fullchain.pem
        owner: root
        group: billing
        mode: "0640"
"""

RETURN = r"""
changed_paths:
  description: Files that were written, linked or removed, or in check mode would be.
  returned: success
  type: list
  elements: str
kept_files:
  description:
    - Paths of those files where something lay that is not of fleet.tls, and where that is kept, or in check mode would be. The first such
      file is kept, beside the new one, with its own owner and mode, and not replaced later.
  returned: success
  type: dict
  sample: {/etc/nginx/site.pem: /etc/nginx/.site.pem.before-fleet-tls}
missing:
  description: Whether the service's program is not on the host, so that nothing was done.
  returned: success
  type: bool
validated:
  description: Whether the service has checked the files as they are now and found them good.
  returned: success
  type: bool
services:
  description: What became of the service, with C(state) and C(error). Empty when it was not touched.
  returned: success
  type: dict
  sample: {nginx: {state: reloaded, error: null}}
proof:
  description: What each endpoint presented, with C(endpoint), C(server_name), C(fingerprint) and C(error).
  returned: success
  type: list
  elements: dict
"""
