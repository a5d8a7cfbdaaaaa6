"""WriteStream: one writer of a session, step by step (contract clauses U6 to U13)."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from io import FileIO

import grpc

from driver import driver_pb2 as pb
from driver.errors import Failure, Reason, doing
from driver.limits import MAX_CHUNK
from driver.objects import taken
from driver.records import Commit, data_path, settle_commit
from driver.sessions import Session, Sessions, check_bookmark
from driver.store import etag_of, write_at
from driver.threads import in_thread

_log = logging.getLogger(__name__)

# Without a flush a mark becomes durable when so much has come in since the last (U9).
_SETTLE_AFTER = 32 << 20
# How long the end of a stream waits for the session's turn.
_LAST_TURN = 60.0


class Writer:
    """A stream that has a session, or had one. Its methods wait for the disk; all but `take` and `finish` are for
    whoever has the session's turn."""

    def __init__(self, sessions: Sessions, on_leave: Callable[[], object] = lambda: None) -> None:
        self._sessions = sessions
        self._store = sessions.store
        self._on_leave = on_leave
        self._session: Session | None = None
        self._data: FileIO | None = None  # none if the session is COMMITTED
        self._received = 0
        self._pending: pb.WriteMark | None = None  # the last mark that is not durable yet

    def begin(self, session: Session) -> None:
        """Bytes behind the last durable mark are forgotten (U3)."""
        record = session.record = settle_commit(self._store, session.known())
        if not record.is_committed:
            with doing(f"open the bytes of upload {record.upload_id}"):
                self._data = self._store.open_file(data_path(record.upload_id), "r+")
                self._data.truncate(record.durable)
        self._received = record.durable
        self._session = session

    def leave(self) -> None:
        self._on_leave()
        self._pending = None
        if self._data is not None:
            self._data.close()  # what counts was synced before

    @property
    def session(self) -> Session:
        if self._session is None:
            raise Failure(Reason.DRIVER_BUG, "a writer without a session")
        return self._session

    def take(self, request: pb.WriteStreamRequest) -> pb.WriteStreamResponse | None:
        """Takes one message, if the session is still this writer's (U4)."""
        with self.session.turn():
            if self.session.writer is not self:
                raise self.session.fenced()
            match request.WhichOneof("msg"):
                case "chunk":
                    self._chunk(request.chunk)
                    return None
                case "mark":
                    return self._mark(request.mark)
                case "commit":
                    return self._commit(request.commit)
                case _:
                    raise Failure(
                        Reason.REQUEST_NOT_UNDERSTOOD, "a message in a write stream that this driver does not know"
                    )

    def _chunk(self, chunk: pb.WriteChunk) -> None:
        if len(chunk.data) > MAX_CHUNK:
            raise Failure(Reason.TOO_LARGE, f"a chunk of {len(chunk.data)} bytes; at most {MAX_CHUNK}")
        data = self._data_at(chunk.offset)
        with doing(f"write bytes of upload {self.session.upload_id}"):
            write_at(data, chunk.data, chunk.offset)
        self._received += len(chunk.data)

    def _data_at(self, offset: int) -> FileIO:
        """For chunks and marks: nothing is added to what is committed (U15), and nothing at another offset (U6)."""
        record = self.session.known()
        if self._data is None or record.is_committed:
            raise Failure(
                Reason.UPLOAD_COMMITTED, f"upload {record.upload_id} is committed and takes nothing more; end it"
            )
        if offset != self._received:
            raise Failure(
                Reason.OFFSET_MISMATCH,
                f"offset {offset} of upload {record.upload_id} does not follow; {self._received} bytes were received",
                received=self._received,
                durable=record.durable,
            )
        return self._data

    def _mark(self, mark: pb.WriteMark) -> pb.WriteStreamResponse | None:
        check_bookmark(mark.bookmark)
        self._data_at(mark.offset)
        self._pending = mark
        if not mark.flush and mark.offset - self.session.known().durable < _SETTLE_AFTER:
            return None
        durable = self.settle()
        return pb.WriteStreamResponse(ack=pb.WriteAck(received=self._received, durable=durable))

    def settle(self) -> int:
        """Makes the last mark durable: the bytes first, then the record that names them (U8). After a failure the
        stream ends, and the next writer begins at the mark before: no later sync can acknowledge these bytes (O10)."""
        record, mark = self.session.known(), self._pending
        if mark is None or self._data is None:
            return record.durable
        self._pending = None
        try:
            self._store.require_writable()
            with doing(f"make bytes of upload {record.upload_id} durable"):
                os.fsync(self._data.fileno())
            self._sessions.replace(self.session, replace(record, durable=mark.offset, bookmark=mark.bookmark))
        except BaseException:
            self.session.evict()
            raise
        return mark.offset

    def _commit(self, commit: pb.WriteCommit) -> pb.WriteStreamResponse:
        check_bookmark(commit.bookmark)
        if commit.size != self._received:
            raise Failure(
                Reason.SIZE_MISMATCH,
                f"a commit of {commit.size} bytes of upload {self.session.upload_id}; {self._received} were received",
            )
        # Committed already: the answer to the first one was lost (U13).
        if self._data is not None and not self.session.known().is_committed:
            self._publish(self._data, commit)
        return pb.WriteStreamResponse(committed=self.session.known().upload())

    def _publish(self, data: FileIO, commit: pb.WriteCommit) -> None:
        """Makes the bytes the object. What is to come is written down before: a crash after the rename is then told by
        the bytes being gone (U14)."""
        record = self.session.known()
        self._store.require_writable()
        # The commit takes the place of an earlier mark (U15); and should this sync fail, none of the bytes count (O10).
        self._pending = None
        with doing(f"make bytes of upload {record.upload_id} durable"):
            self._store.finish(data)
        with self._store.locked(record.key):
            if self._store.look(record.key) is not None:
                raise taken(record.key)
            self._store.make_room(record.key)
            found = os.fstat(data.fileno())
            intended = Commit(commit.size, commit.bookmark, etag_of(found), found.st_mtime_ns)
            try:
                self._sessions.replace(self.session, replace(record, commit=intended))
                self._store.place(data_path(record.upload_id), record.key)
                self._store.sync_folders(record.key, data_path(record.upload_id))
                self._sessions.replace(self.session, self.session.known().committed())
            except BaseException:
                self.session.evict()  # the next writer finds the session OPEN as it was, or COMMITTED (U12)
                raise

    def finish(self) -> None:
        """Leaves the session OPEN, at a later mark if there is one (U11)."""
        if self._session is None:
            return
        try:
            with self._session.turn(_LAST_TURN):
                if self._session.writer is not self:
                    return
                try:
                    self.settle()
                finally:
                    self._session.evict()
        except Failure as failure:
            _log.warning("the last mark of upload %s was not made durable: %s", self._session.upload_id, failure)


