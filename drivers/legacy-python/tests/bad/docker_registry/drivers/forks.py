# SPDX-License-Identifier: Apache-2.0
"""Forks, and lets the child live on for `seconds`; with `returns` the child comes back out of the call as well."""

import os
import time

import badness


class Storage(badness.BeforeEachCall):
    def before(self, call):
        if os.fork() == 0 and not self.config.returns:
            time.sleep(self.number("seconds", 60))
            os._exit(0)
