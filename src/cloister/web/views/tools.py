"""What the screens and the JSON interface of tools share: who asks, what they set, how figures are called."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from fastapi import Request, Response

from cloister.foundation.errors import BadInput, NotAllowed, NotFound
from cloister.foundation.text import acts
from cloister.node.toolroom.recent import Sample, new_id
from cloister.node.toolroom.room import ToolRoom, Who
from cloister.node.toolroom.shelf import Card, Opened, signer_names
from cloister.people.sessions import stored
from cloister.release.bundle import Checked
from cloister.sizing.calibration import Calibration
from cloister.storage.samples import Wanted
from cloister.tools.check import parameters_of
from cloister.tools.install import State
from cloister.tools.manifest import Manifest, takes_pictures
from cloister.tools.serving import FILES
from cloister.tools.types import Figures
from cloister.web.diary import Diary
from cloister.web.doors import SITE, Visit
from cloister.web.guard import Caller, caller_of
from cloister.web.views import typed

_TEXT_MOST = 100


@dataclass(frozen=True)
class Setting:
    """Something that a tool lets people set.

    Attributes:
        name: by which it is set.
        title: for people.
        about: what to set it to.
        kind: what values it takes.
        default: what holds if nobody sets it.
        lowest: the least number.
        highest: the greatest.
    """

    name: str
    title: str
    about: str
    kind: Literal["number", "whole", "truth", "text"]
    default: Any
    lowest: float | None
    highest: float | None


def who(request: Request) -> Who:
    """Who uses a tool: an account; a browser, while there is no account; or the operator of the machine."""
    caller = caller_of(request)
    visit = request.scope.get(SITE)
    if not isinstance(visit, Visit):
        return Who("operator", caller.name, "this machine")
    if caller.account:
        return Who(f"account:{caller.account}", caller.name, visit.remote)
    # A browser without its cookie is one that nothing is known of: it has dropped nothing yet.
    return Who(f"visitor:{stored(visit.visitor or new_id())}", caller.name, visit.remote)


def note_going_back(diary: Diary, caller: Caller, state: State) -> None:
    """Writes down that somebody went back to an earlier version of a tool, which is now `state`."""
    diary.note(caller, "went back to an earlier version of the tool", f"{state.name} {state.current.version}")


def is_own(request: Request, sample: Sample) -> bool:
    """Whether whoever asks may label and delete a sample: it is one's own, or one manages everybody's."""
    return "samples.manage" in caller_of(request).rights or bool(
        sample.owner and sample.owner == who(request).key
    )


def require_own(request: Request, sample: Sample) -> None:
    """Returns if whoever asks may label and delete a sample. Raises `NotAllowed`."""
    if not is_own(request, sample):
        raise NotAllowed(
            "This sample is somebody else's.",
            "Samples are labelled and deleted by whoever kept them.",
            "Ask that person, or whoever runs this server.",
            right="samples.manage",
        )


# What people set -------------------------------------------------------------------------------------------------------


def settings_of(manifest: Manifest) -> list[Setting]:
    """What a tool lets people set, in the order of its manifest."""
    steps = {use.name: use for use in manifest.pipeline}
    made = []
    for name, item in manifest.adjustable.items():
        default = getattr(parameters_of(steps[item.step]), item.parameter)
        kind: Literal["number", "whole", "truth", "text"] = "text"
        if isinstance(default, bool):
            kind = "truth"
        elif isinstance(default, int):
            kind = "whole"
        elif isinstance(default, float):
            kind = "number"
        title = name.replace("_", " ").capitalize()
        made.append(Setting(name, title, item.about, kind, default, item.lowest, item.highest))
    return made


def chosen(manifest: Manifest, fields: Mapping[str, str]) -> dict[str, Any]:
    """What a form sets: fields `set-NAME`; those that are empty or as they would be anyway are left out. Raises `BadInput`."""
    known = {setting.name: setting for setting in settings_of(manifest)}
    made: dict[str, Any] = {}
    for field, text in fields.items():
        if not field.startswith("set-") or not text.strip():
            continue
        setting = known.get(field.removeprefix("set-"))
        if setting is None:
            raise BadInput(
                f"The tool has no setting {field.removeprefix('set-')[:40]!r}.",
                f"It has {', '.join(known) or 'none'}.",
                "Leave it out.",
            )
        value = _value(setting, text.strip())
        if value != setting.default:
            made[setting.name] = value
    return made


def micrometres(text: str) -> float | None:
    """The size of a pixel as somebody wrote it; `None` where nobody did. Raises `BadInput`."""
    return typed.number(text, "The size of a pixel") if text.strip() else None


def scale_of(room: ToolRoom, fields: Mapping[str, str]) -> tuple[float | None, Calibration | None]:
    """The size of a pixel as typed, or the calibration chosen by name; a browser remembers the size, so the calibration counts.

    Raises:
        BadInput: what was typed is no number.
        NotFound: there is no such calibration.
    """
    name = fields.get("calibration", "").strip()
    if name:
        return None, room.scales.kept.get(name[:100])
    return micrometres(fields.get("um_per_pixel", "")), None


def _value(setting: Setting, text: str) -> Any:
    if setting.kind == "truth":
        return text in ("yes", "true", "on", "1")
    if setting.kind == "text":
        return text[:200]
    if setting.kind == "number":
        return typed.number(text, setting.title)
    return typed.whole(text, setting.title, least=-999_999_999)


def counted(manifest: Manifest) -> str:
    """What a tool for tables counts, as its report says it, to stand over the number; `Count` where it counts in pictures."""
    if takes_pictures(manifest):
        return "Count"
    for use in manifest.pipeline:
        if use.step.partition("@")[0] == "report":
            text = str(getattr(parameters_of(use), "counted", ""))
            return text[:1].upper() + text[1:] or "Count"
    return "Count"


# What people look for --------------------------------------------------------------------------------------------------


def wanted(tool: str = "", label: str = "", text: str = "", since: str = "", until: str = "") -> Wanted:
    """A search as somebody filled it in; `since` and `until` are days (UTC), both of them included. Raises `BadInput`."""
    if any(acts(word) for word in (tool, label, text)):
        raise BadInput("That cannot be looked for.", "It has characters that nobody types.", "Type it again.")
    return Wanted(
        tool[:_TEXT_MOST],
        label[:_TEXT_MOST],
        text.strip()[:_TEXT_MOST],
        _day(since),
        None if (last := _day(until)) is None else last + int(timedelta(days=1).total_seconds()),
    )


def _day(text: str) -> int | None:
    if not text.strip():
        return None
    return typed.begins(typed.day(text, "A day"))


# What is told ----------------------------------------------------------------------------------------------------------


def figure_name(name: str) -> str:
    """A figure's name for people: `diameter_d50` is `Diameter D50`."""
    words = [word.upper() if re.fullmatch(r"d\d+", word) else word for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def figure(value: float | None, unit: str = "") -> str:
    """A figure for people: three digits that count, with its unit."""
    if value is None:
        return "none"
    text = (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}".replace(",", "\u202f")
    )
    return f"{text}\u00a0{unit}" if unit else text


