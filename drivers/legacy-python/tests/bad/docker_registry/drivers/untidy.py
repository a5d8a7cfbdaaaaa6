# SPDX-License-Identifier: Apache-2.0
"""Lists all below a folder in no order, twice, with the root before each name, some as bytes and some as text."""

import os

import badness


class Storage(badness.Storage):
    def list_directory(self, path=None):
        below = self._init_path(path)
        names = [os.path.join(folder, name) for folder, _, files in os.walk(below) for name in files]
        if not names:
            raise self.missing(path)
        names = sorted(names, reverse=True)
        names += ["/" + name.lstrip("/") for name in names]
        return [name if number % 2 or isinstance(name, bytes) else name.encode("utf-8") for number, name in enumerate(names)]
