"""The enrolment service: the one thing that a node needs before it has a certificate.

HTTPS with the hub's server certificate, one route, everything else does not exist. All later talk goes through the
relay, where both sides show certificates.

Rules:
1. TLS 1.3 only. The certificate's key is never on disk unencrypted.
2. A request is read up to `MAX_REQUEST` bytes; more, other content types and other routes are refused.
3. Every refusal is a problem document (RFC 9457) that says no more than the error.
"""

from __future__ import annotations

import logging
import secrets
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from cloister.foundation.canonical import JSON, canonical, parse
from cloister.foundation.errors import BadInput, CloisterError, NotFound
from cloister.hub.authority import EnrolmentDesk
from cloister.hub.router import port_in_use
from cloister.identity.envelopes import Envelope

_LOG = logging.getLogger("cloister.hub.app")
MAX_REQUEST = 2 << 20
_PROBLEM = "application/problem+json"


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    code: str = Field(max_length=256)
    csr: str = Field(max_length=16 << 10)
    request: dict[str, Any]
    cards: list[dict[str, Any]] = Field(min_length=1, max_length=64)


def enrolment_app(desk: EnrolmentDesk, hub_cards: Callable[[], list[JSON]]) -> FastAPI:
    """The application: `POST /enrol`, and nothing else."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.post("/enrol")
    async def enrol(request: Request) -> Response:
        body = await _limited(request)
        answer = await run_in_threadpool(_enrol, desk, hub_cards, body)
        return Response(answer, media_type="application/json")

    @app.exception_handler(CloisterError)
    async def refused(_: Request, error: CloisterError) -> Response:
        return Response(canonical(error.problem()), error.status, media_type=_PROBLEM)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        problem = NotFound(
            "There is nothing here.",
            "This service only enrols servers.",
            "Use the address in the invitation.",
        ).problem()
        return Response(canonical(problem), error.status_code, media_type=_PROBLEM)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        _LOG.error("Enrolment failed: %s", type(error).__name__)
        problem = CloisterError(
            "The relay could not answer.",
            "Something went wrong inside it.",
            "Ask its operator to look at the relay's log.",
        ).problem()
        return Response(canonical(problem), 500, media_type=_PROBLEM)

    return app


def _enrol(desk: EnrolmentDesk, hub_cards: Callable[[], list[JSON]], body: bytes) -> bytes:
    try:
        asked = _Asked.model_validate(parse(body, max_bytes=MAX_REQUEST))
    except ValidationError:
        raise BadInput(
            "An enrolment request could not be read.", "Its fields do not fit.", "Update Cloister."
        ) from None
    request = Envelope.from_json(asked.request)
    cards = [Envelope.from_json(card) for card in asked.cards]
    _, certificate = desk.enrol(asked.code, asked.csr.encode("utf-8"), request, cards)
    return canonical({"certificate": certificate.decode("ascii"), "hub_cards": hub_cards()})


async def _limited(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise BadInput("An enrolment request is JSON.", "", "Send application/json.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_REQUEST:
            raise BadInput(
                "A request is over the size limit.",
                f"The limit is {MAX_REQUEST} bytes.",
                "Leave out old cards.",
            )
    return bytes(body)


class EnrolmentServer:
    """Serves the application over TLS in a thread of its own.

    Args:
        app: see `enrolment_app`.
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        certificate: the hub's server certificate, PEM.
        key: its key, PEM.
    """

    def __init__(self, app: FastAPI, host: str, port: int, certificate: bytes, key: bytes) -> None:
        import uvicorn

        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # As in `web.listening`: an answer of two writes does not wait for an acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise port_in_use(host, port) from None
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            limit_concurrency=64,
            timeout_keep_alive=5,
            lifespan="off",
        )
        config.load()
        self._context = _context(certificate, key)
        config.ssl = self._context
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="cloister-enrolment", daemon=True)

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def renew(self, certificate: bytes, key: bytes) -> None:
        """Shows another certificate to new connections."""
        _load(self._context, certificate, key)

    def close(self) -> None:
        """Stops answering."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._socket.close()


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Loads a key that the library takes from a file only: the file is encrypted, and gone at once."""
    password = secrets.token_hex(32)
    loaded = load_pem_private_key(key, password=None)
    sealed = loaded.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
    )
    with tempfile.TemporaryDirectory(prefix="cloister-hub-") as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(sealed + certificate)
        context.load_cert_chain(path, password=password)
