# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenLDAP's server takes a pair when its path is written into cn=config, be it the same one again. Needs Debian's ldap-utils."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

# Nobody may write it but root, over the server's own socket.
TAKE_AGAIN = """ask="-Q -Y EXTERNAL -H ldapi:///"
path=$(ldapsearch $ask -LLL -o ldif-wrap=no -s base -b cn=config olcTLSCertificateFile | sed -n 's/^olcTLSCertificateFile: //p')
test "$path" || { echo "cn=config has no olcTLSCertificateFile" >&2; exit 1; }
printf 'dn: cn=config\\nchangetype: modify\\nreplace: olcTLSCertificateFile\\nolcTLSCertificateFile: %s\\n' "$path" | ldapmodify $ask
"""

PRESET = Preset(
    units=("slapd",),
    reload=("sh", "-ec", TAKE_AGAIN),
    through_unit=False,
    endpoints=("ldap://127.0.0.1:389", "127.0.0.1:636"),
    programs=("slapd",),
    user="openldap",
)
