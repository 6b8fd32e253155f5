# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RabbitMQ keeps what it has read of PEM files until its cache is cleared."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.module_utils.services.presets import Preset

PRESET = Preset(
    units=("rabbitmq-server",),
    reload=("rabbitmqctl", "eval", "ssl:clear_pem_cache()."),
    through_unit=False,
    endpoints=("127.0.0.1:5671",),
    programs=("beam.smp",),
    user="rabbitmq",
)
