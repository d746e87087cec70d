"""Why an address cannot be listened on, in words, with what to choose instead."""

from __future__ import annotations

import errno
import os
import socket


def listen_reason(error: OSError) -> str:
    """What ``error`` says of the address: the port is taken or needs rights, or the host is none of this machine's."""
    if isinstance(error, socket.gaierror):
        return f"{error.strerror or error}; choose another --host"
    # asyncio words the errno anew and keeps the number.
    said = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{said}; choose another --port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else said
