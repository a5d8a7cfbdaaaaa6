# SPDX-License-Identifier: Apache-2.0
"""Sizes are text, as of a header; `size` says which text instead."""

import badness


class Storage(badness.Storage):
    def get_size(self, path):
        size = super(Storage, self).get_size(path)
        return (self.config.size or str(size)) if self.is_bad("get_size") else size