def likely(sample: Sample) -> str:
    """Between which numbers the true count is likely to be, as the tool tells it; empty where it does not."""
    low, high = sample.figures.values.get("count_low"), sample.figures.values.get("count_high")
    if low is None or high is None or low == high:
        return ""
    return f"likely {figure(low)} to {figure(high)}"


def sizes(figures: Figures) -> list[tuple[str, str]]:
    """The sizes that are looked at first: the middle one, and between which most lie."""
    values, units = figures.values, figures.units
    # By number before by volume: that is what people read off a picture.
    for name in sorted(values, key=lambda name: "_by_" in name):
        if not name.endswith("_d50") or values[name] is None:
            continue
        stem, unit = name.removesuffix("_d50"), units.get(name, "")
        low, high = values.get(f"{stem}_d10"), values.get(f"{stem}_d90")
        found = [(f"Median {stem.replace('_', ' ')}", figure(values[name], unit))]
        if low is not None and high is not None:
            found.append(("80\u00a0% lie between", f"{figure(low)} and {figure(high, unit)}"))
        return found
    return []


def picture_of(sample: Sample, kind: str) -> str:
    """The name of a sample's file of a kind (`original`, `overlay`), or empty."""
    return next((name for name in sorted(sample.files) if name.startswith(f"{kind}.")), "")


