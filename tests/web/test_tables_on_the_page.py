"""A tool for tables on another plant's page: rows dropped, machines in order of need, a chart, the limits; nothing about pictures."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest

from cloister.applications.maintenance import plants, work
from cloister.tools.install import InstalledTools
from cloister.tools.making import make_tool
from web.street import new_house

MACHINES = 3


def csv_of(found, without=("state",)):
    rows = plants.table(found)
    columns = [name for name in rows if name not in without]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows(zip(*(rows[name] for name in columns), strict=True))
    return stream.getvalue().encode()


ROWS = csv_of(plants.machines("harbour", 2, count=MACHINES, days=40))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("h")
    InstalledTools(folder / "tools").install(
        make_tool(work.description(), {"states": work.network()}), now=1_800_000_000, verify=lambda *_: None
    )
    with new_house(folder) as made:
        yield made


@pytest.fixture
def visitor(house):
    with house.visitor() as browser:
        yield browser


def words(answer):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def drop(visitor, data=ROWS, name="pumps.csv"):
    return visitor.post("/tools/pumps", files=[("file", (name, data, "text/csv"))])


def test_rows_of_sensors_give_machines_in_order_of_need(visitor):
    answer = drop(visitor)
    assert answer.status_code == 200
    read = words(answer)
    assert "Machines need attention" in read
    assert "Nothing left this machine" in read
    assert "Next table" in read
    assert "Size of a pixel" not in read
    cells = re.findall(r'<th scope="row">(harbour-\d+)</th><td class="number">([^<]+)</td>', answer.text)
    assert len(cells) == MACHINES
    assert [float(sound) for _, sound in cells] == sorted(float(sound) for _, sound in cells)
    assert "It compares each machine with its own first week" in read


def test_the_chart_and_the_table_can_be_taken_along(visitor):
    answer = drop(visitor)
    sample = str(answer.url).rsplit("/", 1)[1]
    chart = visitor.get(f"/samples/{sample}/overlay.png")
    assert chart.content.startswith(b"\x89PNG")
    assert "Outlines" not in words(answer)
    table = visitor.get(f"/samples/{sample}/table.csv").text
    assert table.startswith("machine,sound,")
    assert table.count("harbour-") == MACHINES
    report = visitor.get(f"/samples/{sample}/report.html").text
    assert "machines need attention" in report
    assert "has never seen rows of a real one" in report


def test_the_tools_page_says_what_was_counted(visitor):
    drop(visitor)
    read = words(visitor.get("/tools/pumps"))
    assert "Choose tables" in read
    assert "Machines need attention" in read
    assert "Machines need attention" in words(visitor.get("/tools/pumps/results"))


def test_rows_that_lack_a_column_are_refused_by_its_name(visitor):
    lacking = csv_of(plants.machines("harbour", 2, count=1, days=30), without=("state", "pressure"))
    read = words(drop(visitor, lacking))
    assert "lacks columns that the tool needs" in read
    assert "pressure" in read


def test_names_of_machines_are_shown_as_text(visitor):
    tricky = ROWS.replace(b"harbour-01", b"<b>=1+1\xe2\x80\xae</b>")
    answer = drop(visitor, tricky)
    assert answer.status_code == 200
    assert "<b>=1" not in answer.text
    assert "\u202e" not in answer.text


def test_too_few_rows_are_no_machine_and_no_failure(visitor):
    few = b"".join(ROWS.splitlines(keepends=True)[:5])
    answer = drop(visitor, few)
    assert answer.status_code == 200
    assert "harbour-" not in answer.text
