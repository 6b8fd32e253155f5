# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's settings for the site; tests/tools/site.py lays out the pages and builds it."""

from __future__ import annotations

project = "fleet.tls"
copyright = "contributors to fleet.tls"
extensions = ["myst_parser", "sphinx_antsibull_ext", "sphinxcontrib.mermaid"]
# Names in backquotes, as antsibull-docs writes them.
default_role = "any"
highlight_language = "YAML+Jinja"
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# Ansible's own documentation, which is elsewhere, and examples that are not all YAML.
# The changelog has no title before the first release.
suppress_warnings = ["ref.ref", "misc.highlighting_failure", "toc.no_title"]
exclude_patterns = ["docs/docsite"]
html_theme = "furo"
html_title = "fleet.tls"
html_copy_source = False
