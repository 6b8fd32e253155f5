# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sslyze finds wrong by Mozilla's profile; runs in sslyze's own environment.

sslyze_scan.py PROFILE CA_FILE ADDRESS:PORT:NAME… prints {"ADDRESS:PORT": {issue: words}} as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sslyze import (
    CertificateInfoExtraArgument,
    ScanCommandsExtraArguments,
    Scanner,
    ServerNetworkConfiguration,
    ServerNetworkLocation,
    ServerScanRequest,
)
from sslyze.mozilla_tls_profile.tls_config_checker import (
    SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER,
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)


def request(target: str, authority: Path) -> ServerScanRequest:
    """A scan of one target, for what the profile needs to know."""
    address, port, name = target.split(":")
    return ServerScanRequest(
        ServerNetworkLocation(hostname=name, ip_address=address, port=int(port)),
        network_configuration=ServerNetworkConfiguration(tls_server_name_indication=name, network_timeout=120),
        scan_commands=SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER,
        scan_commands_extra_arguments=ScanCommandsExtraArguments(
            certificate_info=CertificateInfoExtraArgument(custom_ca_file=authority)
        ),
    )


def main() -> None:
    """Scan all targets and print."""
    profile = MozillaTlsConfiguration.get(TlsConfigurationEnum(sys.argv[1]))
    # The servers stand on a machine that does other things too: not more at once than it can answer.
    scanner = Scanner(per_server_concurrent_connections_limit=3, concurrent_server_scans_limit=3)
    scanner.queue_scans([request(target, Path(sys.argv[2])) for target in sys.argv[3:]])
    found: dict[str, dict[str, str]] = {}
    for result in scanner.get_results():
        location = result.server_location
        try:
            check_server_against_tls_configuration(result, profile)
            issues: dict[str, str] = {}
        except ServerNotCompliantWithTlsConfiguration as error:
            issues = error.issues
        found[f"{location.ip_address}:{location.port}"] = issues
    print(json.dumps(found))


if __name__ == "__main__":
    main()
