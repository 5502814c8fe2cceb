"""Free ports of this machine for the servers that tests start."""

import socket


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def free_port() -> int:
    (port,) = free_ports(1)
    return port
