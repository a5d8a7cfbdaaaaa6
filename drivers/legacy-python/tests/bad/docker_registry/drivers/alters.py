# SPDX-License-Identifier: Apache-2.0
"""Keeps the size of what is written, and changes the byte at `at` (0 without the setting)."""

import badness


class Storage(badness.Storage):
    def put_content(self, path, content):
        super(Storage, self).put_content(path, content)
        if self.is_bad("put_content"):
            self._alter(path)

    def stream_write(self, path, fp):
        super(Storage, self).stream_write(path, fp)
        if self.is_bad("stream_write"):
            self._alter(path)

    def _alter(self, path):
        with open(self._init_path(path), "r+b") as file:
            file.seek(int(self.number("at")))
            byte = ord(file.read(1))
            file.seek(int(self.number("at")))
            file.write(bytearray([byte ^ 1]))
