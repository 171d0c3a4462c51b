"""Writes the reference pages that are derived from the code; with `--check` says which are out of date instead.

python scripts/generate_docs.py [--check]
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
GENERATED = "<!-- Written by `make docs`; a test keeps it up to date. -->"


def command_line() -> str:
    """Every command with its options."""
    from cloister.cli.main import cli

    parts = [CLI_HEAD]
    for path, command in walk(cli, "cloister"):
        parts.append(_group(path, command) if isinstance(command, click.Group) else _command(path, command))
    return "\n".join(parts).rstrip() + "\n"


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below `command`, in the order of the help."""
    context = click.Context(command, info_name=path)
    if not isinstance(command, click.Group):
        yield path, command
        return
    if path != "cloister":
        yield path, command
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from walk(found, f"{path} {name}")


def _group(path: str, command: click.Command) -> str:
    return f"## {path}\n{_prose(command.help)}\n"


def _command(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    level = "###" if path.count(" ") > 1 else "##"
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = [f"{level} {path}", f"`{usage}`", "", _prose(command.help), ""]
    rows = []
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and not {"--help", "--json"} & set(parameter.opts):
            names, text = record
            rows.append(f"| `{_cell(names)}` | {_cell(text)} |")
    if rows:
        lines += ["| Option | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _prose(text: str | None) -> str:
    return re.sub(r"[ \t]*\n[ \t]*", "\n", (text or "").strip())


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def interface() -> str:
    """Every route of the node's interface."""
    from cloister.web.app import make_app
    from cloister.web.site import Site

    # Routes are closures over the site; describing them calls none.
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder) / "n")
        try:
            schema = make_app(site).openapi()
        finally:
            site.close()
    lines = [API_HEAD, "| Route | Does | Right | Body | Query |", "|---|---|---|---|---|"]
    for path, methods in sorted(schema["paths"].items()):
        for method, route in methods.items():
            query = [item["name"] for item in route.get("parameters", ()) if item["in"] == "query"]
            told = ", ".join(f"`{name}`" for name in query)
            lines.append(
                f"| `{method.upper()} {path}` | {_cell(route['summary'])} "
                f"| `{route['x-cloister-right']}` | {_body(route, schema)} | {told} |"
            )
    return "\n".join(lines) + "\n"


def _body(route: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    content = route.get("requestBody", {}).get("content", {})
    if not content:
        return ""
    if "application/json" not in content:
        return ", ".join(f"`{kind}`" for kind in content)
    given = content["application/json"]["schema"]
    name = given.get("$ref", "").rsplit("/", 1)[-1]
    model = schema["components"]["schemas"].get(name, given)
    required = set(model.get("required", ()))
    return ", ".join(
        f"`{field}`" if field in required else f"`{field}` (optional)"
        for field in model.get("properties", {})
    )


def python() -> str:
    """What `import cloister` offers, from its docstrings."""
    import inspect

    import cloister
    from cloister.sdk import parts, records

    classes = [
        cloister.Cloister,
        *(getattr(parts, name) for name in PARTS),
        *(getattr(records, name) for name in RECORDS),
    ]
    lines = [PYTHON_HEAD]
    for function in (cloister.connect, cloister.connect_async, cloister.simulate):
        lines += [f"## cloister.{function.__name__}", "", *_signed(function, f"cloister.{function.__name__}")]
    for kind in [*classes, cloister.Simulation, cloister.AsyncCloister, cloister.Table]:
        lines += [f"## {kind.__name__}", "", _prose(inspect.getdoc(kind)), ""]
        for name, member in vars(kind).items():
            if name.startswith("_") or not inspect.getdoc(member):
                continue
            if isinstance(member, property):
                lines += [f"### {kind.__name__}.{name}", "", _prose(inspect.getdoc(member)), ""]
            elif inspect.isfunction(member):
                lines += [f"### {kind.__name__}.{name}", "", *_signed(member, name)]
    return "\n".join(lines).rstrip() + "\n"


PARTS = ("Parties", "Datasets", "Agreements", "Ask", "Tasks", "Releases", "Tools", "Budgets", "Log")
RECORDS = ("Agreement", "Plan", "Task", "Release")


def _signed(function: Callable[..., Any], name: str) -> list[str]:
    import inspect

    signature = inspect.signature(function)
    given = [item for key, item in signature.parameters.items() if key != "self"]
    text = str(signature.replace(parameters=given))
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)  # annotations are texts
    return ["```text", f"{name}{text}", "", inspect.getdoc(function) or "", "```", ""]


