# SPDX-License-Identifier: Apache-2.0
"""Has objects where folders are, whose content is "DIRECTORY"."""

import os

import badness

CONTENT = b"DIRECTORY"


class Storage(badness.Storage):
    def is_one(self, path, call):
        return self.is_bad(call) and os.path.isdir(self._init_path(path))

    def get_content(self, path):
        return CONTENT if self.is_one(path, "get_content") else super(Storage, self).get_content(path)

    def get_size(self, path):
        return len(CONTENT) if self.is_one(path, "get_size") else super(Storage, self).get_size(path)
