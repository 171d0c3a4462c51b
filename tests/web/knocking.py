"""Knocking at a door byte by byte, as no well-behaved client does."""

from __future__ import annotations

import socket

import httpx

from cloister.web.doors import HEADERS

DAY = 24 * 3600
GOOD = {"sec-fetch-site": "same-origin"}


def raw(house, request: bytes, wait: float = 10.0) -> bytes:
    """What the server answers to these bytes before it closes."""
    port = httpx.URL(house.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(request)
        found = b""
        while part := connection.recv(65536):
            found += part
            if b"\r\n\r\n" in found and b"connection: close" not in found.lower():
                break
        return found


def dressed(answer) -> bool:
    headers = answer.headers if isinstance(answer, httpx.Response) else head(answer)
    return all(headers.get(name) == value for name, value in HEADERS.items())


def head(answer: bytes) -> dict[str, str]:
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def port_of(house) -> int:
    return httpx.URL(house.url).port


def ended(connection: socket.socket) -> bool:
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True
