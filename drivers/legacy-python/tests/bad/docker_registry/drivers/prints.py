# SPDX-License-Identifier: Apache-2.0
"""Prints, in every way there is."""

from __future__ import print_function

import os
import sys

import badness

print("noise at import")


class Storage(badness.BeforeEachCall):
    def before(self, call):
        print("noise by print in", call)
        sys.__stdout__.write("noise by sys.__stdout__ in %s\n" % call)
        sys.stderr.write("noise by sys.stderr in %s\n" % call)
        os.write(1, ("noise by write in %s\n" % call).encode("ascii"))
