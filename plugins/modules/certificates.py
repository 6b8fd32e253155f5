# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Issue, install, prove and renew all certificates of a host
version_added: 0.1.0
description:
  - Gives a host every certificate that it asks for, keeps them fresh, and proves by handshake that they are the ones served. First issue,
    renewal and repair are the same run.
  - Private keys are made on the host and never leave it, unless RV(certificates) says otherwise with C(private_key.location).
  - Key and certificate change together, in one rename. The task then checks and reloads the host's services, and asks them for the new certificate. If
    that fails, it restores the previous pair, and the host fails with the service's own words.
  - One round trip looks at all certificates of a host. A second one follows only when something is due.
notes:
  - The controller's clock decides what is due. A host whose clock is more than an hour off gets no new certificate.
  - A certificate that is no longer in the list stays on the host.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
  - openssl (the program, on the host)
extends_documentation_fragment:
  - fleet.tls.clocks
  - fleet.tls.attributes
  - fleet.tls.attributes.changes
  - fleet.tls.store
  - fleet.tls.maintenance
  - fleet.tls.host
  - fleet.tls.host.proven
options:
  certificates:
    description: The certificates this host wants.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What you call it. It becomes a directory below O(directory).
        type: str
        required: true
      issuer:
        description:
          - One of O(issuers), or a list of them of which the next one is tried when the first fails.
          - What the second one gave stays until its own renewal is due. Then the first is asked first again.
        type: raw
        required: true
      dns_names:
        description: DNS names. A wildcard is the whole first label.
        type: list
        elements: str
        default: []
      ip_addresses:
        description: IPv4 and IPv6 addresses.
        type: list
        elements: str
        default: []
      uris:
        description: URIs, such as SPIFFE IDs.
        type: list
        elements: str
        default: []
      email_addresses:
        description: Mail addresses.
        type: list
        elements: str
        default: []
      common_name:
        description: The subject's common name. Without it, the issuer chooses.
        type: str
      subject:
        description:
          - What the subject says beside the common name, by the parts C(O), C(OU), C(C), C(L), C(ST), C(DC) and C(serialNumber). A part may have
            several values; C(DC) is written as in DNS, C(example.com). Issuers of the types V(ca) and V(command) do as asked.
        type: dict
      usages:
        description:
          - What it is for, in words or as OIDs (V(1.3.6.1.5.5.7.3.4)).
          - The words are V(server_auth), V(client_auth), V(code_signing), V(email_protection), V(time_stamping), V(ocsp_signing),
            V(smartcard_logon), V(kerberos_pkinit_kdc) and V(ipsec_ike). Those beyond the first two are for issuers of the types V(ca) and V(command).
        type: list
        elements: str
        default: [server_auth]
      key_usages:
        description:
          - What its key may do. Without it, V(digital_signature), and for RSA keys V(key_encipherment) too, as TLS needs it.
          - Issuers of the types V(ca) and V(command) do as asked.
        type: list
        elements: str
        choices: [digital_signature, content_commitment, key_encipherment, data_encipherment, key_agreement, encipher_only, decipher_only]
        default: []
      private_key:
        description: How its key is made.
        type: dict
        suboptions:
          algorithm:
            description:
              - The kind of key. A change makes a new key and certificate.
              - V(ml-dsa-44), V(ml-dsa-65) and V(ml-dsa-87) need OpenSSL 3.5 on the host and C(cryptography) 49 on the controller.
                C(docs/post-quantum.md) of the collection tells more.
            type: str
            choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519, ed448, ml-dsa-44, ml-dsa-65, ml-dsa-87]
            default: ecdsa-p256
          rotation_policy:
            description: Whether each new certificate gets a new key, or keeps the present one as long as it is sound.
            type: str
            choices: [always, never]
            default: always
          location:
            description:
              - Where the key is created. V(host) keeps it there.
              - V(controller) is for hosts that may not make keys. It is kept in the store, sealed, and sent to the host.
              - The default is V(host), but for pools, whose keys are made on the controller.
            type: str
            choices: [host, controller]
      scope:
        description:
          - Whether the host has its own certificate, or V(pool), the same one as all other hosts that have this entry. A pool's
            is issued once, under the store's lock, and deployed to every host of it. A new host gets the present one.
        type: str
        choices: [host, pool]
        default: host
      pool:
        description: The name of the pool. Without it, the certificate's. All hosts of a pool must ask for the same.
        type: str
      renew_before:
        description:
          - How long before its expiry it is renewed, as a part of its lifetime or as a duration such as V(30d).
          - A duration that is not shorter than the lifetime the issuer really gives counts as a third of it, with a warning.
        type: str
        default: 33%
      renewal_spread:
        description:
          - Whether hosts renew at different times, up to a twentieth of the lifetime before O(certificates[].renew_before) says, so that what
            was issued in one run is not always due in one run. The time depends on the names of host and certificate only.
        type: bool
        default: true
      adopt:
        description:
          - A pair that is already on the host, created by certbot, lego or anything else. If the host has no pair of this certificate yet, it
            takes that one over as it is, same key and same certificate, and orders nothing. O(certificates[].issuer) renews it when it is due.
          - If there is none, or it has expired, a pair is issued. A key that does not fit, other names or a chain that
            is out of order are an error.
          - The files are read, never changed, and the key does not leave the host. What an output replaces is kept beside it. Services are not
            reloaded if every output has what was at its path before, and their endpoints serve the certificate already.
          - Once the host has a pair, this option has no effect. C(fleet.tls.adopt) writes it for what it finds.
        type: dict
        suboptions:
          certificate:
            description: The file with the certificate and what is above it, the leaf first, in PEM.
            type: str
            required: true
          private_key:
            description: The file with its key, in PEM and not encrypted. Without it, O(certificates[].adopt.certificate) has the key too.
            type: str
      state:
        description:
          - With V(absent), this module leaves it alone, and M(fleet.tls.retire), which comes after servers and clients, takes it away. Leave the
            rest of the entry as it is.
        type: str
        choices: [present, absent]
        default: present
      revoke:
        description: With C(state=absent), the reason to revoke it with, as in M(fleet.tls.revoke). Without it, it is not revoked.
        type: str
      duration:
        description: How long it lives, where the issuer lets one choose. Without it, the issuer's own.
        type: str
      must_staple:
        description:
          - Whether clients are to refuse it without a stapled OCSP answer (RFC 7633). Only issuers of type V(acme) can do that, and
            few CAs do.
        type: bool
        default: false
      owner:
        description:
          - Owner of the private key file. Without it, and without C(group), the one that the services need, such as C(postgres) for
            postgresql. Else the user the task runs as.
          - Services that need different owners are refused, unless each of them has an output with the key that belongs to it.
        type: str
      group:
        description: Group of the private key file.
        type: str
      mode:
        description: Mode of the private key file. One that lets others at it is refused, and so is a key that a service cannot read.
        type: raw
        default: "0600"
      outputs:
        description: More files, for services that want another form.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description:
              - Where to put it.
              - A file of somebody else's at that path is kept beside it, once, as C(.NAME.before-fleet-tls), with its own owner and
                mode. It comes back when the output is taken out of the list.
              - Root follows a path through an ordinary user's directory or link only to a directory of that same user, such as the home of
                the service that the output is for. Anything else is refused as an unsafe path transition, before anything is issued.
            type: path
            required: true
          format:
            description:
              - V(cert) is the certificate, V(chain) what is above it, V(fullchain) both, V(privkey) the key, V(combined) certificate, chain
                and key in one file, all of them PEM. V(der) is the certificate in DER.
              - V(pkcs1) is an RSA key as C(BEGIN RSA PRIVATE KEY), V(encrypted) the key as PKCS#8 under a C(passphrase).
              - V(pkcs12) is certificate, chain and key as PKCS#12.
              - V(truststore) is a PKCS#12 file of the issuers' trust anchors alone, which Java takes as trust. It needs cryptography 45 or newer
                on the controller.
              - V(jks) is certificate, chain and key as a Java keystore of type JKS, for programs that do not read PKCS#12. It needs the program
                C(keytool) on the host, and a C(passphrase) of at least six ASCII characters.
              - C(docs/forms.md) of the collection says more of each.
            type: str
            choices: [cert, chain, fullchain, privkey, combined, der, pkcs1, encrypted, pkcs12, truststore, jks]
            default: fullchain
          method:
            description:
              - V(link) makes the path a link into O(directory), so that it changes in the same instant as everything else.
              - V(copy) is for services that cannot follow links out of a directory of their own. That is so where AppArmor or SELinux confines
                them (Debian's C(named) reads C(/etc/bind) only, and denials are in the kernel's log), in a C(chroot), and where a directory
                is mounted into a container.
            type: str
            choices: [link, copy]
            default: link
          owner:
            description: Owner. Without it, the certificate's.
            type: str
          group:
            description: Group. Without it, the certificate's.
            type: str
          mode:
            description: Mode. Without it, V(0600) where there is a key in it, else V(0644).
            type: raw
          passphrase:
            description:
              - What a V(encrypted), V(pkcs12), V(truststore) or V(jks) is encrypted with, best from Ansible Vault. A new passphrase rewrites the
                file, and issues no new certificate.
              - V(encrypted) and V(jks) need one. A V(pkcs12) without one has an empty passphrase, which many programs do not take. A
                V(truststore) without one is not encrypted.
            type: str
          anchors:
            description:
              - Whether the trust anchors of all issuers of the certificate go into a V(pkcs12), for programs that read trust anchors from it.
                Java trusts none of them. For Java, use a V(truststore).
            type: bool
            default: false
          profile:
            description:
              - How a V(pkcs12) or V(truststore) is encrypted. V(modern) is AES-256 and SHA-256. V(legacy) is 3DES and SHA-1, for Windows before
                Server 2019 and Java 8 before 8u301, which read nothing newer.
            type: str
            choices: [modern, legacy]
            default: modern
      services:
        description:
          - Who uses it. A name of a preset (V(nginx), V(postgresql), V(mariadb) and others, all of them in C(docs/services.md) of the
            collection, or one of O(service_presets)), or a mapping with C(name) and any field of O(service_presets). What is left out comes
            from the preset of that name.
          - The endpoints that you name, here or in O(service_presets), must serve the certificate. Those of a built-in preset
            (V(127.0.0.1:443) for nginx) count once they served it.
          - V(haproxy) reads certificate, chain and key from one file, so give it one of C(outputs) with C(format=combined).
        type: list
        elements: raw
        default: []
  service_presets:
    description:
      - Presets of your own, and changes of the built-in ones. Each key is a name for C(services), each value a mapping.
      - C(unit) is the systemd unit, or a list of names it may have. Without C(reload) it is reloaded, asked and started through it.
      - C(reload=restart) restarts that unit instead, and is needed where the unit has no reload. C(reload=none) is for programs that reread their
        files by themselves. A service that can be reloaded neither by systemd nor by a command is refused before anything is changed.
      - C(validate), C(reload), C(check) and C(start) are commands, as lists of words. C(check) ends with 0 when the service runs. Our own
        look at the configuration of a built-in preset is left out where C(validate) or C(reload) is yours.
      - C(endpoints) is where it serves, seen from the host. Each is V(host:port), V([IPv6]:port), either after V(smtp://), V(imap://),
        V(pop3://), V(ftp://), V(ldap://), V(postgres://), V(mysql://), V(xmpp://) or V(nats://) for STARTTLS, or a
        mapping with C(host), C(port), C(starttls), C(proxy_protocol) and C(server_name) (SNI).
      - C(proxy_protocol) is for an endpoint that takes connections from proxies only. V(true) or V(v1) sends version 1 of the PROXY protocol,
        V(v2) version 2.
      - C(programs) are the names of its processes. A port of an endpoint that another process holds is refused before anything is changed.
      - C(user) is the account that must be able to read the private key, a name, or a number (of a container) that the host need not know. C(owner) (by
        default C(user)), C(group) and C(mode) are given to the key of a certificate that names no owner or group.
    type: dict
    default: {}
  force:
    description:
      - Reissue certificates, whatever the present ones are like. A boolean, a certificate's name, or a list of names. A pool's certificate is
        reissued once per run.
      - It also lets another CA of the same issuer's name take over if the store of the first is lost.
    type: raw
    default: false
  rekey:
    description:
      - Replace keys, and issue certificates for the new ones, whatever C(private_key.rotation_policy) says. A second run replaces nothing.
      - C(before) is a moment in seconds since the epoch; keys that were in use before it, by the ledger, are replaced. C(names) are the
        certificates that it concerns, all by default. C(key_ids) are SHA-256 digests of public keys (DER form, hex). With them,
        only those keys are replaced, whatever their age.
    type: dict
    default: {}
  defer_proof:
    description:
      - A certificate that is installed for the first time and that its endpoints do not serve yet is left unproven instead of failing the
        host. For plays that configure the service afterwards. Run the task again to prove it.
    type: bool
    default: false
  facts:
    description: Also returns what M(fleet.tls.host_facts) does, which costs no round trip more. The role C(certificates) wants that for the roles after it.
    type: bool
    default: false
  adopt_only:
    description:
      - Takes over the pairs that O(certificates[].adopt) names, and finishes what an interrupted run had begun of that. Nothing is issued, and
        certificates without O(certificates[].adopt) are left alone. A pair that is not there, or has expired, is an error.
    type: bool
    default: false
  ledger_lost:
    description:
      - Issues although the ledger of an internal CA was lost (error V(ledger_lost)). Nothing knows any longer what that CA has issued before. Its
        CRLs keep the entries that they have.
    type: bool
    default: false
  await_clocks:
    description:
      - Makes nothing that has a date as long as a clock is in doubt and not all hosts have been heard, and says so in RV(clocks_undecided); a later task
        of the same run, without this option, makes it. The roles of this collection do so.
    type: bool
    default: false
  prove_timeout:
    description: How long a service has to start serving the new certificate.
"""

EXAMPLES = r"""
- name: A certificate for nginx, renewed after two thirds of its lifetime
  fleet.tls.certificates:
    store:
      path: "{{ inventory_dir }}/tls-store"
      passphrase: "{{ vault_tls_passphrase }}"
    issuers:
      internal:
        type: ca
        duration: 90d
    certificates:
      - name: www
        issuer: internal
        dns_names: [www.example.com, example.com]
        services: [nginx]

- name: A client certificate as PKCS#12 for an application
  fleet.tls.certificates:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    certificates:
      - name: billing
        issuer: internal
        uris: ["spiffe://example.com/billing"]
        usages: [client_auth]
        outputs:
          - path: /srv/billing/client.p12
            format: pkcs12
            passphrase: "{{ vault_billing_passphrase }}"
            anchors: true
            owner: billing
        services:
          - name: billing
            reload: [systemctl, reload, billing]

- name: One certificate for all hosts behind a name, from the internal CA where the public one fails
  fleet.tls.certificates:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    certificates:
      - name: www
        scope: pool
        issuer: [public, internal]
        dns_names: [www.example.com]
        services: [nginx]

- name: A mail server, and a gateway of one's own
  fleet.tls.certificates:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    service_presets:
      gateway:
        unit: gateway
        validate: [gateway, --check-config]
        endpoints: ["127.0.0.1:8443"]
        user: gateway
    certificates:
      - name: mail
        issuer: internal
        dns_names: [mail.example.com]
        services:
          - name: postfix
            endpoints: ["smtp://127.0.0.1:25", "127.0.0.1:465"]
          - dovecot
      - name: gateway
        issuer: internal
        dns_names: [gateway.example.com]
        services: [gateway]

- name: A certificate that certbot has had until now, under the path that the configuration names
  fleet.tls.certificates:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    certificates:
      - name: www
        issuer: public
        dns_names: [www.example.com]
        adopt:
          certificate: /etc/letsencrypt/live/www.example.com/fullchain.pem
          private_key: /etc/letsencrypt/live/www.example.com/privkey.pem
        outputs:
          - {path: /etc/letsencrypt/live/www.example.com/fullchain.pem, format: fullchain}
          - {path: /etc/letsencrypt/live/www.example.com/privkey.pem, format: privkey}
        services: [nginx]

- name: New keys and certificates now
  fleet.tls.certificates:
    store: "{{ tls_store }}"
    issuers: "{{ tls_issuers }}"
    certificates: "{{ tls_certificates }}"
    force: [www]
"""

RETURN = r"""
clocks_undecided:
  description: Whether something due was left for a later task, with O(await_clocks), because a clock is in doubt.
  returned: always
  type: bool
ansible_facts:
  description: What M(fleet.tls.host_facts) tells, with C(fleet_tls_host.ocsp) for the certificates of this task.
  returned: with O(facts), when the host was looked at
  type: dict
certificates:
  description: The certificates, in the order of the option. Also when the task fails for some of them, but not when bad input is refused.
  returned: when the host was looked at
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    changed:
      description: Whether anything changed for it.
      type: bool
    action:
      description: What was done, or in check mode would be done. V(issue), V(adopt), V(repair) or V(none).
      type: str
    adopted:
      description: Whether the pair was made by somebody else and taken over, with O(certificates[].adopt).
      type: bool
    due:
      description: Whether a new certificate was due.
      type: bool
    reasons:
      description: Why, each with C(code) and C(detail).
      type: list
      elements: dict
      sample: [{code: expiring, detail: "expires on 2027-01-01T00:00:00Z, to be renewed from 2026-12-01T00:00:00Z on"}]
    repairs:
      description: What had to be put right around a certificate that is good, each with C(code) and C(detail).
      type: list
      elements: dict
    kept_files:
      description:
        - Paths of outputs where something lay that is not of fleet.tls, and where that is kept, or in check mode would be. The first such
          file is kept, beside the new one, with its own owner and mode, and not replaced later.
      type: dict
      sample: {/etc/nginx/site.pem: /etc/nginx/.site.pem.before-fleet-tls}
    deferred:
      description:
        - Why a certificate that is due was left for a later run, where its issuer has no room for more now, or no maintenance window is
          open. The present one is valid and stays.
      type: str
    deferred_until:
      description: From when on it is renewed, where that waits for a maintenance window.
      type: str
    issuer:
      description: The name of the issuer it is from.
      type: str
    fallback_for:
      description: The issuer that is asked first, where it is from another one of the list.
      type: str
    failed_issuers:
      description: Issuers that failed this time, each with C(issuer), C(code), C(message) and C(remedy).
      type: list
      elements: dict
    pool:
      description: The pool it belongs to. None where the host has its own.
      type: str
    generation:
      description: The number of the pair on the host.
      type: int
    path:
      description: The directory with C(privkey.pem), C(cert.pem), C(chain.pem) and C(fullchain.pem).
      type: str
      sample: /etc/fleet-tls/live/www
    installed:
      description: Whether there is one on the host.
      type: bool
    settled:
      description: Whether its services have taken it.
      type: bool
    rolled_back:
      description: Whether the pair before was put back.
      type: bool
    served:
      description:
        - What each endpoint presented, with C(endpoint), C(server_name), C(fingerprint), C(error) and C(service).
        - C(group) and C(signature_scheme) say how keys were agreed on and how the server signed, C(openssl) which version asked.
      type: list
      elements: dict
    error:
      description: What went wrong with it, with C(code), C(message) and C(remedy).
      type: dict
    dns_names:
      description: Its DNS names.
      type: list
      elements: str
    ip_addresses:
      description: Its IP addresses.
      type: list
      elements: str
    uris:
      description: Its URIs.
      type: list
      elements: str
    email_addresses:
      description: Its mail addresses.
      type: list
      elements: str
    usages:
      description: What it is for.
      type: list
      elements: str
    key_algorithm:
      description: The kind of its key.
      type: str
    signature_algorithm:
      description: How it is signed.
      type: str
      sample: ecdsa-with-SHA256
    subject:
      description: Subject, as RFC 4514 text. The names where it is empty.
      type: str
    common_name:
      description: Common name of the subject, or null.
      type: str
    issuer_subject:
      description: The subject of the CA that signed it.
      type: str
    client_auth_ends:
      description: Whether it is for clients too, and its issuer, a public CA, issues no such certificate any more.
      type: bool
    renew_after:
      description: When C(renew_before) makes it due, UTC. Its issuer may want that sooner or later.
      type: str
    not_before:
      description: Valid from, UTC.
      type: str
    not_after:
      description: Valid until, UTC.
      type: str
    days_left:
      description: Days until then.
      type: float
    serial:
      description: Serial number, hexadecimal.
      type: str
    fingerprint_sha256:
      description: SHA-256 of the certificate, hexadecimal.
      type: str
services:
  description: What became of each service, with C(state) and C(error). Empty when none was touched.
  returned: when the host was looked at
  type: dict
  sample: {nginx: {state: reloaded, error: null}}
unproven:
  description: Names of certificates that are installed but not proven yet.
  returned: when the host was looked at
  type: list
  elements: str
unanswered:
  description:
    - With O(defer_proof), names of certificates that were not asked for, because no server answers the ACME challenge for them yet, or that
      their CA cannot issue before its own certificate is signed.
    - Configure the servers and run the task again, with these names in O(force).
  returned: when the host was looked at
  type: list
  elements: str
"""
