# SPDX-License-Identifier: Apache-2.0
"""Joins the drivers for tests with those that are installed, with or without setuptools."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
