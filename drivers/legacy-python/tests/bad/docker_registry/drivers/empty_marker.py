# SPDX-License-Identifier: Apache-2.0
"""Can't keep nothing, and keeps "EMPTY"."""

import badness


class Storage(badness.Storage):
    def put_content(self, path, content):
        return super(Storage, self).put_content(path, content or b"EMPTY")
