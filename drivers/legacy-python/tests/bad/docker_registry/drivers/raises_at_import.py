# SPDX-License-Identifier: Apache-2.0
"""Its module can't be run."""

raise ValueError("this driver does not like to be imported")
