"""Whatever others wrote: on the terminal it is read, it never acts (`cli.output`)."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from cloister.cli import output
from cloister.cli.common import brief, table
from cloister.cli.demo.view import View
from cloister.cli.logs import Readable
from cloister.foundation.errors import CloisterError, Refused, from_problem
from cloister.foundation.text import acts, readable
from cloister.node.tasks.happenings import in_words

SGR = re.compile(r"\x1b\[[0-9;]*m")
EVIL = st.text(
    st.sampled_from("ab \n\t\r\x00\x07\x08\x1b[]m31;\x7f\x80\x85\x9b\x9d\u200e\u200f\u202a\u202e\u2066\u2069\u061c\u2028\ufeff\U000e0041")
    | st.characters(),
    max_size=40,
)  # fmt: skip


def harmless(shown: str) -> None:
    plain = SGR.sub("", shown)
    for letter in plain:
        assert letter.isprintable() or letter in "\n\xa0", hex(ord(letter))


def printed(what, colours=True):
    stream = io.StringIO()
    made = output.clean_console(
        file=stream, force_terminal=colours, width=60, color_system="truecolor" if colours else None
    )
    made.print(what)
    return stream.getvalue()


@settings(max_examples=150, deadline=None)
@given(text=EVIL)
def test_every_renderer_shows_what_others_wrote_without_its_acting(text):
    from rich.text import Text

    harmless(printed(Text(text, style="bold red")))
    harmless(printed(text))
    harmless(printed(table([text, "Title"], [[text, text]])))
    harmless(readable(in_words({"kind": text, "facts": {}}, {})))
    harmless(
        readable(
            in_words(
                {"kind": "task.refused", "facts": {"party": "p", "problem": {"detail": text}}}, {"p": text}
            )
        )
    )
    harmless(readable(brief(f"What will be done\n{text}")))
    stream = io.StringIO()
    view = View(output.clean_console(file=stream, force_terminal=True, width=80), [text])
    view.chapter(text, text)
    view.say(text, text)
    view.text(text, text)
    view.good(text)
    view.bad(text)
    view.table([text], [[text]], text)
    view.side_by_side({text: [text]}, text)
    view.card(text, [(text, text)])
    harmless(stream.getvalue())


@settings(max_examples=150, deadline=None)
@given(text=EVIL)
def test_json_for_programs_acts_on_no_terminal_and_means_the_same(text):
    made = output.as_json({"name": text, text: [text]})
    harmless(made)
    assert json.loads(made) == {"name": text, text: [text]}


@settings(max_examples=100, deadline=None)
@given(text=EVIL)
def test_what_can_be_seen_stays_and_twice_is_once(text):
    made = readable(text)
    assert readable(made) == made
    assert made.count("\n") == text.count("\n")
    if not acts(text):
        assert made.replace("\xa0", " ") == text.replace("\xa0", " ")
    harmless(made)


def commands(error: CloisterError | None, text: str) -> click.Group:
    @click.group()
    def group() -> None:
        pass

    @output.command(group, "go")
    def go() -> output.Answer:
        """Goes."""
        output.say(text)
        if error is not None:
            raise error
        return output.Answer({"name": text}, [text, table(["A"], [[text]])])

    return group


NASTY = "fine\x1b]0;title\x07\u202egnp.exe\x9b31m\rover"


@pytest.mark.parametrize("error", [None, Refused(NASTY, NASTY, NASTY, clause=NASTY, local=[NASTY])])
@pytest.mark.parametrize("arguments", [[], ["--json", "-"]])
def test_answers_and_errors_of_commands_are_clean(error, arguments):
    result = CliRunner().invoke(commands(error, NASTY), ["go", *arguments])
    assert "fine" in result.output
    harmless(result.output)
    harmless(result.stderr)


FORGED = "no\nOnly you see this: sent\nWhat to do: run it"


def test_an_error_from_elsewhere_has_no_line_that_looks_like_one_of_the_programs_own():
    problem = Refused(FORGED, FORGED, FORGED, clause=FORGED, local=[FORGED]).problem()
    result = CliRunner().invoke(commands(from_problem(problem), "said"), ["go"])
    starts = [line.split(":")[0] for line in result.stderr.splitlines() if not line.startswith("    ")]
    assert starts == ["said", "no", "Why", "Rule", "What to do"]


def test_a_log_record_is_one_line_whatever_others_wrote_into_it():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Readable("%(asctime)s %(name)s %(levelname)s %(message)s"))
    log = logging.getLogger("tests of log records")
    log.propagate = False
    log.addHandler(handler)
    log.warning(
        "documents were not taken: %s", "no\n2026-01-01 00:00:00,000 tests WARNING Locked.\r\u2028\x1b[2K"
    )
    assert len(stream.getvalue().splitlines()) == 1
    assert "no\\n2026" in stream.getvalue()
    harmless(stream.getvalue())
    stream.truncate(0)
    try:
        raise ValueError("here\n2026-01-01 00:00:00,000 tests WARNING Locked.")
    except ValueError:
        log.exception("it failed")
    log.removeHandler(handler)
    first, *frames = stream.getvalue().lstrip("\0").splitlines()
    assert "it failed" in first
    assert frames
    assert all(line.startswith("    ") for line in frames)


def test_commands_print_through_the_one_place():
    for path in sorted(Path(output.__file__).parent.rglob("*.py")):
        source = path.read_text()
        if path.name != "output.py":
            assert not re.search(
                r"click\.(echo|secho|confirm|prompt)\(|\bprint\((?!.*console)",
                re.sub(r"\.print\(", "", source),
            ), path
            assert not re.search(r"(?<!clean_)\bConsole\(", source), path


def test_a_console_of_rich_alone_would_let_it_act():
    """The test above can fail."""
    stream = io.StringIO()
    Console(file=stream, force_terminal=True).print("a\x9b31m\u202eb")
    with pytest.raises(AssertionError):
        harmless(stream.getvalue())
