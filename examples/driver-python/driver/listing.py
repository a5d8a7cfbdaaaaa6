"""List (contract section L). Owns the order, that of the bytes of whole names, in which a folder sorts with its final
slash; and the bound: at most one window of names is kept of a folder, however many it holds (L8)."""

import heapq
import os
from collections.abc import Iterator

from driver import driver_pb2 as pb
from driver.errors import Failure, Reason, doing
from driver.keys import LONGEST_KEY, check_prefix, is_component, is_reserved
from driver.limits import page_size
from driver.objects import object_of
from driver.store import Store

# Each window of a folder costs one look at all its names.
WINDOW = 1024


def list_keys(store: Store, request: pb.ListRequest) -> pb.ListResponse:
    check_prefix(request.prefix)
    store.require_root()
    response, limit = pb.ListResponse(), page_size(request.limit)
    with doing("list keys"):
        for entry in _entries(store, request):
            if len(response.entries) == limit:
                response.more = True
                break
            response.entries.append(entry)
    store.require_root()  # what was not found counts only if the root is still there (R5)
    return response


def _entries(store: Store, request: pb.ListRequest) -> Iterator[pb.Entry]:
    for name in _names_in_order(store, request):
        if name.endswith("/"):
            if _leads_to_keys(store, name):
                yield pb.Entry(common_prefix=name)
            continue
        found = _look(store, name)
        if found is not None:
            yield pb.Entry(object=object_of(name, found))


def _look(store: Store, key: str) -> os.stat_result | None:
    """Nothing if it was deleted meanwhile, or is no plain file any more."""
    try:
        return store.look(key)
    except Failure as failure:
        if failure.reason is Reason.KEY_CONFLICT:
            return None
        raise


def _names_in_order(store: Store, request: pb.ListRequest) -> Iterator[str]:
    """Keys, and folders where they are not looked into. A stack of its own, for a key may have 512 components."""
    folders = [_folder_in_order(store, request.prefix, request)]
    while folders:
        name = next(folders[-1], None)
        if name is None:
            folders.pop()
        elif request.recursive and name.endswith("/"):
            folders.append(_folder_in_order(store, name, request))
        else:
            yield name


def _folder_in_order(store: Store, folder: str, request: pb.ListRequest) -> Iterator[str]:
    last = ""
    while True:
        names = _names_of(store, folder)
        window = heapq.nsmallest(WINDOW, (name for name in names if name > last and _is_wanted(name, request)))
        yield from window
        if len(window) < WINDOW:
            return
        last = window[-1]


def _is_wanted(name: str, request: pb.ListRequest) -> bool:
    """A recursive listing may take up inside a folder that sorts before the place where it left off."""
    after = request.start_after
    return name > after or (request.recursive and name.endswith("/") and after.startswith(name))


def _names_of(store: Store, folder: str) -> Iterator[str]:
    """What lies in a folder and may be a key or lead to one (L7), in no order. Folders have a final slash."""
    try:
        with store.opened_folder(folder) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                name = folder + entry.name
                if not is_component(entry.name) or len(name) > LONGEST_KEY or is_reserved(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield name + "/"
                elif entry.is_file(follow_symlinks=False):
                    yield name
    except (FileNotFoundError, NotADirectoryError):
        return  # deleted meanwhile


def _leads_to_keys(store: Store, top: str) -> bool:
    """Whether there is any key below: empty folders are not shown (L2)."""
    folders = [_names_of(store, top)]
    while folders:
        name = next(folders[-1], None)
        if name is None:
            folders.pop()
        elif not name.endswith("/"):
            return True
        else:
            folders.append(_names_of(store, name))
    return False
