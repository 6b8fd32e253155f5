# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_info
short_description: Show which certificates TLS endpoints serve
version_added: 0.1.0
description:
  - Shakes hands with endpoints, thousands of them in one task, and returns what each one showed. Chain, names, dates, issuer, protocol,
    cipher, group, signature algorithm, and whether it asks for client certificates.
  - Endpoints that do not answer never hold up the others, however many they are. If a process may not have as many
    open files as there are endpoints, fewer are tried at a time.
  - An endpoint that cannot be reached or refuses the handshake is an answer as well, not a failure, unless O(required) is set.
  - The chain of a server that insists on a client certificate is seen without one, too.
  - To see the certificates of old servers, this takes protocol versions down to TLS 1.0 and weak ciphers, as far as the OpenSSL of
    the probing machine has them. That it succeeds does not mean that other clients would.
notes:
  - Resolving a host name takes as long as the resolver allows, on top of O(timeout).
  - From the controller, a task that takes longer than a few seconds tells on the terminal how far it is.
author:
  - fleet.tls contributors (@fleet-tls)
requirements:
  - cryptography (on the controller)
extends_documentation_fragment:
  - fleet.tls.attributes
  - fleet.tls.attributes.info
options:
  endpoints:
    description:
      - Where to shake hands, each as V(host:port), V([IPv6]:port) or a mapping of C(host) and C(port), and where they differ from the
        options of the same names also C(server_name), C(timeout), C(starttls), C(proxy_protocol), C(alpn), C(client_certificate),
        C(client_key), C(minimum_version) and C(maximum_version).
      - For STARTTLS, V(smtp://host:port), or another protocol of O(starttls), does the same as C(starttls).
    type: list
    elements: raw
    required: true
  origin:
    description:
      - From where. V(controller) needs no connection to the managed host.
      - V(host) shows what the managed host sees, on its loopback addresses for instance.
    type: str
    choices: [controller, host]
    default: controller
  timeout:
    description: How long an endpoint has for connection, handshake and last words together, such as V(5s) or V(500ms), up to ten minutes.
    type: str
    default: 5s
  server_name:
    description:
      - The name to ask for (SNI) and to look for in the certificate. Without it, the endpoint's host, if that is a name. IP addresses
        are never sent.
      - An empty text asks for no name.
    type: str
  starttls:
    description:
      - The protocol in which the endpoints speak in clear until TLS is asked for. Without it, TLS begins at once.
      - An empty text in an endpoint's C(starttls) says so for that one.
    type: str
    choices: [smtp, imap, pop3, ftp, ldap, postgres, mysql, xmpp, nats]
  proxy_protocol:
    description:
      - Whether the endpoints take connections from proxies only and expect the PROXY protocol before anything else. V(true) or V(v1) sends
        version 1, V(v2) version 2. We name ourselves as the client.
    type: raw
    default: false
  client_certificate:
    description: Path, on the probing machine, of a PEM file with a client certificate and its chain, for endpoints that ask for one.
    type: str
  client_key:
    description: Path of its unencrypted private key. Without it, the key is in the same file.
    type: str
  alpn:
    description: Protocols to offer (ALPN), most wanted first, like V([h2, http/1.1]).
    type: list
    elements: str
    default: []
  retries:
    description: How often an endpoint that showed no certificate is tried again, each time with all of O(timeout). Up to 10.
    type: int
    default: 0
  resumption:
    description:
      - Try a second handshake with the session of the first, see RV(endpoints[].resumption). With TLS 1.3, the first one waits a moment for a
        session ticket to come.
    type: bool
    default: false
  resume_at:
    description:
      - Other endpoints of the same name, as in O(endpoints). The session of each endpoint is tried at all of these, which shows whether
        they share their session ticket keys. Implies O(resumption).
      - They are asked for the same name, as the same client.
    type: list
    elements: raw
    default: []
  stapling:
    description:
      - Ask for a stapled OCSP answer, see RV(endpoints[].staple), in another handshake by the program C(openssl) of the probing machine. It takes
        O(timeout) again, and a process each; eight run at a time.
    type: bool
    default: false
  key_types:
    description:
      - A server may have a second certificate with a key of another kind, RSA beside ECDSA. Ask for it, see RV(endpoints[].other_chain), by
        offering the signature algorithms of the other kinds only (RSA, ECDSA, Ed25519).
      - That is another handshake by the program C(openssl) of the probing machine, in TLS 1.2 and 1.3. It takes O(timeout) again, and a process
        each; eight run at a time. If it fails, there is no second certificate. Not done with O(trace).
    type: bool
    default: false
  enumerate:
    description:
      - Find out all protocol versions, cipher suites, groups and signature algorithms that an endpoint accepts, see RV(endpoints[].accepts).
      - That takes some dozens of handshakes, one after the other, each on a connection of its own with O(timeout) again. None of them is ended, so
        no client certificate is shown. Servers may note them in their logs.
      - It does not depend on what the OpenSSL of the probing machine knows. TLS 1.3 to SSL 3 are tried. Suites with shared keys, passwords or Kerberos
        are not. Not with O(trace).
    type: bool
    default: false
  profiles:
    description:
      - Judge what an endpoint accepts by the documents of others, see RV(endpoints[].profiles). Needs O(enumerate).
      - C(docs/endpoints.md) of the collection says which document is meant, and in which version.
    type: list
    elements: str
    choices: [mozilla_modern, mozilla_intermediate, mozilla_old, bsi_tr_02102_2, nist_sp_800_52r2, pci_dss_4_0_1]
    default: []
  post_quantum:
    description:
      - Find out whether an endpoint agrees on keys with C(X25519MLKEM768), see RV(endpoints[].post_quantum), whatever the OpenSSL of the probing
        machine knows. One more connection, on which the server has nothing to compute. Not with O(trace).
    type: bool
    default: false
  minimum_version:
    description: The lowest version of TLS to speak. Without it, as low as the OpenSSL of the probing machine can.
    type: str
    choices: [TLSv1.2, TLSv1.3]
  maximum_version:
    description: The highest version of TLS to speak.
    type: str
    choices: [TLSv1.2, TLSv1.3]
  trace:
    description:
      - Note every message of the handshake, and return them and what they add up to as RV(endpoints[].trace). The filter
        P(fleet.tls.handshake_diagram#filter) draws it. With O(resumption) and O(resume_at), the connections that offer the session are traced
        as well.
      - For up to 400 connections in a task. Each takes up to a tenth of a second longer, to hear all of what a server has to say.
    type: bool
    default: false
  results_file:
    description:
      - A file on the controller for the results, one JSON text a line, as in RV(endpoints), in the order in which they come. For scans with more
        results than a task can hold.
      - It is there when the task has succeeded, as a whole, and readable for its owner alone. A file that was there is replaced.
      - The task's own result has RV(counts), and in RV(endpoints) only those with problems, 200 at most.
      - Not written in check mode, where the task returns everything.
    type: path
  anchors:
    description:
      - CA certificates, as PEM text or a list of PEM texts. With them, chain, dates and name are verified and
        RV(endpoints[].trusted) tells the result.
      - Nothing but these is trusted. A path from the certificate to one of them counts, in whatever order the others are sent.
    type: raw
  required:
    description: Fail when an endpoint shows no certificate, or, with O(anchors), one that does not verify. All of them are tried first.
    type: bool
    default: false
seealso:
  - plugin: fleet.tls.handshake_diagram
    plugin_type: filter
"""

EXAMPLES = r"""
- name: What do our servers present to the world
  fleet.tls.endpoint_info:
    endpoints:
      - www.example.com:443
      - "[2001:db8::1]:8443"
      - host: 192.0.2.10
        port: 443
        server_name: intranet.example.com
      - smtp://mail.example.com:25
  delegate_to: localhost
  run_once: true
  register: seen

- name: No certificate may end within two weeks
  ansible.builtin.assert:
    that: item.certificates[0] is not fleet.tls.expiring('14d')
    fail_msg: "{{ item.endpoint }} ends on {{ item.certificates[0].not_after }}"
    quiet: true
  loop: "{{ seen.endpoints | selectattr('reachable') }}"
  loop_control:
    label: "{{ item.endpoint }}"
  run_once: true

- name: The application can talk to its mTLS-protected backend
  fleet.tls.endpoint_info:
    endpoints: [backend.example.com:8443]
    origin: host
    client_certificate: /etc/fleet-tls/live/app/fullchain.pem
    client_key: /etc/fleet-tls/live/app/privkey.pem
    anchors: "{{ lookup('ansible.builtin.file', 'internal-root.pem') }}"
    required: true

- name: Ten thousand endpoints, their results in a file
  fleet.tls.endpoint_info:
    endpoints: "{{ lookup('ansible.builtin.file', 'endpoints.txt').splitlines() }}"
    retries: 1
    results_file: /var/lib/tls-inventory/seen.jsonl
  delegate_to: localhost
  run_once: true

- name: The nodes behind a balancer resume each other's sessions, and staple
  fleet.tls.endpoint_info:
    endpoints: [192.0.2.11:443]
    resume_at: [192.0.2.12:443, 192.0.2.13:443]
    server_name: www.example.com
    stapling: true
  delegate_to: localhost
  run_once: true

- name: All servers keep to Mozilla's intermediate profile
  fleet.tls.endpoint_info:
    endpoints: [www.example.com:443, smtp://mail.example.com:25]
    enumerate: true
    profiles: [mozilla_intermediate]
  delegate_to: localhost
  run_once: true
  register: accepted

- name: Say what is too much
  ansible.builtin.assert:
    that: item.profiles.mozilla_intermediate.conforms
    fail_msg: "{{ item.endpoint }}: {{ item.profiles.mozilla_intermediate.violations }}"
    quiet: true
  loop: "{{ accepted.endpoints }}"
  loop_control:
    label: "{{ item.endpoint }}"
  run_once: true

- name: Why does the backend refuse this client
  fleet.tls.endpoint_info:
    endpoints: [backend.example.com:8443]
    origin: host
    client_certificate: /etc/fleet-tls/live/app/fullchain.pem
    client_key: /etc/fleet-tls/live/app/privkey.pem
    trace: true
    resumption: true
  register: seen

- name: Draw the handshake, and the one that resumes its session
  ansible.builtin.debug:
    msg: "{{ seen.endpoints[0] | fleet.tls.handshake_diagram }}"
"""

RETURN = r"""
counts:
  description: How many endpoints there are, are reachable and are not, are trusted, and have problems, an error among them.
  returned: always
  type: dict
  sample: {endpoints: 3, reachable: 2, unreachable: 1, trusted: 2, with_problems: 1}
openssl:
  description: >-
    The version of OpenSSL that shook hands, the controller's or with O(origin=host) the host's. What it does not know no endpoint can show it.
    Before 3.5 that is ML-KEM (C(X25519MLKEM768)) and ML-DSA.
  returned: always
  type: str
  sample: 3.0.17
results_file:
  description: Where the results are.
  returned: with O(results_file)
  type: str
endpoints_left_out:
  description: How many endpoints with problems are in the file alone.
  returned: with O(results_file)
  type: int
endpoints:
  description: What each endpoint showed, in the order of the option. With O(results_file), only some of those with problems.
  returned: always
  type: list
  elements: dict
  contains:
    endpoint:
      description: Host and port.
      type: str
      sample: www.example.com:443
    host:
      description: The host.
      type: str
    port:
      description: The port.
      type: int
    server_name:
      description: The name that was asked for, or null.
      type: str
    reachable:
      description: Whether it showed a certificate. It may have refused the handshake after that, see RV(endpoints[].error).
      type: bool
    error:
      description: Why the handshake failed, or null.
      type: str
      sample: "connection refused: nothing listens there"
    protocol:
      description: The version that was agreed on.
      type: str
      sample: TLSv1.3
    cipher:
      description: The cipher suite, by OpenSSL's name.
      type: str
      sample: TLS_AES_256_GCM_SHA384
    group:
      description: The group in which keys were agreed on, by OpenSSL's name. V(dh-2048) and the like for finite fields with TLS 1.2.
      type: str
      sample: x25519
    signature_scheme:
      description:
        - The algorithm with which the endpoint signed the handshake, by its name in TLS. Null where nothing was signed, as with RSA key exchange,
          or before TLS 1.2.
      type: str
      sample: ecdsa_secp256r1_sha256
    alpn:
      description: The protocol that was agreed on, of O(alpn), or null.
      type: str
      sample: h2
    ticket_key_name:
      description:
        - The name of the key that a session ticket was encrypted with, hexadecimal, which is the same wherever keys are shared. Null where none came.
          TLS 1.3 sends tickets after the handshake, so there it is certain to be seen with O(resumption) only.
      type: str
      sample: 7d8b61ec7f8c1d5d8e57e0f1ce0f0c3c
    client_certificate:
      description:
        - Null where the endpoint did not ask for one. V(requested) where it asked, got none and went on.
        - V(accepted) where it took ours. This is the handshake's view. Some servers, nginx among them, refuse a bad one in HTTP later.
        - V(refused) where it ended the connection after asking, for there was none, or none it would take.
      type: str
    attempts:
      description: How many handshakes that took, see O(retries).
      type: int
    seconds:
      description: How long the last of them took.
      type: float
    resumption:
      description: Null without O(resumption).
      type: dict
      contains:
        offered:
          description: Whether there was a session to resume, by ticket or in the server's cache.
          type: bool
        resumed:
          description: Whether the endpoint resumed it. Null where there was none, or that handshake failed.
          type: bool
        error:
          description: Why it failed, or null.
          type: str
        at:
          description: The same for each of O(resume_at), with its C(endpoint).
          type: list
          elements: dict
    staple:
      description: The stapled OCSP answer. Null without O(stapling), or without a certificate.
      type: dict
      contains:
        present:
          description: Whether there was one. Null where that cannot be told.
          type: bool
        status:
          description: V(good), V(revoked) or V(unknown), or the responder's error.
          type: str
        this_update:
          description: From when it is, in C(openssl)'s form.
          type: str
          sample: Nov 24 10:00:00 2026 GMT
        next_update:
          description: Until when it holds, in C(openssl)'s form, or null.
          type: str
        error:
          description: Why it cannot be told, or null.
          type: str
    accepts:
      description: What it accepts. Null without O(enumerate).
      type: dict
      contains:
        protocols:
          description:
            - From versions, such as C(TLSv1.3), to what is accepted in them. C(suites) and C(signature_schemes) have IANA's names, C(groups)
              OpenSSL's, or C(dh-2048) and the like for finite fields before TLS 1.3. Their order means nothing.
            - Versions that it refuses are not there.
          type: dict
        handshakes:
          description: How many handshakes that took.
          type: int
        error:
          description: Why there may be more that it accepts, or null.
          type: str
    profiles:
      description:
        - From O(profiles) to what each says of RV(endpoints[].accepts).
        - C(document) and C(source) name it. C(conforms) is null where nothing was found and not all is known.
        - C(violations) is a list of dictionaries with C(what) (C(protocols), C(suites), C(groups) or C(signature_schemes)), C(value), C(protocol),
          C(problem) (C(not_allowed), or C(required) for what is missing) and C(rule), the rule's name in the document, or null.
      type: dict
      sample: {}
    ml_dsa:
      description: >-
        Whether no certificate was seen because its key is ML-DSA, and the OpenSSL that asked is older than 3.5. RV(endpoints[].error) says so, too.
      type: bool
    post_quantum:
      description: >-
        Whether it agrees on keys with C(X25519MLKEM768). Null without O(post_quantum) and O(enumerate), and where it cannot be told.
      type: bool
    chain:
      description: The certificates it sent, as PEM, in its order, 64 at most.
      type: list
      elements: str
    other_chain:
      description: >-
        With O(key_types), what it sends to clients that take no keys of the kind of its first certificate, as PEM. Empty where there is
        nothing else.
      type: list
      elements: str
    other_certificates:
      description: The same certificates, read, like RV(endpoints[].certificates). What is wrong with them is in RV(endpoints[].problems), too.
      type: list
      elements: dict
    certificates:
      description: The same certificates, read. What cannot be read of one is null or empty, and C(error) says why.
      type: list
      elements: dict
      contains:
        subject:
          description: Subject, as RFC 4514 text. The names where it is empty.
          type: str
        issuer:
          description: Issuer, as RFC 4514 text.
          type: str
          sample: CN=internal CA
        common_name:
          description: Common name of the subject, or null.
          type: str
        dns_names:
          description: DNS names.
          type: list
          elements: str
        ip_addresses:
          description: IP addresses.
          type: list
          elements: str
        uris:
          description: URIs.
          type: list
          elements: str
        email_addresses:
          description: Mail addresses.
          type: list
          elements: str
        usages:
          description: Extended key usages.
          type: list
          elements: str
        not_before:
          description: Valid from, UTC.
          type: str
        not_after:
          description: Valid until, UTC.
          type: str
          sample: "2027-02-21T10:00:00Z"
        days_left:
          description: Days until then, by the controller's clock. Negative once it has expired.
          type: float
        serial:
          description: Serial number, hexadecimal.
          type: str
        fingerprint_sha256:
          description: SHA-256 of the certificate, hexadecimal, lower case.
          type: str
        key_algorithm:
          description: The kind of its key.
          type: str
          sample: ecdsa-p256
        signature_algorithm:
          description: How it is signed.
          type: str
          sample: ecdsa-with-SHA256
        error:
          description: Why it cannot be read, or null.
          type: str
    problems:
      description:
        - What a client would object to, in words. Dates, names and usages, certificates that cannot be read, weak keys and signatures, and with
          O(anchors) the chain, the constraints of its CAs among it.
      type: list
      elements: str
      sample: ["the certificate expired on 2026-11-01T00:00:00Z"]
    notices:
      description: With O(anchors), what clients do not refuse though it is not as it ought to be, such as certificates in the wrong order.
      type: list
      elements: str
      sample: []
    trusted:
      description: Whether there are no problems and the chain leads to O(anchors). Null without O(anchors), or without a certificate.
      type: bool
    trace:
      description: The handshake, message by message.
      returned: with O(trace)
      type: dict
      contains:
        recorded:
          description: Whether the probing Python can show messages. If it cannot, there is only the outcome.
          type: bool
        starttls:
          description: The protocol in which TLS was asked for, or null.
          type: str
        connections:
          description:
            - The first connection. With O(resumption), then one that offered its session, and one for each of O(resume_at). These are not there
              where the first one left no session.
          type: list
          elements: dict
          contains:
            endpoint:
              description: Host and port.
              type: str
            connected:
              description: Seconds until the TCP connection was up. Null where it never was.
              type: float
            messages:
              description: Every TLS message, both ways, in the order in which the client sent and read them.
              type: list
              elements: dict
              contains:
                number:
                  description: Which one it is, from 1.
                  type: int
                sender:
                  description: V(client) or V(server).
                  type: str
                at:
                  description: Seconds since the connection was begun, to the microsecond. Of a message of the server, when it was read.
                  type: float
                protocol:
                  description: The version of TLS that was agreed on by then, or null.
                  type: str
                content:
                  description: V(handshake), V(alert) or V(change_cipher_spec).
                  type: str
                name:
                  description: Its name in the RFCs.
                  type: str
                  sample: CertificateVerify
                size:
                  description: Bytes, with its header and without that of the record it travels in.
                  type: int
                encrypted:
                  description: Whether it was encrypted on the wire.
                  type: bool
                details:
                  description:
                    - What it says. C(versions), C(version), C(ciphers), C(cipher), C(groups), C(group), C(key_shares), C(server_name),
                      C(server_name_known), C(alpn), C(signature_schemes), C(signature_scheme), C(session_id), C(psk), C(ticket_size),
                      C(ticket_key_name), C(lifetime) (seconds), C(count) (of certificates), C(authorities) (names of CAs),
                      C(ocsp_stapled), C(level) and C(description) of an alert, as far as they apply.
                    - C(malformed) where it is not well-formed.
                  type: dict
                certificates:
                  description: Of a C(Certificate), as in RV(endpoints[].certificates).
                  type: list
                  elements: dict
            summary:
              description: What the messages add up to.
              type: dict
              contains:
                verdict:
                  description: The outcome in a sentence.
                  type: str
                  sample: "failed after the client's Finished: expired client certificate: 'CN=app' ended on 2026-11-01T00:00:00Z"
                outcome:
                  description: V(complete) or V(failed).
                  type: str
                code:
                  description:
                    - V(complete), or why it failed. V(no_connection), V(starttls_refused), V(plain_http), V(not_tls), V(timeout), V(reset),
                      V(closed), V(broken), V(flooded), V(no_common_version), V(no_common_cipher), V(no_common_protocol), V(unknown_name),
                      V(client_certificate_required), V(client_certificate_expired), V(client_certificate_unknown_ca),
                      V(client_certificate_incomplete), V(client_certificate_revoked), V(client_certificate_refused), V(client_key),
                      V(client_files), V(client_refused), V(server_error) or V(refused).
                  type: str
                why:
                  description: Why it failed, in words, or null.
                  type: str
                failed_after:
                  description: The last message before it failed, as C(sender), C(name) and C(number). Null where there was none.
                  type: dict
                ended_by:
                  description: V(client) or V(server). Null for nobody.
                  type: str
                alert:
                  description: The fatal alert, as C(sender), C(level) and C(description), or null.
                  type: dict
                protocol:
                  description: The version that was agreed on.
                  type: str
                cipher:
                  description: The cipher suite.
                  type: str
                group:
                  description: The group in which keys were agreed on.
                  type: str
                server_name:
                  description: The name that was sent.
                  type: str
                alpn:
                  description: The application protocol that was agreed on.
                  type: str
                handshake:
                  description: V(full) or V(resumed).
                  type: str
                resumed_by:
                  description: V(ticket), or V(cache) where the server keeps sessions itself, or null.
                  type: str
                authentication:
                  description: V(one-way), or V(mutual) where the client showed a certificate too. That of the first one where it was resumed.
                  type: str
                round_trips:
                  description: How often the client waited for the server before it could send data. That of TCP is not counted.
                  type: int
                seconds:
                  description: From the ClientHello until the handshake was through, or to its last message.
                  type: float
                sent:
                  description: Bytes that the client sent in TLS records.
                  type: int
                received:
                  description: Bytes that it received in TLS records.
                  type: int
                objections:
                  description: Why a client that verifies would have hung up, as in RV(endpoints[].problems).
                  type: list
                  elements: str
                notes:
                  description: What else is worth knowing.
                  type: list
                  elements: str
"""
