"""Upload sessions: which there are, who may write, and when they end (contract section U). What a writer does is in
writing.py, what lies on disk in records.py."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from driver import driver_pb2 as pb
from driver import records
from driver.errors import Failure, Reason, doing
from driver.keys import check_key, check_upload_id
from driver.limits import LONGEST_BOOKMARK, UPLOAD_TTL, page_size
from driver.objects import taken
from driver.records import Record
from driver.store import Store

_log = logging.getLogger(__name__)

# How long a newcomer waits until the writer before it lets go (U4).
HANDOVER = 5.0
# A page of ListUploads stays below the 5 MiB of a message, for bookmarks may have 4 KiB each.
_MOST_LISTED_BYTES = 4 << 20


class Seat(Protocol):
    """What a session knows of its writer."""

    def begin(self, session: "Session") -> None:
        """Begins at the last durable mark."""

    def settle(self) -> int:
        """Makes the last mark durable."""

    def leave(self) -> None:
        """Takes no step any more, and its stream ends with FENCED."""


class Session:
    def __init__(self, upload_id: str, record: Record | None = None, damage: str = "") -> None:
        self.upload_id = upload_id
        # Of what is durable; replaced by whoever has the turn. None until it was written for the first time.
        self.record = record
        # It could not be read at the start. It is not listed, but it is not unknown either (U18, R5).
        self.damage = damage
        self.writer: Seat | None = None  # behind the turn
        self.is_gone = False  # behind the turn
        self._turn = threading.Lock()

    def take_turn(self, limit: float = HANDOVER) -> None:
        """A turn is one step of a writer, or of another who changes the session. A disk that hangs would keep it."""
        if not self._turn.acquire(timeout=max(limit, 0)):
            raise Failure(Reason.CONFLICT, f"the writer of upload {self.upload_id} does not let go; try again")

    def release(self) -> None:
        self._turn.release()

    @contextmanager
    def turn(self, limit: float = HANDOVER) -> Iterator[None]:
        self.take_turn(limit)
        try:
            yield
        finally:
            self.release()

    def evict(self) -> None:
        if self.writer is not None:
            self.writer.leave()
            self.writer = None

    def known(self) -> Record:
        if self.record is None:
            raise _unknown(self.upload_id)
        return self.record

    def fenced(self) -> Failure:
        counter, _owner = self.known().fence
        return Failure(
            Reason.FENCED, f"a later writer has upload {self.upload_id} (fence {counter}); resume with a larger one"
        )


class Sessions:
    """Its methods wait for the disk, and may be called by any thread."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.is_draining = False
        self._mutex = threading.Lock()
        self._by_id = {
            upload_id: Session(upload_id, damage=found) if isinstance(found, str) else Session(upload_id, found)
            for upload_id, found in records.load_all(store).items()
        }

    def open(self, opening: pb.WriteOpen, writer: Seat) -> pb.Upload:
        """U1 to U4."""
        check_upload_id(opening.upload_id)
        if not opening.HasField("fence"):
            raise Failure(Reason.REQUEST_NOT_UNDERSTOOD, "an open without a fence")
        match opening.WhichOneof("mode"):
            case "create":
                session = self._create(opening)
            case "resume":
                session = self._take(opening.upload_id)
            case _:
                raise Failure(Reason.REQUEST_NOT_UNDERSTOOD, "an open without a mode that this driver knows")
        try:
            self._seat(session, _fence(opening.fence), writer)
            return session.known().upload()
        finally:
            session.release()

    def _create(self, opening: pb.WriteOpen) -> Session:
        """Gives the turn of a session that is new, or of the same create before (U2)."""
        if self.is_draining:
            raise Failure(Reason.DRAINING, "the driver is about to stop and takes no new sessions; try again later")
        check_key(opening.create.key)
        check_bookmark(opening.create.bookmark)
        while True:
            session = self._add(opening.upload_id)
            if session is not None:
                self._begin(session, opening)
                return session
            try:
                session = self._take(opening.upload_id)
            except Failure as failure:
                if failure.reason is Reason.UPLOAD_UNKNOWN:
                    continue  # ended meanwhile
                raise
            if _is_same_create(session.known(), opening):
                return session
            session.release()
            raise Failure(Reason.UPLOAD_EXISTS, f"upload {opening.upload_id} exists already; resume it")

    def _add(self, upload_id: str) -> Session | None:
        """Makes an entry for the id, with its turn taken, unless there is one."""
        session = Session(upload_id)
        session.take_turn()
        with self._mutex:
            return session if self._by_id.setdefault(upload_id, session) is session else None

    def _begin(self, session: Session, opening: pb.WriteOpen) -> None:
        """Writes a new session down. Bytes first: a record without them would be damaged."""
        try:
            self.store.require_writable()
            key = opening.create.key
            if self.store.look(key) is not None:
                raise taken(key)
            with doing(f"make upload {session.upload_id}"):
                self.store.open_file(records.data_path(session.upload_id), "w").close()
            fence = _fence(opening.fence)
            self.replace(session, Record(session.upload_id, key, fence, bookmark=opening.create.bookmark))
        except BaseException:
            self._forget(session)
            session.release()
            raise

    def replace(self, session: Session, record: Record) -> None:
        """Makes a record durable, then known."""
        record = replace(record, updated_ns=time.time_ns())
        records.save(self.store, record)
        session.record = record

    def _seat(self, session: Session, fence: tuple[int, str], writer: Seat) -> None:
        """Makes the holder of a fence the session's writer, and shuts the one before out (U4)."""
        record = session.known()
        if fence < record.fence:
            raise session.fenced()
        if fence > record.fence:
            self.replace(session, replace(record, fence=fence))
        session.evict()
        writer.begin(session)
        session.writer = writer

    def _take(self, upload_id: str) -> Session:
        """Gives a session with its turn, which the caller releases."""
        while True:
            session = self._find(upload_id)
            session.take_turn()
            if not session.is_gone:
                return session
            session.release()

    def _find(self, upload_id: str) -> Session:
        self.store.require_root()
        with self._mutex:
            session = self._by_id.get(upload_id)
        if session is None:
            raise _unknown(upload_id)
        if session.damage:
            raise Failure(Reason.IO_ERROR, f"upload {upload_id} can't be read: {session.damage}")
        return session

    def _forget(self, session: Session) -> None:
        session.is_gone = True
        with self._mutex:
            del self._by_id[session.upload_id]

    def get_upload(self, request: pb.GetUploadRequest) -> pb.GetUploadResponse:
        check_upload_id(request.upload_id)
        return pb.GetUploadResponse(upload=self._find(request.upload_id).known().upload())

    def list_uploads(self, request: pb.ListUploadsRequest) -> pb.ListUploadsResponse:
        self.store.require_root()
        limit = page_size(request.limit)
        idle_since = request.idle_since.ToNanoseconds() if request.HasField("idle_since") else None
        response, listed = pb.ListUploadsResponse(), 0
        for session in self._sorted():
            record = session.record
            if record is None or record.upload_id <= request.start_after:
                continue
            if idle_since is not None and record.updated_ns > idle_since:
                continue
            upload = record.upload()
            listed += upload.ByteSize()
            if len(response.uploads) == limit or listed > _MOST_LISTED_BYTES:
                response.more = True
                break
            response.uploads.append(upload)
        return response

    def _sorted(self) -> list[Session]:
        with self._mutex:
            return sorted(self._by_id.values(), key=lambda session: session.upload_id)

    def end_upload(self, request: pb.EndUploadRequest) -> pb.EndUploadResponse:
        """U16."""
        check_upload_id(request.upload_id)
        if not request.HasField("fence"):
            raise Failure(Reason.REQUEST_NOT_UNDERSTOOD, "an EndUpload without a fence")
        self.store.require_root()
        with self._mutex:
            session = self._by_id.get(request.upload_id)
        if session is None:
            return pb.EndUploadResponse()
        with session.turn():
            if session.is_gone:
                return pb.EndUploadResponse()
            if not session.damage and _fence(request.fence) < session.known().fence:
                raise session.fenced()
            self._end(session)
        return pb.EndUploadResponse(existed=True)

    def _end(self, session: Session) -> None:
        """The caller has the turn."""
        self.store.require_writable()
        session.evict()
        records.remove(self.store, session.upload_id)
        self._forget(session)

    def settle_all(self, grace: float) -> int:
        """Makes the last marks of live streams durable, and tells how many streams there are (D4, D5)."""
        deadline, live = time.monotonic() + grace, 0
        for session in self._sorted():
            try:
                with session.turn(deadline - time.monotonic()):
                    if session.writer is None:
                        continue
                    live += 1
                    session.writer.settle()
            except Failure as failure:
                live += failure.reason is Reason.CONFLICT  # who holds a turn for so long is a writer
                _log.warning("upload %s was not made durable: %s", session.upload_id, failure)
        return live

    def expire_idle(self) -> None:
        """Ends OPEN sessions that nobody touched for upload_ttl (U17)."""
        for session in self._sorted():
            try:
                with session.turn():
                    if _is_idle(session):
                        self._end(session)
            except Failure as failure:
                _log.warning("idle upload %s was not ended: %s", session.upload_id, failure)


def _is_same_create(record: Record, opening: pb.WriteOpen) -> bool:
    is_untouched = record.durable == 0 and not record.is_committed
    return is_untouched and record.key == opening.create.key and record.fence == _fence(opening.fence)


def _is_idle(session: Session) -> bool:
    record = session.record
    if record is None or record.is_committed or session.writer is not None or session.is_gone:
        return False
    return time.time_ns() - record.updated_ns > UPLOAD_TTL * 1e9


def _fence(fence: pb.Fence) -> tuple[int, str]:
    return fence.counter, fence.owner


def _unknown(upload_id: str) -> Failure:
    return Failure(Reason.UPLOAD_UNKNOWN, f"there is no upload {upload_id}")


def check_bookmark(bookmark: bytes) -> None:
    """U5."""
    if len(bookmark) > LONGEST_BOOKMARK:
        raise Failure(Reason.REQUEST_NOT_UNDERSTOOD, f"a bookmark of {len(bookmark)} bytes; at most {LONGEST_BOOKMARK}")
