# SPDX-License-Identifier: Apache-2.0
"""Sleeps `delay` seconds ahead of each call, and of each piece that is read from or for it."""

import time

import badness


class Storage(badness.BeforeEachCall):
    def before(self, call):
        time.sleep(self.number("delay"))

    def stream_read(self, path, bytes_range=None):
        for piece in super(Storage, self).stream_read(path, bytes_range):
            yield piece
            if self.is_bad("stream_read"):
                time.sleep(self.number("delay"))

    def stream_write(self, path, fp):
        super(Storage, self).stream_write(path, Slow(fp, self.number("delay")) if self.is_bad("stream_write") else fp)


class Slow(object):
    def __init__(self, fp, delay):
        self._fp = fp
        self._delay = delay

    def read(self, count=-1):
        time.sleep(self._delay)
        return self._fp.read(count)
