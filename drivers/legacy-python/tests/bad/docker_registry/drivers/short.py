# SPDX-License-Identifier: Apache-2.0
"""Reads end `missing_bytes` bytes early (1 without the setting)."""

import badness


class Storage(badness.Storage):
    def stream_read(self, path, bytes_range=None):
        content = b"".join(super(Storage, self).stream_read(path, bytes_range))
        if self.is_bad("stream_read"):
            content = content[: -int(self.number("missing_bytes", 1))]
        yield content

    def get_content(self, path):
        content = super(Storage, self).get_content(path)
        return content[: -int(self.number("missing_bytes", 1))] if self.is_bad("get_content") else content
