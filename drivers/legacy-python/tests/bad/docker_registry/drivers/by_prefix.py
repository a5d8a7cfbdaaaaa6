# SPDX-License-Identifier: Apache-2.0
"""Removes all that begins with the key."""

import os
import shutil

import badness


class Storage(badness.Storage):
    def remove(self, path):
        if not self.is_bad("remove"):
            return super(Storage, self).remove(path)
        folder, prefix = os.path.split(self._init_path(path))
        names = [name for name in os.listdir(folder) if name.startswith(prefix)] if os.path.isdir(folder) else []
        if not names:
            raise self.missing(path)
        for name in names:
            name = os.path.join(folder, name)
            shutil.rmtree(name) if os.path.isdir(name) else os.remove(name)
