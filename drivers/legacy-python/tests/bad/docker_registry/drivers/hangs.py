# SPDX-License-Identifier: Apache-2.0
"""Does not come back. `how`: "sleep", "spin" in Python, or "gil", spinning in C, where no other thread gets its turn."""

import re
import time

import badness


class Storage(badness.BeforeEachCall):
    def before(self, call):
        if self.config.how == "gil":
            re.match("(a+)+$", 100 * "a" + "b")
        while self.config.how == "spin":
            pass
        while True:
            time.sleep(1000)
