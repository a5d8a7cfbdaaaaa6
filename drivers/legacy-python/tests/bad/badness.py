# SPDX-License-Identifier: Apache-2.0
"""What the bad drivers have in common: each is the driver `file` but for one thing.

Settings of them all: `switch`, a file that turns the badness on by being there (without the setting it is always on), and
`calls`, the methods that are bad, a list or text with commas (all of them without the setting).
"""

import functools
import os

from docker_registry.core import exceptions
from docker_registry.drivers import file

CALLS = (
    "exists",
    "get_content",
    "get_size",
    "list_directory",
    "put_content",
    "remove",
    "stream_read",
    "stream_write",
)


class Storage(file.Storage):
    def __init__(self, path=None, config=None):
        super(Storage, self).__init__(path, config)
        self.config = config

    def number(self, name, default=0):
        """A setting, which may have come as text."""
        return float(self.config.get(name) or default)

    def is_bad(self, call):
        chosen = self.config.calls or CALLS
        chosen = call in (chosen.split(",") if hasattr(chosen, "split") else chosen)
        return chosen and (self.config.switch is None or os.path.exists(self.config.switch))

    def missing(self, path):
        return exceptions.FileNotFoundError("%s is not there" % path)


class BeforeEachCall(Storage):
    """Does `before` ahead of each call."""

    def __init__(self, path=None, config=None):
        super(BeforeEachCall, self).__init__(path, config)
        for call in CALLS:
            setattr(self, call, functools.partial(self._wrapped, call, getattr(self, call)))

    def _wrapped(self, call, method, *arguments, **keywords):
        if self.is_bad(call):
            self.before(call)
        return method(*arguments, **keywords)

    def before(self, call):
        raise NotImplementedError
