# SPDX-License-Identifier: Apache-2.0
"""Needs an SDK that nobody has."""

import an_sdk_that_is_not_there  # noqa: F401


class Storage(object):
    pass
