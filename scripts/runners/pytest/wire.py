"""Lines between processes, and the texts in them.

Functions are taken from their modules here, before a test can replace them there.
"""

import json
from os import getpid, read, set_blocking, write
from select import select

# Maximum bytes of a message.
MESSAGE = 4000
# Maximum bytes of any other text.
TEXT = 16 * 1024

# Text outside of ASCII as it is: escaped it would take up to six times the room.
encode = json.JSONEncoder(ensure_ascii=False).encode
decode = json.JSONDecoder().decode

__all__ = ["MESSAGE", "TEXT", "Lines", "decode", "encode", "getpid", "line_of", "select", "send", "text"]


def text(value, limit=TEXT, ending=0):
    """`value` in at most about `limit` bytes, of which `ending` are its last."""
    value = str(value)
    if len(value) <= limit and value.isascii():
        return value
    data = value.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    dropped = len(data) - limit
    head = data[: limit - ending].decode("utf-8", "ignore")
    tail = data[len(data) - ending :].decode("utf-8", "ignore")
    return f"{head} [... {dropped} bytes dropped] {tail}".rstrip()


def line_of(value):
    """The line that holds `value`."""
    return encode(value).encode("utf-8", "replace") + b"\n"


def send(fd, value):
    data = line_of(value)
    while data:
        data = data[write(fd, data) :]


class Lines:
    """Lines of a pipe that may come in pieces."""

    def __init__(self, fd):
        self.fd = fd
        self.buffer = b""
        self.ended = False
        set_blocking(fd, False)

    def poll(self):
        """The next line, or None when there is none yet."""
        while b"\n" not in self.buffer:
            if self.ended:
                return None
            try:
                chunk = read(self.fd, 65536)
            except BlockingIOError:
                return None
            self.ended = not chunk
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode("utf-8", "replace")

    def wait(self):
        """The next line, however long it takes; None at the end."""
        while True:
            line = self.poll()
            if line is not None or self.ended:
                return line
            select([self.fd], [], [])
