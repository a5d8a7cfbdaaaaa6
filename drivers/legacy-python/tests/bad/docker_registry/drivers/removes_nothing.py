# SPDX-License-Identifier: Apache-2.0
"""Says that it removed, and did not."""

import badness


class Storage(badness.Storage):
    def remove(self, path):
        if not self.is_bad("remove"):
            super(Storage, self).remove(path)
