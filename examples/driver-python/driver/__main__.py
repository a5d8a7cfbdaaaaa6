"""Settings, the server, and how it stops."""

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
import threading

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health

from driver import driver_pb2_grpc, endpoint, file_system
from driver.calls import AroundCalls
from driver.errors import Failure
from driver.identity import NAME, IdentityService
from driver.limits import MAX_MESSAGE, UPLOAD_TTL
from driver.service import StorageService
from driver.sessions import Sessions
from driver.store import Store
from driver.threads import in_thread

_log = logging.getLogger(__name__)

# How long calls under way may take when the driver is asked to stop (D5).
_STOP_GRACE = 5.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),  # T6
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.http2.max_frame_size", 256 << 10),  # T5
    ("grpc.http2.lookahead_bytes", 2 << 20),  # T5: the window of a stream, which is not to be guessed anew
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # T8
    ("grpc.keepalive_permit_without_calls", 1),  # T8
    ("grpc.so_reuseport", 0),  # a port that is taken is an error
)


def main() -> None:
    parser = argparse.ArgumentParser(prog=NAME, description="A storage driver for Longshore on a plain directory.")
    parser.add_argument(
        "--endpoint",
        default=os.environ.get("LONGSHORE_DRIVER_ENDPOINT"),
        help="where to listen: unix:///path or tcp://127.0.0.1:PORT (or LONGSHORE_DRIVER_ENDPOINT)",
    )
    parser.add_argument("--root", required=True, help="the directory of the store")
    settings = parser.parse_args()
    if not settings.endpoint:
        parser.error("--endpoint or LONGSHORE_DRIVER_ENDPOINT says where to listen")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    _allow_many_files()
    try:
        asyncio.run(_run(settings.endpoint, settings.root))
    except (Failure, OSError, RuntimeError, ValueError) as error:
        _log.error("the driver can't go on: %s", error)
        sys.exit(1)


def _allow_many_files() -> None:
    """Each live stream has a file open."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(where: str, root: str) -> None:
    stop = _stop_asked()
    store = await in_thread(Store, root)
    await in_thread(file_system.prepare, store)
    sessions = await in_thread(Sessions, store)
    healthy = health.HealthServicer()
    server = grpc.aio.server(interceptors=[AroundCalls()], options=_OPTIONS)
    driver_pb2_grpc.add_IdentityServiceServicer_to_server(IdentityService(store, sessions), server)
    driver_pb2_grpc.add_StorageServiceServicer_to_server(StorageService(store, sessions), server)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    bound = endpoint.bind(server, where)
    await server.start()
    _log.info("listening on %s", bound)
    expiry = asyncio.create_task(_expire_idle(sessions))
    await stop.wait()
    expiry.cancel()
    await healthy.enter_graceful_shutdown()
    live = await in_thread(sessions.settle_all, _STOP_GRACE)
    _log.info("stopping; %d live uploads", live)
    await server.stop(_STOP_GRACE)
    if rest := asyncio.all_tasks() - {asyncio.current_task()}:  # the ends of streams that were cut off
        await asyncio.wait(rest, timeout=1.0)


async def _expire_idle(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(UPLOAD_TTL / 24)
        await in_thread(sessions.expire_idle)


def _stop_asked() -> asyncio.Event:
    """Set when the driver is asked to stop. One that the core minds is told by the end of its standard input, and
    leaves SIGINT to the core (D6)."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if os.environ.get("LONGSHORE_DRIVER_MINDED") != "1":
        loop.add_signal_handler(signal.SIGINT, stop.set)
        return stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def mind() -> None:
        try:
            while os.read(sys.stdin.fileno(), 4096):
                pass
        finally:  # an error is an end too
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=mind, daemon=True).start()
    return stop


if __name__ == "__main__":
    main()
