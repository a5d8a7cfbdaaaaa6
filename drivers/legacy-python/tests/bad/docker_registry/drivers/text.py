# SPDX-License-Identifier: Apache-2.0
"""Gives text for bytes."""

import badness


class Storage(badness.Storage):
    def get_content(self, path):
        content = super(Storage, self).get_content(path)
        return content.decode("latin-1") if self.is_bad("get_content") else content

    def stream_read(self, path, bytes_range=None):
        for piece in super(Storage, self).stream_read(path, bytes_range):
            yield piece.decode("latin-1") if self.is_bad("stream_read") else piece
