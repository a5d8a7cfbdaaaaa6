"""ReadStream (contract section R)."""

import os
from io import FileIO

import grpc

from driver import driver_pb2 as pb
from driver.errors import Failure, Reason
from driver.keys import check_key
from driver.limits import MAX_CHUNK
from driver.objects import check_match, object_of
from driver.store import Store, read_at
from driver.threads import in_thread


async def serve(store: Store, request: pb.ReadStreamRequest, context: grpc.aio.ServicerContext) -> None:
    check_key(request.key)
    with await in_thread(store.open_object, request.key) as file:
        found = os.fstat(file.fileno())
        if request.if_match:
            check_match(request.key, found, request.if_match)
        end = _end_of(request, found.st_size)
        await _send(context, file, request.offset, end, object_of(request.key, found))


def _end_of(request: pb.ReadStreamRequest, size: int) -> int:
    """R12."""
    if request.offset > size:
        raise Failure(
            Reason.OFFSET_PAST_END, f"offset {request.offset} is behind the end of key {request.key}, {size}", size=size
        )
    return min(size, request.offset + request.length) if request.HasField("length") else size


async def _send(
    context: grpc.aio.ServicerContext, file: FileIO, offset: int, end: int, described: pb.Object | None
) -> None:
    """A write waits as long as the core does not read: no more than one piece is read ahead (R18)."""
    while True:
        data = await in_thread(read_at, file, min(MAX_CHUNK, end - offset), offset)
        await context.write(pb.ReadStreamResponse(object=described, offset=offset, data=data))
        described = None  # with the first piece alone (R11)
        offset += len(data)
        if offset == end:
            return
