"""The root directory. Owns how files come to their place and stay there: temporary names, locks, syncs, etags; and
whether the root is where it was, which is asked before absence is stated (rule R5).

    ROOT/<key>                     an object
    ROOT/.driver/lock              locked by the process that has the store
    ROOT/.driver/store-id          the store's id (K4)
    ROOT/.driver/tmp/              files that are being written
    ROOT/.driver/uploads/ID.json   a session, ID.data its bytes
"""

import fcntl
import os
import secrets
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from posixpath import dirname
from stat import S_ISDIR, S_ISREG

from driver.errors import Failure, Reason, doing
from driver.keys import OWN_FOLDER

TEMPORARY_FOLDER = OWN_FOLDER + "/tmp"
UPLOADS_FOLDER = OWN_FOLDER + "/uploads"
_LOCK_FILE = OWN_FOLDER + "/lock"
_ABSENCE = (FileNotFoundError, NotADirectoryError)


class Store:
    """Its methods wait for the disk, and may be called by any thread."""

    def __init__(self, directory: str) -> None:
        self.directory = os.path.abspath(directory)
        # Held open, and all paths are relative to it: nothing is ever written beside a root that is away.
        try:
            self.root = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise RuntimeError(f"can't open root {directory}: {error.strerror}; make it, or mount it") from error
        self._lock = self._lock_for_this_process()
        self._key_locks = [threading.Lock() for _ in range(256)]
        # Held while a folder is made and filled, and while empty ones are removed.
        self._folders = threading.Lock()
        self._stamps = _Stamps()
        # A folder's sync failed, so nothing that is done from now on could be believed (O10).
        self.is_broken = False

    def _lock_for_this_process(self) -> FileIO:
        """Conditions hold by locks of this process, so it must be the only one (capability uploads_shared is false)."""
        for folder in (OWN_FOLDER, TEMPORARY_FOLDER, UPLOADS_FOLDER):
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700, dir_fd=self.root)
        lock = self.open_file(_LOCK_FILE, "a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise RuntimeError(
                f"another process has root {self.directory}: stop that one first, or choose another root"
            ) from error
        return lock

    def close(self) -> None:
        """Lets go of the root, as the end of the process does."""
        self._lock.close()
        os.close(self.root)

    def require_root(self) -> None:
        """Fails when the root is not where it was: then what a look-up does not find says nothing."""
        try:
            found = os.stat(os.path.join(self.directory, _LOCK_FILE))
            is_there = os.path.samestat(found, os.fstat(self._lock.fileno()))
        except OSError:
            is_there = False
        if not is_there:
            raise Failure(
                Reason.BACKEND_UNAVAILABLE,
                "the root directory is not where it was when the driver started; bring it back, or restart the driver",
            )

    def require_writable(self) -> None:
        """Comes before each write."""
        if self.is_broken:
            raise Failure(
                Reason.IO_ERROR,
                "a sync failed, so no write can be believed any more; look after the disk, then restart the driver",
            )
        self.require_root()

    @contextmanager
    def locked(self, *keys: str) -> Iterator[None]:
        """Keeps other writers of these keys out."""
        with ExitStack() as held:
            # In one order, so that two that want the same two never wait for each other.
            for number in sorted({zlib.crc32(key.encode()) % len(self._key_locks) for key in keys}):
                held.enter_context(self._key_locks[number])
            yield

    def look(self, key: str) -> os.stat_result | None:
        """What is at a key, or None where the backend states that nothing is."""
        with doing(f"look at key {key}"):
            try:
                found = os.lstat(key, dir_fd=self.root)
            except _ABSENCE:
                self.require_root()
                return None
        if S_ISDIR(found.st_mode):
            return None
        if not S_ISREG(found.st_mode):
            raise Failure(
                Reason.KEY_CONFLICT,
                f"at key {key} there is no plain file (a link or a pipe, perhaps); remove it by hand",
            )
        return found

    def find(self, key: str) -> os.stat_result:
        """As `look`, but absence is an error."""
        found = self.look(key)
        if found is None:
            raise _no_object(key)
        return found

    def open_object(self, key: str) -> FileIO:
        """It stays the same content to its reader, for files are replaced and never changed (R14)."""
        self.find(key)
        with doing(f"open the object at key {key}"):
            try:
                return self.open_file(key, "r")
            except (*_ABSENCE, IsADirectoryError):  # since then
                self.require_root()
                raise _no_object(key) from None

    def open_file(self, path: str, mode: str) -> FileIO:
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags | os.O_NOFOLLOW, 0o640, dir_fd=self.root)

        return FileIO(path, mode, opener=opener)

    def write_temporary(self, content: bytes) -> str:
        """Writes a file that is durable and has its etag, but no key yet."""
        name = f"{TEMPORARY_FOLDER}/{secrets.token_hex(16)}"
        try:
            with self.open_file(name, "x") as file:
                write_at(file, content, 0)
                self.finish(file)
        except BaseException:
            self.remove_quietly(name)
            raise
        return name

    def finish(self, file: FileIO) -> None:
        """Gives a file that is complete its etag, and makes it durable."""
        stamp = self._stamps.next()
        os.utime(file.fileno(), ns=(stamp, stamp))
        os.fsync(file.fileno())

    def remove_quietly(self, path: str) -> None:
        """What stays is removed at the next start."""
        with suppress(OSError):
            os.unlink(path, dir_fd=self.root)

    def make_room(self, key: str) -> None:
        """Removes empty folders in the place of a key: a crash may have left them."""
        folders = [key]
        with self._folders, doing(f"make room for key {key}"), suppress(*_ABSENCE):
            while folders:
                with self.opened_folder(folders[-1]) as descriptor, os.scandir(descriptor) as entries:
                    first = next(entries, None)
                if first is None:
                    os.rmdir(folders.pop(), dir_fd=self.root)
                elif first.is_dir(follow_symlinks=False):
                    folders.append(f"{folders[-1]}/{first.name}")
                else:
                    raise Failure(
                        Reason.KEY_CONFLICT, f"at key {key} there is a folder with other keys; delete those first"
                    )

    def place(self, source: str, key: str) -> None:
        """Gives a file its key, over what is there. The caller has the key's lock, and syncs afterwards."""
        with self._folders, doing(f"write key {key}"):
            try:
                self._make_folders(dirname(key))
                os.rename(source, key, src_dir_fd=self.root, dst_dir_fd=self.root)
            except (NotADirectoryError, IsADirectoryError) as error:
                raise Failure(
                    Reason.KEY_CONFLICT, f"key {key} would have to be an object and a folder at once"
                ) from error

    def _make_folders(self, folder: str) -> None:
        missing = []
        while folder:
            try:
                os.mkdir(folder, 0o750, dir_fd=self.root)
                break
            except FileExistsError:
                break
            except FileNotFoundError:
                missing.append(folder)
                folder = dirname(folder)
        for folder in reversed(missing):
            os.mkdir(folder, 0o750, dir_fd=self.root)

    def prune(self, key: str) -> None:
        """Removes the folders that a key left empty."""
        folder = dirname(key)
        with self._folders, suppress(OSError):  # it has something in it, or is gone
            while folder:
                os.rmdir(folder, dir_fd=self.root)
                folder = dirname(folder)

    def sync_folders(self, *keys: str) -> None:
        """Makes names durable: those of all folders that lead to these keys (O9). A file's folder may have been there
        already and still be new to the disk."""
        done = set()
        for key in keys:
            folder = dirname(key)
            while folder not in done:
                done.add(folder)
                self.sync_folder(folder)
                folder = dirname(folder)

    def sync_folder(self, folder: str) -> None:
        with doing(f"make folder {folder or '.'} durable"):
            try:
                with self.opened_folder(folder) as descriptor:
                    os.fsync(descriptor)
            except _ABSENCE:
                return  # pruned: then it is its parent that changed
            except OSError:
                self.is_broken = True
                raise

    @contextmanager
    def opened_folder(self, folder: str) -> Iterator[int]:
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.root)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def file_system(self) -> os.statvfs_result:
        with doing("ask for the free space"):
            return os.fstatvfs(self.root)


class _Stamps:
    """Times of change that are never given twice. With the size they make an etag (O3): it costs no reading, stays when
    the file is moved or copied with its times, and changes when somebody edits the file."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._last = 0

    def next(self) -> int:
        with self._mutex:
            self._last = max(self._last + 1, time.time_ns())
            return self._last


def _no_object(key: str) -> Failure:
    return Failure(Reason.KEY_NOT_FOUND, f"there is no object at key {key}")


def etag_of(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def write_at(file: FileIO, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file.fileno(), rest, offset)
        rest, offset = rest[written:], offset + written


def read_at(file: FileIO, size: int, offset: int) -> bytes:
    """Ends with an error where a file is shorter than it was (R13)."""
    pieces = []
    while size:
        with doing("read an object"):
            piece = os.pread(file.fileno(), size, offset)
        if not piece:
            raise Failure(
                Reason.SHORT_OBJECT,
                "an object became shorter while it was read; let nobody but the driver write to the directory",
            )
        pieces.append(piece)
        size, offset = size - len(piece), offset + len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
