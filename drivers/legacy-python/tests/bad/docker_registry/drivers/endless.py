# SPDX-License-Identifier: Apache-2.0
"""Has folders that never end."""

import itertools

import badness


class Storage(badness.Storage):
    def list_directory(self, path=None):
        if not self.is_bad("list_directory"):
            for name in super(Storage, self).list_directory(path):
                yield name
            return
        for number in itertools.count():
            yield "%s%d" % (path + "/" if path else "", number)
