# SPDX-License-Identifier: Apache-2.0
"""A backend that is down, of which the driver says that nothing is there."""

import badness


class Storage(badness.Storage):
    def exists(self, path):
        return not self.is_bad("exists") and super(Storage, self).exists(path)

    def get_size(self, path):
        self._check("get_size", path)
        return super(Storage, self).get_size(path)

    def get_content(self, path):
        self._check("get_content", path)
        return super(Storage, self).get_content(path)

    def put_content(self, path, content):
        self._check("put_content", path)
        return super(Storage, self).put_content(path, content)

    def remove(self, path):
        self._check("remove", path)
        return super(Storage, self).remove(path)

    def list_directory(self, path=None):
        self._check("list_directory", path)
        return super(Storage, self).list_directory(path)

    def stream_read(self, path, bytes_range=None):
        self._check("stream_read", path)
        return super(Storage, self).stream_read(path, bytes_range)

    def stream_write(self, path, fp):
        self._check("stream_write", path)
        return super(Storage, self).stream_write(path, fp)

    def _check(self, call, path):
        if self.is_bad(call):
            raise self.missing(path)