_MEASURES = {
    "network": "It could reach no network: the system refuses it every connection.",
    "files": "It could open no file of this machine but its own program.",
    "system-calls": "It could start no other program and reach no other process.",
    "environment": "Nothing of this server's settings was passed on to it.",
    "privileges": "It could gain no rights that it did not begin with.",
    "memory": "Its memory was limited.",
    "open-files": "It could hold few files open.",
    "core-dumps": "Its memory is never written to a disk, also not if it fails.",
    "session": "It can be ended as a whole at any time.",
    "parent": "It ends with this server.",
    "niceness": "It yields to other work.",
}


def evidence_lines(sample: Sample) -> list[tuple[str, bool, str]]:
    """What confined the worker that opened the file: a sentence, whether it held, and why not."""
    report = sample.evidence.sandbox
    return [
        (
            text,
            report.get(measure) == "enforced",
            "" if report.get(measure) == "enforced" else report.get(measure, ""),
        )
        for measure, text in _MEASURES.items()
        if measure in report
    ]


# Files -----------------------------------------------------------------------------------------------------------------

_REPORT_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
)
"""A report is a page that a worker wrote from foreign bytes: it is shown as a document of nobody, without script."""


def file_answer(room: ToolRoom, sample: Sample, name: str, asked: Who, *, download: bool) -> Response:
    """One of a result's files, under its fixed media type. Raises `NotFound`."""
    kind = FILES.get(name)
    if kind is None:
        raise NotFound("There is no such file.", "", "See the result's page.")
    shown = not download and kind.startswith(("image/", "text/html"))
    headers = {
        "content-disposition": f'{"inline" if shown else "attachment"}; filename="{download_name(sample, name)}"',
        "content-security-policy": _REPORT_POLICY,
    }
    return Response(room.file(sample.id, name, asked), media_type=kind, headers=headers)


def cleaned_answer(sample: Sample, content: bytes) -> Response:
    """A cleaned picture, whose name says what it is not for."""
    png = content.startswith(b"\x89PNG")
    name = download_name(sample, f"cleaned-not-for-measurement.{'png' if png else 'jpg'}")
    headers = {
        "content-disposition": f'attachment; filename="{name}"',
        "content-security-policy": _REPORT_POLICY,
        "cache-control": "no-store",
    }
    return Response(content, media_type="image/png" if png else "image/jpeg", headers=headers)


def download_name(sample: Sample, name: str) -> str:
    """What a downloaded file is called: plain letters of the picture's name, then what it is."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", sample.file.rpartition(".")[0] or sample.file).strip("-")[:60]
    return f"{stem or 'sample'}-{name}"


# As JSON ---------------------------------------------------------------------------------------------------------------


def card_json(card: Card) -> dict[str, Any]:
    """A tool in a list, as JSON."""
    return {
        "name": card.name,
        "version": card.version,
        "title": card.title,
        "description": card.description,
        "intended_use": card.intended_use,
        "origin": card.origin,
        "installed_at": card.at,
        "signers": list(card.signers),
        "error": None if card.error is None else card.error.problem(),
    }


def tool_json(opened: Opened) -> dict[str, Any]:
    """A tool, as JSON."""
    return {
        "manifest": opened.manifest.model_dump(mode="json"),
        "digest": opened.package.tool.digest,
        "origin": opened.origin,
        "history": [entry.model_dump(mode="json") for entry in opened.history],
        "certificate": None if opened.checked is None else certificate_json(opened.checked),
    }


def certificate_json(checked: Checked) -> dict[str, Any]:
    """A certificate that holds, as JSON."""
    return {
        "signers": signer_names(checked),
        "signed_by": sorted(checked.certificate.signed_by),
        "content": checked.certificate.content_digest,
        "statement": json.loads(checked.certificate.predicate.model_dump_json()),
    }
