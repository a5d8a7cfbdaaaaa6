"""Keys (contract section K): which there are, and which belong to the driver. A key is the path of its file below the
root as it stands, for all its characters may be in a file's name."""

import re

from driver.errors import Failure, Reason

LONGEST_KEY = 1024
OWN_FOLDER = ".driver"
STORE_ID_KEY = OWN_FOLDER + "/store-id"

_COMPONENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._+=,@~-]{1,255}")
_STORE_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


def check_key(key: str) -> None:
    """For every call that names an ordinary key (K1, K3)."""
    if len(key) > LONGEST_KEY or not all(map(is_component, key.split("/"))):
        raise Failure(
            Reason.INVALID_KEY,
            f"{key[:100]!r} is no key: components of 1 to 255 of A-Za-z0-9._+=,@~- joined by /, 1024 bytes at most",
        )
    if is_reserved(key):
        raise Failure(Reason.INVALID_KEY, f"key {key} belongs to the driver; choose one outside of {OWN_FOLDER}/")


def check_readable_key(key: str) -> None:
    """For Stat and Get, which may name the store's id too (K4)."""
    if key != STORE_ID_KEY:
        check_key(key)


def check_prefix(prefix: str) -> None:
    """For List: nothing, or a folder with its final slash (L2)."""
    if not prefix:
        return
    if not prefix.endswith("/"):
        raise Failure(Reason.INVALID_KEY, f"prefix {prefix[:100]!r} does not end with /")
    check_key(prefix.removesuffix("/"))


def check_upload_id(upload_id: str) -> None:
    if not is_upload_id(upload_id):
        raise Failure(
            Reason.REQUEST_NOT_UNDERSTOOD,
            f"{upload_id[:100]!r} is no upload id: 32 lower-case hexadecimal digits",
        )


def is_component(name: str) -> bool:
    return _COMPONENT.fullmatch(name) is not None


def is_reserved(key: str) -> bool:
    return key == OWN_FOLDER or key.startswith(OWN_FOLDER + "/")


def is_store_id(text: str) -> bool:
    return _STORE_ID.fullmatch(text) is not None


def is_upload_id(text: str) -> bool:
    """U21."""
    return _UPLOAD_ID.fullmatch(text) is not None
