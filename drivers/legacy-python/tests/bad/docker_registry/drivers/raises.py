# SPDX-License-Identifier: Apache-2.0
"""Raises what the setting `raise` names."""

import errno
import socket

import badness
from docker_registry.core import exceptions


class Custom(BaseException):
    """Is no Exception, and can't be printed."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class OldStyle:
    """In Python 2 a class that derives from nothing, but can be raised there."""

    def __str__(self):
        return "old style"


class ClientException(Exception):
    """As the one of swiftclient."""


def recursion():
    return recursion() + 1


class Storage(badness.BeforeEachCall):
    RAISED = {
        "SystemExit": lambda: SystemExit(3),
        "KeyboardInterrupt": KeyboardInterrupt,
        "GeneratorExit": GeneratorExit,
        "StopIteration": StopIteration,
        "MemoryError": MemoryError,
        "Custom": Custom,
        "OldStyle": OldStyle,
        "TypeError": lambda: TypeError("a\x1b[31mb\n" + 2000 * "c"),
        "NoSpace": lambda: OSError(errno.ENOSPC, "No space left on device"),
        "NoSuchFile": lambda: OSError(errno.ENOENT, "No such file or directory"),
        "timeout": lambda: socket.timeout("timed out"),
        "ClientException": lambda: ClientException("503"),
        "FileNotFoundError": lambda: exceptions.FileNotFoundError("not there"),
        "UnreachableError": lambda: exceptions.UnreachableError("unreachable"),
        "ConfigError": lambda: exceptions.ConfigError("no bucket"),
        "WrongArgumentsError": lambda: exceptions.WrongArgumentsError("what"),
        "NotImplementedError": lambda: exceptions.NotImplementedError("not here"),
    }

    def before(self, call):
        if self.config.get("raise") == "RecursionError":
            recursion()
        raise self.RAISED[self.config.get("raise")]()
