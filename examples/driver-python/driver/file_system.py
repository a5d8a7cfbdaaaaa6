"""What is done to the file system once, before anything is said of the store: it is cleared, tried and synced."""

import ctypes
import os

from driver.store import TEMPORARY_FOLDER, Store


def prepare(store: Store) -> None:
    _remove_temporaries(store)
    _try_times_and_names(store)
    _sync_all(store)


def _remove_temporaries(store: Store) -> None:
    with store.opened_folder(TEMPORARY_FOLDER) as descriptor, os.scandir(descriptor) as entries:
        for entry in entries:
            store.remove_quietly(f"{TEMPORARY_FOLDER}/{entry.name}")


def _try_times_and_names(store: Store) -> None:
    """Refuses a file system that folds case (K2), or does not keep times to the nanosecond, on which etags stand."""
    plain = store.write_temporary(b"x")
    lower, upper = f"{TEMPORARY_FOLDER}/case", f"{TEMPORARY_FOLDER}/CASE"
    try:
        for stamp in (1_700_000_000_123_456_789, 1_700_000_000_123_456_790):
            os.utime(plain, ns=(stamp, stamp), dir_fd=store.root)
            if os.lstat(plain, dir_fd=store.root).st_mtime_ns != stamp:
                raise RuntimeError("it does not keep times to the nanosecond; use ext4, xfs, btrfs, zfs or tmpfs")
        os.rename(plain, lower, src_dir_fd=store.root, dst_dir_fd=store.root)
        if store.look(upper) is not None:
            raise RuntimeError("it takes names of other case for the same; use one that does not")
    finally:
        store.remove_quietly(plain)
        store.remove_quietly(lower)


def _sync_all(store: Store) -> None:
    """Makes what a killed process left half synced durable (O9)."""
    if ctypes.CDLL(None, use_errno=True).syncfs(store.root) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"sync the file system of root {store.directory}: {os.strerror(number)}")