def recipes() -> str:
    """Every field of a training recipe, from the model and its docstrings."""
    from cloister.data import windows
    from cloister.training import recipe

    parts = [RECIPES_HEAD]
    for title, model in (
        ("The recipe", recipe.TrainingRecipe),
        ("`optimiser`", recipe.OptimiserRecipe),
        ("`server`", recipe.ServerRecipe),
        ("`preparation` for a table", recipe.TabularPreparation),
        ("A column", recipe.Column),
        ("`windows` over the rows of a table", windows.Windows),
        ("A feature of a window", windows.Feature),
        ("`preparation` for pictures with marked centres", recipe.PointsPreparation),
        ("`preparation` for pictures with outlines", recipe.OutlinesPreparation),
    ):
        parts += [f"## {title}", "", "| Field | Values | If absent | Meaning |", "|---|---|---|---|"]
        told = _attributes(model.__doc__ or "")
        schema = model.model_json_schema()
        required = set(schema.get("required", ()))
        for name, given in schema["properties"].items():
            default = "required" if name in required else _default(given.get("default"))
            parts.append(f"| `{name}` | {_type(given)} | {default} | {_cell(told.get(name, ''))} |")
        parts.append("")
    return "\n".join([*parts, RECIPES_TAIL])


def _attributes(doc: str) -> dict[str, str]:
    """The `Attributes:` of a docstring: name → meaning; names before one colon share it."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in doc.partition("Attributes:")[2].splitlines():
        match = re.match(r"^        ([a-z_]+(?:, [a-z_]+)*): (.*)$", line)
        if match:
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif names and line.strip():
            for name in names:
                found[name] += " " + line.strip()
    return found


def _type(given: Mapping[str, Any]) -> str:
    if "const" in given:
        return f"`{given['const']}`"
    if "enum" in given:
        return ", ".join(f"`{item}`" for item in given["enum"])
    if "anyOf" in given:
        return " or ".join(_type(item) for item in given["anyOf"])
    if "oneOf" in given:
        return "one of those below"
    if "$ref" in given:
        return "see below"
    if given.get("type") == "array":
        if "prefixItems" in given:
            return f"{len(given['prefixItems'])} numbers"
        return f"list of {_type(given.get('items', {}))}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false"}
    limits = [
        f"{sign} {given[key]:g}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in given
    ]
    return " ".join([words.get(given.get("type", ""), "none"), *limits])


def _default(value: Any) -> str:
    if isinstance(value, dict):
        return "the defaults below"
    return f"`{_value(value)}`"


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def problems() -> str:
    """Every type of problem, from the error classes."""
    import importlib
    import pkgutil

    import cloister
    from cloister.foundation.errors import CloisterError

    for module in pkgutil.walk_packages(cloister.__path__, "cloister."):
        if not module.name.startswith(
            ("cloister.storage.migrations", "cloister.models", "cloister.training")
        ):
            importlib.import_module(module.name)
    found: dict[str, type[CloisterError]] = {}
    waiting: list[type[CloisterError]] = [CloisterError]
    while waiting:
        cls = waiting.pop()
        if cls.__module__.startswith("cloister."):
            if cls.type not in found or issubclass(found[cls.type], cls):
                found[cls.type] = cls
            waiting += cls.__subclasses__()
    rows = [
        f"| `{name}` | {cls.status} | {cls.exit_code} | {_cell((cls.__doc__ or '').split(chr(10) * 2)[0])} |"
        for name, cls in sorted(found.items(), key=lambda item: (item[1].exit_code, item[0]))
    ]
    return "\n".join([PROBLEMS_HEAD, *rows, "", PROBLEMS_TAIL])


def operators() -> str:
    """The page of operators, which the models package writes."""
    from cloister.models.support import operators_markdown

    return operators_markdown()


def steps() -> str:
    """The page of tools, whose list of steps the tools package writes."""
    from cloister.tools.reference import updated

    return updated((REFERENCE / "tools.md").read_text("utf-8"))


CLI_HEAD = f"""# Commands

{GENERATED}

Every command has `--json FILE|-`, which writes its answer, or its error as a problem document, as JSON, and `--help`.
Exit codes: 0 done, 2 usage or bad input, 3 refused by a rule (the rule is printed), 4 a party or service is unreachable,
1 anything else; see [errors](errors.md). Where a command takes a digest, its first characters are enough; for tasks and
releases `latest` is the last one; for agreements the file of the terms that you have read will do.

A command that works on a server reaches it over a socket in the server's folder, which only its operator can open; the
secrets never pass through arguments. Environment variables:

| Variable | Meaning |
|---|---|
| `CLOISTER_FOLDER` | the server's folder, instead of `--folder` |
| `CLOISTER_HUB_FOLDER` | the relay's folder, for `cloister hub` |
| `CLOISTER_DATA_FOLDERS` | folders whose files may be registered on the page, as `--data-folder`; several with `:` between them |
| `CLOISTER_SAMPLES_DATABASE` | for `cloister tool`: the plant's own database of samples, a SQLite file or a PostgreSQL URL (which may hold a password here) |
| `CLOISTER_PASSPHRASE_FILE` | a file that only you can read (mode 0600) and whose first line is the passphrase |
| `CLOISTER_PASSPHRASE_FD` | the number of an open file descriptor to read the passphrase from |
| `CLOISTER_UNCONFINED_WORKERS` | `accepted`: a server starts its workers even where the system cannot confine them; `cloister doctor` says what is missing |
| `CLOISTER_PYTHON` | for `scripts/setup`: which Python makes the environment |
| `CLOISTER_TEST_POSTGRES` | for the tests: a PostgreSQL to run them on, instead of one of their own |
| `CLOISTER_TEST_CHROMIUM` | for the tests: the Chromium to look at the page with |
| `CLOISTER_TEST_WORKERS` | for `scripts/test`: in how many processes the whole suite runs; by the machine's cores and memory, if absent |

