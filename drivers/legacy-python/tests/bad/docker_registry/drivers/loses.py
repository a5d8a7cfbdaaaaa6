# SPDX-License-Identifier: Apache-2.0
"""Takes an upload, says nothing, and has no object afterwards."""

import badness


class Storage(badness.Storage):
    def put_content(self, path, content):
        if not self.is_bad("put_content"):
            super(Storage, self).put_content(path, content)

    def stream_write(self, path, fp):
        if not self.is_bad("stream_write"):
            super(Storage, self).stream_write(path, fp)
        while fp.read(65536):
            pass
