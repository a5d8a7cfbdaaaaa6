"""IdentityService: the handshake, what the driver can and may be asked for, and its state (contract section H)."""

import os
import uuid

import grpc

from driver import driver_pb2 as pb
from driver import driver_pb2_grpc
from driver.errors import Failure, Reason, doing
from driver.keys import STORE_ID_KEY, is_store_id
from driver.limits import MAX_CHUNK, MAX_INLINE, MAX_PAGE, UPLOAD_TTL
from driver.sessions import Sessions
from driver.store import Store
from driver.threads import in_thread

NAME = "driver-python"
VERSION = "0.1.0"

_DEFAULT_GRACE = 5.0


class IdentityService(driver_pb2_grpc.IdentityServiceServicer):
    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions
        self._instance = str(uuid.uuid4())  # new at each start (H4)

    async def Handshake(self, request: pb.HandshakeRequest, context: grpc.aio.ServicerContext) -> pb.HandshakeResponse:
        # Every minor version of major 1 is understood (H3).
        if not any(version.major == 1 for version in request.supported):
            raise Failure(
                Reason.VERSION_MISMATCH, "this driver speaks version 1 of the contract, which was not offered"
            )
        store_id = await in_thread(_store_id, self._store)
        if request.HasField("expected_store_id") and request.expected_store_id != store_id:
            raise Failure(
                Reason.STORE_MISMATCH,
                f"the store is {store_id!r}, not {request.expected_store_id[:100]!r}; "
                "give the driver another root, or the core another id",
            )
        response = pb.HandshakeResponse(
            selected=pb.Version(major=1, minor=0),
            driver_name=NAME,
            driver_version=VERSION,
            driver_instance=self._instance,
            store_id=store_id,
            capabilities=_capabilities(),
            limits=_limits(),
        )
        response.now.GetCurrentTime()
        return response

    async def Probe(self, request: pb.ProbeRequest, context: grpc.aio.ServicerContext) -> pb.ProbeResponse:
        return await in_thread(_probe, self._store)

    async def Drain(self, request: pb.DrainRequest, context: grpc.aio.ServicerContext) -> pb.DrainResponse:
        grace = request.grace.ToTimedelta().total_seconds() if request.HasField("grace") else _DEFAULT_GRACE
        self._sessions.is_draining = True
        return pb.DrainResponse(sessions_left_open=await in_thread(self._sessions.settle_all, grace))


def _capabilities() -> pb.Capabilities:
    """What is true of one process on a local directory, and no more (R1)."""
    return pb.Capabilities(
        durability=pb.DURABILITY_STABLE,
        range_read=True,
        put_if_absent=True,
        put_if_match=True,
        delete_if_match=True,
        list_is_current=True,
        move=pb.MOVE_COST_RENAME,
    )


def _limits() -> pb.Limits:
    limits = pb.Limits(max_chunk_bytes=MAX_CHUNK, max_inline_bytes=MAX_INLINE, max_page=MAX_PAGE)
    limits.upload_ttl.FromSeconds(int(UPLOAD_TTL))
    return limits


def _store_id(store: Store) -> str:
    """Empty only if the store was never initialised, and not if that can't be read (H7)."""
    if store.look(STORE_ID_KEY) is None:
        return ""
    with doing("read the store's id"), store.open_file(STORE_ID_KEY, "r") as file:
        store_id = file.readall().decode(errors="replace").strip()
    store.require_root()
    if not is_store_id(store_id):
        raise Failure(Reason.IO_ERROR, f"{STORE_ID_KEY} holds no store id; restore it from a backup")
    return store_id


def _probe(store: Store) -> pb.ProbeResponse:
    """H12."""
    store.require_root()
    found = store.file_system()
    response = pb.ProbeResponse(state=pb.ProbeResponse.STATE_READY, bytes_free=found.f_bavail * found.f_frsize)
    if found.f_flag & os.ST_RDONLY:
        response.state, response.reason = pb.ProbeResponse.STATE_READ_ONLY, "the file system is mounted read-only"
    if store.is_broken:
        response.state = pb.ProbeResponse.STATE_READ_ONLY
        response.reason = "a sync failed; look after the disk, then restart the driver"
    return response
