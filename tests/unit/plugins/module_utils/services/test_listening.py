# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where configurations say that their servers listen."""

from __future__ import annotations

import pytest

from ansible_collections.fleet.tls.plugins.module_utils.services import listening

APACHE = """# Listen 1
Listen 80
<IfModule ssl_module>
  Listen 127.0.0.1:443 https
  <IfModule !mod_ssl.c>
    Listen 2
  </IfModule>
</IfModule>
<IfModule mod_gnutls.c>
Listen 3
</IfModule>
<IfDefine X>
Listen 4
</IfDefine>
<IfModule !mod_gnutls.c>
listen [::1]:444
</IfModule>
<VirtualHost *:5>
</VirtualHost>
Listen ${PORT}
"""
DUMP = """Included configuration files:
  (*) /etc/apache2/apache2.conf
    (146) /etc/apache2/ports.conf
    (150) /etc/apache2/ports.conf
Loaded Modules:
 core_module (static)
 ssl_module (shared)
"""
LIGHTTPD = """config {
    var.PID = 1
    server.port = 10443
    server.bind = "127.0.0.1"
    if $SERVER["socket"] == ":7443" {
        # block 1
    }
    $SERVER["socket"] == "[::]:80" {
    }
    $SERVER["socket"] == "/run/x.sock" {
    }
    $HTTP["host"] == ":9" {
    }
}
"""


def test_apache() -> None:
    assert listening.apache_files(DUMP) == ["/etc/apache2/apache2.conf", "/etc/apache2/ports.conf"]
    modules = listening.apache_modules(DUMP)
    assert list(listening.apache(APACHE, modules)) == [("", 80), ("127.0.0.1", 443), ("[::1]", 444)]


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (LIGHTTPD, [("127.0.0.1", 10443), ("", 7443)]),
        (LIGHTTPD.replace("server.port", "x"), [("", 7443)]),
        ("", []),
    ],
)
def test_lighttpd(shown: str, found: list[tuple[str, int]]) -> None:
    assert list(listening.lighttpd(shown)) == found
