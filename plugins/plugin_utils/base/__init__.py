# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and parsers that know nothing of certificates. What all others import first, so here it is seen to that none is compiled in every run."""

from __future__ import annotations

from ansible_collections.fleet.tls.plugins.plugin_utils.base.compiled import CompiledOnce

CompiledOnce.install()
