# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What endpoints accept, as sslyze sees it; runs in sslyze's own environment.

sslyze_accepts.py ADDRESS|PORT|NAME… prints {PORT: {"protocols": {version: [suite]}, "curves": [name]}} as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from sslyze import ScanCommand, Scanner, ServerNetworkConfiguration, ServerNetworkLocation, ServerScanRequest

VERSIONS = {
    "TLSv1.3": ScanCommand.TLS_1_3_CIPHER_SUITES,
    "TLSv1.2": ScanCommand.TLS_1_2_CIPHER_SUITES,
    "TLSv1.1": ScanCommand.TLS_1_1_CIPHER_SUITES,
    "TLSv1": ScanCommand.TLS_1_0_CIPHER_SUITES,
    "SSLv3": ScanCommand.SSL_3_0_CIPHER_SUITES,
}


def request(target: str) -> ServerScanRequest:
    """A scan of one target."""
    address, port, name = target.split("|")
    return ServerScanRequest(
        ServerNetworkLocation(hostname=name, ip_address=address, port=int(port)),
        network_configuration=ServerNetworkConfiguration(tls_server_name_indication=name, network_timeout=120),
        scan_commands={*VERSIONS.values(), ScanCommand.ELLIPTIC_CURVES},
    )


def told(scanned: Any) -> dict[str, Any]:
    """What it accepts, in the words of the registries."""
    suites = {
        version: sorted(
            each.cipher_suite.name for each in getattr(scanned, command.value).result.accepted_cipher_suites
        )
        for version, command in VERSIONS.items()
    }
    curves = scanned.elliptic_curves.result.supported_curves or []
    return {
        "protocols": {version: found for version, found in suites.items() if found},
        "curves": sorted({each.name.lower() for each in curves}),
    }


def main() -> None:
    """Scan all targets and print."""
    scanner = Scanner(per_server_concurrent_connections_limit=3, concurrent_server_scans_limit=3)
    scanner.queue_scans([request(target) for target in sys.argv[1:]])
    print(json.dumps({each.server_location.port: told(each.scan_result) for each in scanner.get_results()}))


if __name__ == "__main__":
    main()
