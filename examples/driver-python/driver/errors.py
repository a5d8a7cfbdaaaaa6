"""Refusals as the core understands them (contract section E): a reason of the closed list, the code that belongs to it,
and a message for people."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

_DOMAIN = "longshore.driver.v1"
# Messages and details stay under 4 KiB (rule R4); a key has at most 1 KiB.
_LONGEST_MESSAGE = 1536


class Reason(Enum):
    """The closed list (E1)."""

    KEY_NOT_FOUND = auto()
    UPLOAD_UNKNOWN = auto()
    KEY_EXISTS = auto()
    UPLOAD_EXISTS = auto()
    PRECONDITION_FAILED = auto()
    SIZE_MISMATCH = auto()
    TOO_LARGE = auto()
    STORE_MISMATCH = auto()
    VERSION_MISMATCH = auto()
    READ_ONLY = auto()
    KEY_CONFLICT = auto()
    UPLOAD_COMMITTED = auto()
    REQUEST_NOT_UNDERSTOOD = auto()
    INVALID_KEY = auto()
    OFFSET_MISMATCH = auto()
    OFFSET_PAST_END = auto()
    FENCED = auto()
    CONFLICT = auto()
    RATE_LIMITED = auto()
    NO_SPACE = auto()
    QUOTA_EXCEEDED = auto()
    TOO_MANY_STREAMS = auto()
    BACKEND_UNAVAILABLE = auto()
    STARTING = auto()
    DRAINING = auto()
    TIMEOUT = auto()
    BACKEND_CREDENTIALS = auto()
    CHECKSUM_MISMATCH = auto()
    SHORT_OBJECT = auto()
    NOT_SUPPORTED = auto()
    IO_ERROR = auto()
    DRIVER_BUG = auto()


# A reason under another code is not believed.
_REASONS = {
    StatusCode.NOT_FOUND: (Reason.KEY_NOT_FOUND, Reason.UPLOAD_UNKNOWN),
    StatusCode.ALREADY_EXISTS: (Reason.KEY_EXISTS, Reason.UPLOAD_EXISTS),
    StatusCode.FAILED_PRECONDITION: (
        Reason.PRECONDITION_FAILED,
        Reason.SIZE_MISMATCH,
        Reason.TOO_LARGE,
        Reason.STORE_MISMATCH,
        Reason.VERSION_MISMATCH,
        Reason.READ_ONLY,
        Reason.KEY_CONFLICT,
        Reason.UPLOAD_COMMITTED,
    ),
    StatusCode.INVALID_ARGUMENT: (Reason.REQUEST_NOT_UNDERSTOOD, Reason.INVALID_KEY),
    StatusCode.OUT_OF_RANGE: (Reason.OFFSET_MISMATCH, Reason.OFFSET_PAST_END),
    StatusCode.ABORTED: (Reason.FENCED, Reason.CONFLICT),
    StatusCode.RESOURCE_EXHAUSTED: (
        Reason.RATE_LIMITED,
        Reason.NO_SPACE,
        Reason.QUOTA_EXCEEDED,
        Reason.TOO_MANY_STREAMS,
    ),
    StatusCode.UNAVAILABLE: (Reason.BACKEND_UNAVAILABLE, Reason.STARTING, Reason.DRAINING),
    StatusCode.DEADLINE_EXCEEDED: (Reason.TIMEOUT,),
    StatusCode.PERMISSION_DENIED: (Reason.BACKEND_CREDENTIALS,),
    StatusCode.DATA_LOSS: (Reason.CHECKSUM_MISMATCH, Reason.SHORT_OBJECT),
    StatusCode.UNIMPLEMENTED: (Reason.NOT_SUPPORTED,),
    StatusCode.INTERNAL: (Reason.IO_ERROR, Reason.DRIVER_BUG),
}
_CODE_OF = {reason: code for code, reasons in _REASONS.items() for reason in reasons}


class Failure(Exception):
    """How a call fails. Figures go into the details, as U6 and R12 ask for."""

    def __init__(self, reason: Reason, message: str, **figures: int) -> None:
        super().__init__(message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "...")
        self.reason = reason
        self.code = _CODE_OF[reason]
        self.figures = figures

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def number(self) -> int:
        """The code as it stands in messages (E4)."""
        number, _name = self.code.value
        return int(number)

    def details(self) -> bytes:
        """What goes into the metadata `grpc-status-details-bin`."""
        figures = {name: str(figure) for name, figure in self.figures.items()}
        detail = Any()
        detail.Pack(ErrorInfo(domain=_DOMAIN, reason=self.reason.name, metadata=figures))
        return Status(code=self.number, message=self.message, details=[detail]).SerializeToString()


# None of them states absence (rule R5).
_REASON_OF = {
    errno.ENOSPC: Reason.NO_SPACE,
    errno.EDQUOT: Reason.QUOTA_EXCEEDED,
    errno.EROFS: Reason.READ_ONLY,
    errno.EACCES: Reason.BACKEND_CREDENTIALS,
    errno.EPERM: Reason.BACKEND_CREDENTIALS,
    errno.ESTALE: Reason.BACKEND_UNAVAILABLE,
    errno.ENOTCONN: Reason.BACKEND_UNAVAILABLE,
    errno.ENODEV: Reason.BACKEND_UNAVAILABLE,
    errno.ETIMEDOUT: Reason.BACKEND_UNAVAILABLE,
    errno.EHOSTDOWN: Reason.BACKEND_UNAVAILABLE,
}
_ADVICE = {
    Reason.NO_SPACE: "make room on the file system of the store",
    Reason.QUOTA_EXCEEDED: "raise the quota of the driver's user, or make room",
    Reason.READ_ONLY: "mount the file system of the store for writing",
    Reason.BACKEND_CREDENTIALS: "let the driver's user read and write everything below the root",
    Reason.BACKEND_UNAVAILABLE: "bring the file system of the store back",
    Reason.IO_ERROR: "look after the disk of the store",
}


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Says what an error of the operating system means for the core."""
    try:
        yield
    except OSError as error:
        reason = _REASON_OF.get(error.errno or 0, Reason.IO_ERROR)
        raise Failure(reason, f"can't {what}: {error.strerror or error}; {_ADVICE[reason]}") from error
