# SPDX-License-Identifier: Apache-2.0
"""Opens what it never closes."""

import os

import badness


class Storage(badness.BeforeEachCall):
    def before(self, call):
        os.open(os.devnull, os.O_RDONLY)
