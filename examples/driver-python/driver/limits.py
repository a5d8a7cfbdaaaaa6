"""What the driver takes at most, and for how long: told in the handshake (H9), and kept by every call."""

MAX_CHUNK = 256 << 10
MAX_INLINE = (4 << 20) + (64 << 10)
MAX_PAGE = 1000
MAX_MESSAGE = 5 << 20  # T6
MOST_DELETES = 1000  # O7
LONGEST_BOOKMARK = 4096  # U5
UPLOAD_TTL = 24 * 3600.0


def page_size(limit: int) -> int:
    """L3: 0 means the largest."""
    return min(limit or MAX_PAGE, MAX_PAGE)
