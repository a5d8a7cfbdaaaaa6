"""Whole objects: Stat, Get, Put, Delete, Move (contract section O)."""

import os

from driver import driver_pb2 as pb
from driver.errors import Failure, Reason, doing
from driver.keys import STORE_ID_KEY, check_key, check_readable_key, is_store_id
from driver.limits import MAX_INLINE, MOST_DELETES
from driver.store import Store, etag_of, read_at


def stat(store: Store, request: pb.StatRequest) -> pb.StatResponse:
    check_readable_key(request.key)
    return pb.StatResponse(object=object_of(request.key, store.find(request.key)))


def get(store: Store, request: pb.GetRequest) -> pb.GetResponse:
    key = request.key
    check_readable_key(key)
    with store.open_object(key) as file:
        found = os.fstat(file.fileno())
        if found.st_size > MAX_INLINE:
            raise Failure(
                Reason.TOO_LARGE,
                f"the object at key {key} has {found.st_size} bytes; read more than {MAX_INLINE} as a stream",
            )
        return pb.GetResponse(object=object_of(key, found), content=read_at(file, found.st_size, 0))


def put(store: Store, request: pb.PutRequest) -> pb.PutResponse:
    _check_put(request)
    store.require_writable()
    with doing(f"write the content of key {request.key}"):
        temporary = store.write_temporary(request.content)
        try:
            return pb.PutResponse(object=_publish(store, temporary, request))
        except BaseException:
            store.remove_quietly(temporary)
            raise


def _check_put(request: pb.PutRequest) -> None:
    condition = request.WhichOneof("condition")
    if condition is None:
        raise Failure(Reason.REQUEST_NOT_UNDERSTOOD, "a Put without a condition that this driver knows")
    if len(request.content) > MAX_INLINE:
        raise Failure(
            Reason.TOO_LARGE, f"{len(request.content)} bytes for one Put; upload more than {MAX_INLINE} as a session"
        )
    if request.key != STORE_ID_KEY:
        check_key(request.key)
        return
    if condition != "if_absent":
        raise Failure(Reason.NOT_SUPPORTED, "the store's id is written once, with if_absent (K4)")
    if not is_store_id(request.content.decode(errors="replace")):
        raise Failure(Reason.REQUEST_NOT_UNDERSTOOD, f"{request.content[:100]!r} is no store id: 1 to 64 of A-Za-z0-9-")


def _publish(store: Store, temporary: str, request: pb.PutRequest) -> pb.Object:
    """Decides and writes in one step, for no other writer has the key meanwhile (H10)."""
    key = request.key
    with store.locked(key):
        _check_condition(store, request)
        written = os.lstat(temporary, dir_fd=store.root)
        store.make_room(key)
        store.place(temporary, key)
        store.sync_folders(key)
    return object_of(key, written)


def _check_condition(store: Store, request: pb.PutRequest) -> None:
    found = store.look(request.key)
    condition = request.WhichOneof("condition")
    if condition == "if_absent" and found is not None:
        raise taken(request.key)
    if condition == "if_match":
        check_match(request.key, found, request.if_match)


def taken(key: str) -> Failure:
    return Failure(Reason.KEY_EXISTS, f"there is an object at key {key} already")


def check_match(key: str, found: os.stat_result | None, etag: str) -> None:
    if found is None:
        raise Failure(Reason.PRECONDITION_FAILED, f"there is no object at key {key}")
    if etag_of(found) != etag:
        raise Failure(
            Reason.PRECONDITION_FAILED, f"the object at key {key} has etag {etag_of(found)}, not {etag[:100]}"
        )


def delete(store: Store, request: pb.DeleteRequest) -> pb.DeleteResponse:
    """Syncs once for all items: also for what was not there, since its end may not be durable yet (O9)."""
    if len(request.items) > MOST_DELETES:
        raise Failure(
            Reason.REQUEST_NOT_UNDERSTOOD, f"{len(request.items)} items in one Delete; at most {MOST_DELETES}"
        )
    store.require_writable()
    response, gone = pb.DeleteResponse(), []
    for item in request.items:
        try:
            response.outcomes.add(existed=_delete_one(store, item))
            gone.append(item.key)
        except Failure as failure:
            response.outcomes.add(code=failure.number, reason=failure.reason.name)
    store.sync_folders(*gone)
    return response


def _delete_one(store: Store, item: pb.DeleteRequest.Item) -> bool:
    check_key(item.key)
    with store.locked(item.key):
        found = store.look(item.key)
        if found is None:
            return False
        if item.HasField("if_match"):
            check_match(item.key, found, item.if_match)
        with doing(f"delete key {item.key}"):
            os.unlink(item.key, dir_fd=store.root)
        store.prune(item.key)
    return True


def move(store: Store, request: pb.MoveRequest) -> pb.MoveResponse:
    source, key = getattr(request, "from"), request.to
    check_key(source)
    check_key(key)
    store.require_writable()
    with store.locked(source, key):
        found = store.find(source)
        if store.look(key) is not None:
            raise taken(key)
        store.make_room(key)
        store.place(source, key)
        store.prune(source)
        # The new name first: a power cut between may leave both, but never none.
        store.sync_folders(key, source)
    return pb.MoveResponse(object=object_of(key, found))


def object_of(key: str, found: os.stat_result) -> pb.Object:
    described = pb.Object(key=key, size=found.st_size, etag=etag_of(found))
    described.modified.FromNanoseconds(found.st_mtime_ns)
    return described