async def serve(sessions: Sessions, context: grpc.aio.ServicerContext) -> None:
    """A stream that just ends is no error: the session stays (U11)."""
    first = await context.read()
    if first is grpc.aio.EOF or first.WhichOneof("msg") != "open":
        raise Failure(Reason.REQUEST_NOT_UNDERSTOOD, "a write stream begins with open")
    loop = asyncio.get_running_loop()
    has_left = loop.create_future()
    writer = Writer(sessions, lambda: loop.call_soon_threadsafe(_note, has_left))
    try:
        opened = await in_thread(sessions.open, first.open, writer)
        await context.write(pb.WriteStreamResponse(opened=opened))
        await _converse(writer, has_left, context)
    finally:
        await in_thread(writer.finish)


def _note(happened: asyncio.Future[None]) -> None:
    if not happened.done():
        happened.set_result(None)


async def _converse(writer: Writer, has_left: asyncio.Future[None], context: grpc.aio.ServicerContext) -> None:
    """One message after the other; the next is read when the one before was written, so the core is held back."""
    while True:
        read = asyncio.ensure_future(context.read())
        try:
            await asyncio.wait({read, has_left}, return_when=asyncio.FIRST_COMPLETED)
            if has_left.done():
                raise writer.session.fenced()
            request = await read
        finally:
            read.cancel()
        if request is grpc.aio.EOF:
            return
        answer = await in_thread(writer.take, request)
        if answer is not None:
            await context.write(answer)
            if answer.HasField("committed"):
                return
