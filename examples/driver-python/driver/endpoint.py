"""Where the driver listens: unix:///path or tcp://127.0.0.1:port. Owns who may be at the other end (T1 to T3)."""

import ipaddress
import os
import socket
import stat
from urllib.parse import quote, urlsplit

import grpc

_LONGEST_SOCKET_PATH = 107


def bind(server: grpc.aio.Server, endpoint: str) -> str:
    """Gives the endpoint as it was bound."""
    if endpoint.startswith("unix://"):
        _bind_unix(server, endpoint.removeprefix("unix://"))
        return endpoint
    if endpoint.startswith("tcp://"):
        host, port = _loopback(endpoint)
        return f"tcp://{host}:{_listen(server, f'{host}:{port}')}"
    raise _no_endpoint(endpoint)


def _no_endpoint(endpoint: str) -> ValueError:
    return ValueError(f"{endpoint!r} is no endpoint: unix:///path/to/driver.sock or tcp://127.0.0.1:PORT")


def _loopback(endpoint: str) -> tuple[str, int]:
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise _no_endpoint(endpoint) from error
    if port is None:
        raise _no_endpoint(endpoint)
    if not address.is_loopback:
        raise ValueError(f"endpoint {endpoint!r}: TCP beyond loopback needs mutual TLS, which is not there yet")
    return f"[{address}]" if address.version == 6 else str(address), port


def _listen(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise RuntimeError(f"can't listen at {address}: choose another, or stop who has it") from error


def _bind_unix(server: grpc.aio.Server, path: str) -> None:
    if not path.startswith("/") or len(os.fsencode(path)) > _LONGEST_SOCKET_PATH or "\0" in path:
        raise ValueError(f"the path of a socket is absolute and has at most {_LONGEST_SOCKET_PATH} bytes: {path!r}")
    _prepare_folder(os.path.dirname(path))
    _check_stale(path)
    # Mode 0600 from the beginning. It is also the check of the peer (T3): the kernel lets this user and root connect,
    # and nobody else. gRPC does not show a connection's credentials, so there is no other user to trust.
    before = os.umask(0o177)
    try:
        _listen(server, "unix:" + quote(path))
    finally:
        os.umask(before)


def _prepare_folder(folder: str) -> None:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    mode = os.stat(folder).st_mode
    if mode & 0o002 and not mode & stat.S_ISVTX:
        raise PermissionError(
            f"{folder} can be written to by everyone, who could replace the socket: chmod it to 0750 or less"
        )


def _check_stale(path: str) -> None:
    """gRPC removes a socket that is in its way. It is seen to here that a killed driver of this user left it."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(f"{path} is no socket: remove it or choose another path")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user: choose another path")
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except ConnectionRefusedError:
            return
    raise FileExistsError(f"another process listens at {path}: stop it or choose another path")
