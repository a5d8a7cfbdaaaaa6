"""What of a session lies on disk: a record of JSON, replaced as a whole, beside the file of its bytes. Owns the two,
and what is made of them after a crash (U14)."""

import base64
import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from driver import driver_pb2 as pb
from driver.errors import Failure, Reason, doing
from driver.keys import check_key, is_upload_id
from driver.store import UPLOADS_FOLDER, Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Commit:
    """Written before the bytes become the object."""

    size: int
    bookmark: bytes
    etag: str
    modified_ns: int


@dataclass(frozen=True)
class Record:
    """Never changed: another takes its place, on disk first and then in memory."""

    upload_id: str
    key: str
    fence: tuple[int, str]  # counter and owner: Python compares text as its bytes in UTF-8 sort (U4)
    durable: int = 0
    bookmark: bytes = b""  # of the durable offset, or of the commit (U8, U15)
    updated_ns: int = 0
    commit: Commit | None = None
    is_committed: bool = False

    def upload(self) -> pb.Upload:
        counter, owner = self.fence
        upload = pb.Upload(
            upload_id=self.upload_id,
            state=pb.UPLOAD_STATE_OPEN,
            key=self.key,
            durable=self.durable,
            bookmark=self.bookmark,
            fence=pb.Fence(counter=counter, owner=owner),
        )
        upload.updated.FromNanoseconds(self.updated_ns)
        if self.is_committed and self.commit is not None:
            upload.state = pb.UPLOAD_STATE_COMMITTED
            upload.object.key = self.key
            upload.object.size = self.commit.size
            upload.object.etag = self.commit.etag
            upload.object.modified.FromNanoseconds(self.commit.modified_ns)
        return upload

    def committed(self) -> "Record":
        if self.commit is None:
            raise ValueError(f"upload {self.upload_id} is committed, and its record does not say how")
        return replace(
            self,
            is_committed=True,
            durable=self.commit.size,
            bookmark=self.commit.bookmark,
            updated_ns=time.time_ns(),
        )

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2, default=lambda data: base64.b64encode(data).decode()).encode()

    @classmethod
    def from_json(cls, upload_id: str, text: bytes) -> "Record":
        """Any of ValueError, TypeError and KeyError means that it is damaged."""
        fields = json.loads(text)
        counter, owner = fields["fence"]
        fields["fence"] = (int(counter), str(owner))
        fields["bookmark"] = base64.b64decode(fields["bookmark"])
        if fields["commit"] is not None:
            commit = fields["commit"]
            fields["commit"] = Commit(**{**commit, "bookmark": base64.b64decode(commit["bookmark"])})
        record = cls(**fields)
        if record.upload_id != upload_id or (record.is_committed and record.commit is None):
            raise ValueError("the record contradicts itself")
        return record


def data_path(upload_id: str) -> str:
    return f"{UPLOADS_FOLDER}/{upload_id}.data"


def record_path(upload_id: str) -> str:
    return f"{UPLOADS_FOLDER}/{upload_id}.json"


def save(store: Store, record: Record) -> None:
    """It is durable when this returns; a crash leaves the record before or this one."""
    store.require_writable()
    with doing(f"write the record of upload {record.upload_id}"):
        temporary = store.write_temporary(record.to_json())
        try:
            os.rename(temporary, record_path(record.upload_id), src_dir_fd=store.root, dst_dir_fd=store.root)
        except OSError:
            store.remove_quietly(temporary)
            raise
    store.sync_folder(UPLOADS_FOLDER)


def remove(store: Store, upload_id: str) -> None:
    """Ends a session: the record first, so that none is left that names bytes which are gone."""
    store.require_writable()
    with doing(f"end upload {upload_id}"), suppress(FileNotFoundError):
        os.unlink(record_path(upload_id), dir_fd=store.root)
    store.sync_folder(UPLOADS_FOLDER)
    with doing(f"remove the bytes of upload {upload_id}"), suppress(FileNotFoundError):
        os.unlink(data_path(upload_id), dir_fd=store.root)


def load_all(store: Store) -> dict[str, Record | str]:
    """What an earlier process left, by id; for a session that can't be read, why."""
    with doing("read the upload sessions"), store.opened_folder(UPLOADS_FOLDER) as descriptor:
        names = os.listdir(descriptor)
    found: dict[str, Record | str] = {}
    for name in names:
        upload_id, is_record = name.removesuffix(".json"), name.endswith(".json")
        if is_record and is_upload_id(upload_id):
            found[upload_id] = _load(store, upload_id)
    for name in names:
        # Bytes without a record belong to a session that was ended, or never acknowledged.
        if name.endswith(".data") and name.removesuffix(".data") not in found:
            store.remove_quietly(f"{UPLOADS_FOLDER}/{name}")
    return found


def _load(store: Store, upload_id: str) -> Record | str:
    try:
        with store.open_file(record_path(upload_id), "r") as file:
            record = Record.from_json(upload_id, file.readall())
        check_key(record.key)
        return settle_commit(store, record)
    except (OSError, ValueError, TypeError, KeyError, Failure) as error:
        _log.warning("upload %s can't be read, and EndUpload removes it: %s", upload_id, error)
        return str(error)


def settle_commit(store: Store, record: Record) -> Record:
    """Tells what became of a commit that was begun: as long as the bytes are the session's, nothing."""
    if record.is_committed:
        return record
    upload_id = record.upload_id
    with doing(f"look at the bytes of upload {upload_id}"):
        try:
            size = os.lstat(data_path(upload_id), dir_fd=store.root).st_size
        except FileNotFoundError:
            return _committed_by_crash(store, record)
    if size < record.durable:
        raise _damaged(upload_id, f"{record.durable} bytes are durable, the file has {size}")
    return replace(record, commit=None)


def _committed_by_crash(store: Store, record: Record) -> Record:
    store.require_root()
    found = store.look(record.key)
    if record.commit is None or found is None or found.st_size != record.commit.size:
        raise _damaged(record.upload_id, "its bytes are gone, and no object has them")
    store.sync_folders(record.key, data_path(record.upload_id))
    committed = record.committed()
    save(store, committed)
    return committed


def _damaged(upload_id: str, why: str) -> Failure:
    return Failure(Reason.IO_ERROR, f"upload {upload_id} is damaged: {why}; end it, and upload again")
