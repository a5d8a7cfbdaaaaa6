# SPDX-License-Identifier: Apache-2.0
"""Has another class than the one that is looked for."""


class Store(object):
    pass
