"""StorageService: which function answers which call."""

from collections.abc import AsyncIterator

import grpc

from driver import driver_pb2 as pb
from driver import driver_pb2_grpc, listing, objects, reading, writing
from driver.errors import Failure, Reason
from driver.sessions import Sessions
from driver.store import Store
from driver.threads import in_thread

_Context = grpc.aio.ServicerContext


class StorageService(driver_pb2_grpc.StorageServiceServicer):
    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions

    async def Stat(self, request: pb.StatRequest, context: _Context) -> pb.StatResponse:
        return await in_thread(objects.stat, self._store, request)

    async def Get(self, request: pb.GetRequest, context: _Context) -> pb.GetResponse:
        return await in_thread(objects.get, self._store, request)

    async def Put(self, request: pb.PutRequest, context: _Context) -> pb.PutResponse:
        return await in_thread(objects.put, self._store, request)

    async def Delete(self, request: pb.DeleteRequest, context: _Context) -> pb.DeleteResponse:
        return await in_thread(objects.delete, self._store, request)

    async def Move(self, request: pb.MoveRequest, context: _Context) -> pb.MoveResponse:
        return await in_thread(objects.move, self._store, request)

    async def List(self, request: pb.ListRequest, context: _Context) -> pb.ListResponse:
        return await in_thread(listing.list_keys, self._store, request)

    async def ReadStream(self, request: pb.ReadStreamRequest, context: _Context) -> None:
        await reading.serve(self._store, request, context)

    async def WriteStream(self, requests: AsyncIterator[pb.WriteStreamRequest], context: _Context) -> None:
        await writing.serve(self._sessions, context)

    async def GetUpload(self, request: pb.GetUploadRequest, context: _Context) -> pb.GetUploadResponse:
        return await in_thread(self._sessions.get_upload, request)

    async def ListUploads(self, request: pb.ListUploadsRequest, context: _Context) -> pb.ListUploadsResponse:
        return await in_thread(self._sessions.list_uploads, request)

    async def EndUpload(self, request: pb.EndUploadRequest, context: _Context) -> pb.EndUploadResponse:
        return await in_thread(self._sessions.end_upload, request)

    async def Sign(self, request: pb.SignRequest, context: _Context) -> pb.SignResponse:
        """A directory has no URLs (O12)."""
        raise Failure(Reason.NOT_SUPPORTED, "this driver signs no URLs; read the object through the core")
