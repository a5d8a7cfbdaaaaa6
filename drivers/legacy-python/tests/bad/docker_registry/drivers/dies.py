# SPDX-License-Identifier: Apache-2.0
"""Ends its process in the middle of a transfer, after `after` bytes. `how`: "exit" or "kill"."""

import os
import signal

import badness


class Storage(badness.Storage):
    def stream_read(self, path, bytes_range=None):
        moved = 0
        for piece in super(Storage, self).stream_read(path, bytes_range):
            if self.is_bad("stream_read") and moved >= self.number("after"):
                self._die()
            moved += len(piece)
            yield piece

    def stream_write(self, path, fp):
        super(Storage, self).stream_write(path, Dying(fp, self) if self.is_bad("stream_write") else fp)

    def put_content(self, path, content):
        if self.is_bad("put_content"):
            super(Storage, self).put_content(path, content[: int(self.number("after"))])
            self._die()
        return super(Storage, self).put_content(path, content)

    def _die(self):
        if self.config.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(7)


class Dying(object):
    def __init__(self, fp, storage):
        self._fp = fp
        self._storage = storage
        self._moved = 0

    def read(self, count=-1):
        if self._moved >= self._storage.number("after"):
            self._storage._die()
        piece = self._fp.read(count)
        self._moved += len(piece)
        return piece
