"""DIRECTORY DEVICE NAME=PORT...: a ring of one device for each server. Three runs of swift-ring-builder for each would
take as long as everything else together."""

import os
import sys
import tempfile

from swift.common.ring import RingBuilder

directory, device, *servers = sys.argv[1:]

with tempfile.NamedTemporaryFile(dir=device) as probe:
    try:
        os.setxattr(probe.name, b"user.swift.metadata", b"x" * 3000)
    except OSError as error:
        sys.exit(f"{device} takes no user attributes, which swift keeps its metadata in: {error}")

for server in servers:
    name, port = server.split("=")
    builder = RingBuilder(4, 1, 0)
    where = {"ip": "127.0.0.1", "port": int(port), "device": "d1"}
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "meta": "", **where})
    builder.rebalance(seed="longshore")
    builder.get_ring().save(os.path.join(directory, f"{name}.ring.gz"))