Completion of commands and options with the Tab key: put the line for your shell into its start file.

| Shell | Line |
|---|---|
| bash | `eval "$(_CLOISTER_COMPLETE=bash_source cloister)"` |
| zsh | `eval "$(_CLOISTER_COMPLETE=zsh_source cloister)"` |
| fish | `_CLOISTER_COMPLETE=fish_source cloister \\| source` |
"""

API_HEAD = f"""# The node's interface

{GENERATED}

JSON over HTTP, by two doors. On the Unix socket `node.sock` in the server's folder (mode 0600), whoever may open it is the operator, with
every right; `cloister` and `cloister.connect(folder=...)` go that way. At the page's address a program shows a token
(`Authorization: Bearer ...`, made under *My account*), which has a part of its maker's [rights](../explanation/the-page.md#who-may-do-what)
and never binds the organisation. Each route names the right that it takes.

Errors are problem documents (RFC 9457, [errors](errors.md)). Lists take `limit` and `cursor`; the next part is at the `Link` header's
`rel="next"`. A POST with an `Idempotency-Key` that is sent again does not act again. Bytes travel as base64 in `content`. The schema
itself: `GET /api/v1/openapi.json`.

"""

PYTHON_HEAD = f"""# Cloister from Python

{GENERATED}

What `import cloister` offers; [how to use it](../how-to/use-from-python.md). Every error is a `cloister.CloisterError`.
"""

RECIPES_HEAD = f"""# Training recipes

{GENERATED}

A recipe says everything about a training that parties agree on besides the model. It is a JSON file, part of the signed
plan, given to `cloister ask train --model MODEL --recipe FILE`. Fields that are not listed here are refused. Constants
that scale records are public and written down beforehand: nothing is computed on anybody's records to choose them.
"""

RECIPES_TAIL = """## Losses and metrics

Losses: `cross-entropy`, `binary-cross-entropy` (of logits), `mean-squared-error`, `dice`; each also with
`-per-pixel` for outputs with a value at each pixel; `star-convex-outlines`, which goes with the preparation `outlines` and a
model that answers as `cloister.data.stars` lays out. Metrics: `loss`, `accuracy`, `r2`, `mean-absolute-error`,
`count-accuracy` (pictures). Labels with `classes` are class numbers and go with `cross-entropy` and one output for
each class; numeric labels go with `mean-squared-error`, or, where they are 0 and 1, with `binary-cross-entropy`.

## Windows and privacy

With `windows`, rows of one machine become examples: each owner's server makes them of its own rows, in the order of the
table. The features have the names that `columns` lists; a column that is no feature, and the label, are read in the window's last
row. A tool that is to use the model has the same windows in its step `windows@1`.

One row more or less moves all windows after it, so under a privacy budget the unit has to be the column that `by` names
(`cloister dataset add … --unit COLUMN`); another unit is refused. Neighbouring windows of one machine may fall on both sides of
`validation`, so a metric on records kept apart is kinder than rows of another machine would be; with that unit, machines are kept
apart as a whole.

Examples that are trained by the project's tests stand in [the researcher's tutorial](../tutorial/researcher.md) and, with windows,
in [the second one](../tutorial/second-tool.md).
"""

PROBLEMS_HEAD = f"""# Errors

{GENERATED}

Every error says what happened, why, and what to do next. In JSON it is a problem document (RFC 9457):

```json
{{
  "type": "urn:cloister:problem:refused",
  "title": "The agreement does not permit this task.",
  "status": 403,
  "detail": "The purpose is not among the agreement's.",
  "remedy": "Ask under one of the purposes, or agree on a new version.",
  "clause": "purpose"
}}
```

`type` is stable, programs branch on it; the texts are for people and may change. `clause` names the rule of a refusal:
a clause of the agreement ([agreements](agreements.md)) or a rule of the house.

| Type | HTTP status | Exit code | Meaning |
|---|---|---|---|"""

PROBLEMS_TAIL = """## Exit codes of every command

| Code | Meaning |
|---|---|
| 0 | done |
| 1 | anything that is not below; also a check that found something wrong (`cloister doctor`) |
| 2 | wrong usage, input that cannot be used, or nothing by that name |
| 3 | refused by a rule, or a verification that does not hold |
| 4 | a party or service is unreachable, or did not answer in time |
| 130 | interrupted from the keyboard |
"""

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command_line,
    "api.md": interface,
    "python.md": python,
    "recipes.md": recipes,
    "errors.md": problems,
    "operators.md": operators,
    "tools.md": steps,
}


def main() -> int:
    """Writes or checks every page; 1 if one was out of date."""
    check = "--check" in sys.argv[1:]
    stale = []
    for name, write in PAGES.items():
        path, text = REFERENCE / name, write()
        if not path.is_file() or path.read_text("utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, "utf-8")
    print(f"{'Out of date' if check else 'Written'}: {', '.join(stale) or 'nothing'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
