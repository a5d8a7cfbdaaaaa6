# SPDX-License-Identifier: Apache-2.0
"""Is missing a setting, as it finds in its constructor. `raise`: "SystemExit" for that, "IOError" for a backend down."""


class Storage(object):
    def __init__(self, path=None, config=None):
        if config.get("raise") == "SystemExit":
            raise SystemExit("no bucket is configured")
        if config.get("raise") == "IOError":
            raise IOError(111, "Connection refused")
        raise KeyError("bucket")
