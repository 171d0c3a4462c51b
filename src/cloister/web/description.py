"""The interface's description (OpenAPI 3.1): every route under `/api/v1`, how to sign in, what errors look like."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from cloister.web.guard import OPEN
from cloister.web.idempotency import HEADER
from cloister.web.routes import TAKES_NO_KEY

_PROBLEM = "Problem"
_ERROR = {
    "description": "It was not done; the document says why, and what to do.",
    "content": {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{_PROBLEM}"}}},
}
_SCHEMA = {
    "title": _PROBLEM,
    "description": "An error as RFC 9457 has it. Further members depend on the type.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "remedy"],
    "properties": {
        "type": {
            "type": "string",
            "description": "Stable; programs branch on it.",
            "pattern": "^urn:cloister:problem:",
        },
        "title": {"type": "string", "description": "What happened."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "Why."},
        "remedy": {"type": "string", "description": "What to do now."},
        "clause": {"type": "string", "description": "The rule or clause that says no."},
    },
}
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A request that is sent again with the same key does not act again, for a day.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
}


def add(app: FastAPI) -> None:
    """Makes `app.openapi` answer with the whole description."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title="Cloister",
                    version="1",
                    description="What a Cloister server does for programs. Every route names the right that it takes.",
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign] # as FastAPI has it


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})[_PROBLEM] = _SCHEMA
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "Made under People, with the rights it is for.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "cloister",
            "description": "The page's own, by signing in.",
        },
    }
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _ERROR
            operation["security"] = (
                [] if operation.get("x-cloister-right") == OPEN else [{"token": []}, {"session": []}]
            )
            if method == "post" and path.startswith("/api/") and not operation.get(TAKES_NO_KEY):
                operation.setdefault("parameters", []).append(_KEY)
    return schema
