# SPDX-License-Identifier: Apache-2.0
"""The disk is full after `room` bytes of an object (100000 without the setting), and nobody is told."""

import badness


class Storage(badness.Storage):
    def put_content(self, path, content):
        if self.is_bad("put_content"):
            content = content[: int(self.number("room", 100000))]
        return super(Storage, self).put_content(path, content)

    def stream_write(self, path, fp):
        super(Storage, self).stream_write(path, Full(fp, int(self.number("room", 100000))) if self.is_bad("stream_write") else fp)


class Full(object):
    """The driver `file` swallows errors of what it reads from."""

    def __init__(self, fp, room):
        self._fp = fp
        self._room = room

    def read(self, count=-1):
        if self._room <= 0:
            raise IOError(28, "No space left on device")
        piece = self._fp.read(count)[: self._room]
        self._room -= len(piece)
        return piece
