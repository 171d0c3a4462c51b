"""Datasets on the page, without script: registered step by step, looked at, changed, withdrawn; their budgets."""

from __future__ import annotations

import pytest

from cloister.applications.crystals.factories import preset
from cloister.applications.crystals.synthesis import write_dataset
from node.town import table, until
from web.plenty import alert, fields, heading, town_of, two_houses

COMMAS = "machine;started;pressure;operator\n" + "".join(
    f"M{row % 7};2026-01-{row % 27 + 1:02d};{row % 90},{row % 10};{'Rossi' if row % 3 else 'Okafor'}\n"
    for row in range(300)
)


@pytest.fixture(scope="module")
def town():
    with two_houses() as houses:
        town_of(houses).meet()
        yield houses


@pytest.fixture(scope="module")
def ash(town):
    return town["Ash"]


@pytest.fixture
def eva(ash):
    browser = ash.eva()
    yield browser
    browser.close()


def data(house):
    folder = house.site.folder.root / "data"
    folder.mkdir(exist_ok=True)
    return folder


def begin(eva, path, root=0):
    page = eva.post("/datasets/new", data={"folder": root, "path": path})
    assert page.status_code == 200, alert(page)
    return page, page.url.path


def register(eva, path, name, **more):
    """All steps with what the pages suggest."""
    page, address = begin(eva, path)
    page = eva.post(address, data=fields(page, f"{address}?part=0") if "columns" in page.text else {})
    page = eva.post(
        f"{address}/rules", data=fields(page, f"{address}/rules") | {"name": name, "residency": "AT"} | more
    )
    assert heading(page) == "Who will see what", alert(page)
    return eva.post(f"{address}/register")


def test_a_table_is_registered_step_by_step_and_nothing_typed_is_lost(ash, eva):
    (data(ash) / "press line.csv").write_text(COMMAS)
    assert "press line.csv" in eva.get("/datasets/new").text
    page, address = begin(eva, "press line.csv")
    assert "Read now with a comma" in page.text
    assert "Okafor" in page.text

    form = fields(page, f"{address}?part=0")
    assert form["k2"] == "real"
    assert form["s0"] == "confidential"
    form |= {
        "s0": "internal",
        "s3": "personal",
        "u2": "bar",
        "d2": "At the <b>inlet</b>",
        "unit": "column:machine",
        "do": "next",
    }
    page = eva.post(address, data=form)
    assert heading(page) == "Its rules"
    again = fields(eva.get(address), f"{address}?part=0")
    assert {key: again[key] for key in ("s0", "s3", "u2", "d2", "unit")} == {
        key: form[key] for key in ("s0", "s3", "u2", "d2", "unit")
    }

    wrong = {
        "name": "Press Line!",
        "title": "Press line 4",
        "residency": "Au",
        "tell_size": "yes",
        "notes": "Maintenance only.",
    }
    page = eva.post(f"{address}/rules", data=wrong)
    assert page.status_code == 422
    assert "The name cannot be used" in alert(page)
    kept = fields(page, f"{address}/rules")
    assert {key: kept[key] for key in wrong} == wrong
    page = eva.post(f"{address}/rules", data=wrong | {"name": "press-line"})
    assert "no country" not in alert(page), "Au is Australia's code"
    page = eva.post(f"{address}/rules", data=wrong | {"name": "press-line", "residency": "Aus"})
    assert "no country" in alert(page)
    assert '<option value="Austria">AT</option>' in page.text
    page = eva.post(f"{address}/rules", data=wrong | {"name": "press-line", "residency": "Austria"})
    assert heading(page) == "Who will see what"
    own, others = page.text.split('id="others"')
    for secret in ("300", "Okafor", "press line.csv", "Maintenance only."):
        assert secret in own
        assert secret not in others
    assert "100 to 1000 records" in others
    assert "At the &lt;b&gt;inlet&lt;/b&gt;" in others

    assert f'href="{address}"' in eva.get("/datasets").text
    page = eva.post(f"{address}/register")
    assert page.url.path == "/datasets/own/press-line"
    assert "300 records, a number that only you see" in page.text
    told = ash.node.datasets.one("press-line")
    entry = told["catalogue"]
    assert [column["kind"] for column in entry["columns"]] == ["text", "timestamp", "real", "text"]
    assert [column["sensitivity"] for column in entry["columns"]] == [
        "internal",
        "confidential",
        "confidential",
        "personal",
    ]
    assert entry["unit_of_privacy"] == {"kind": "column", "column": "machine"}
    assert (entry["residency"], entry["size_band"]) == ("AT", "100 to 1000")
    assert entry["columns"][2]["unit"] == "bar"
    assert entry["columns"][2]["description"] == "At the <b>inlet</b>"
    assert told["notes"] == "Maintenance only."
    assert eva.get(address).status_code == 404
    assert "Not finished" not in eva.get("/datasets").text


def test_others_get_exactly_what_the_review_showed(town, eva):
    lab = town["Lab"]
    until(
        "the entry at the lab",
        lambda: any(e.name == "press-line" for e in lab.node.datasets.catalogue().values()),
    )
    page = lab.eva().get("/datasets/others")
    assert "Press line 4" in page.text
    assert "Okafor" not in page.text
    assert "Maintenance" not in page.text


def test_a_folder_of_pictures_is_registered(ash, eva):
    write_dataset(data(ash) / "micrographs", preset("seed-like"), 3, 1)
    page, address = begin(eva, "micrographs")
    assert heading(page) == "What the pictures are"
    assert "centres and diameters" in page.text
    page = eva.post(
        address, data={"sensitivity": "internal", "description": "Crystals", "micrometres": "0,65"}
    )
    page = eva.post(f"{address}/rules", data={"name": "micrographs", "residency": "DE"})
    assert "0.65 µm per pixel" in page.text
    assert eva.post(f"{address}/register").url.path == "/datasets/own/micrographs"
    entry = ash.node.datasets.one("micrographs")["catalogue"]
    assert entry["image"]["micrometres_per_pixel"] == 0.65
    assert entry["unit_of_privacy"]["kind"] == "image"


def test_an_upload_is_kept_registered_and_dropped_when_it_is_given_up(ash, eva):
    page = eva.post("/datasets/upload", files={"table": ("../My table.csv", b"a,b\n1,2\n3,4\n")})
    assert heading(page) == "What the columns are"
    address = page.url.path
    path = data(ash) / "uploads" / "My-table.csv"
    assert path.exists()
    assert eva.post(f"{address}/discard").url.path == "/datasets"
    assert not path.exists()
    assert eva.post("/datasets/upload", files={"table": ("x.exe", b"a\n1\n")}).status_code == 422
    assert eva.post("/datasets/upload", files={"table": ("bad.csv", b"\xff\xfe\x00")}).status_code == 422
    assert not list((data(ash) / "uploads").iterdir())


def test_a_column_that_is_not_what_it_looks_is_told_before_registering(ash, eva):
    (data(ash) / "stray.csv").write_text(
        "n,x\n" + "".join(f"{r},{'n/a' if r == 3 else r}\n" for r in range(20))
    )
    page, address = begin(eva, "stray.csv")
    page = eva.post(address, data=fields(page, f"{address}?part=0"))
    assert page.status_code == 422
    assert "Line 5" in alert(page)
    page = eva.post(address, data=fields(page, f"{address}?part=0") | {"k1": "text"})
    assert heading(page) == "Its rules"


def test_one_level_can_be_set_for_all_columns_and_the_decimal_sign_chosen(ash, eva):
    (data(ash) / "commas.csv").write_text(COMMAS)
    page, address = begin(eva, "commas.csv")
    page = eva.post(address, data=fields(page, f"{address}?part=0") | {"every": "public", "do": "every"})
    assert {fields(page, f"{address}?part=0")[f"s{n}"] for n in range(4)} == {"public"}
    page = eva.post(address, data=fields(page, f"{address}?part=0") | {"decimal": ".", "do": "again"})
    assert "looks like numbers with a decimal comma" in page.text


def test_wide_tables_are_described_part_by_part(ash, eva):
    (data(ash) / "wide.csv").write_text(
        ",".join(f"c{n}" for n in range(230)) + "\n" + ",".join("1" for _ in range(230)) + "\n"
    )
    page, address = begin(eva, "wide.csv")
    assert "Columns 1 to 100 of 230" in page.text
    page = eva.post(f"{address}?part=0", data=fields(page, f"{address}?part=0") | {"s99": "personal"})
    page = eva.post(f"{address}?part=1", data=fields(page, f"{address}?part=1"))
    page = eva.post(f"{address}?part=2", data=fields(page, f"{address}?part=2") | {"s229": "public"})
    assert heading(page) == "Its rules"
    page = eva.post(f"{address}/rules", data={"name": "wide", "residency": "AT"})
    assert eva.post(f"{address}/register").status_code == 200
    levels = [column["sensitivity"] for column in ash.node.datasets.one("wide")["catalogue"]["columns"]]
    assert (levels[99], levels[229], levels.count("confidential")) == ("personal", "public", 228)


def test_changed_data_is_told_and_a_new_version_registered(ash, eva):
    path = table(data(ash) / "tests.csv", 1)
    assert register(eva, "tests.csv", "tests").url.path == "/datasets/own/tests"
    assert "as it was when it was registered" in eva.post("/datasets/own/tests/check").text
    table(path, 2, rows=170)
    page = eva.get("/datasets")
    assert "CHANGED" in page.text
    assert "Tasks refuse" in page.text
    page = eva.post("/datasets/own/tests/check")
    assert "tests.csv was changed" in page.text
    assert "There are 170 rows; 160 were registered" in page.text
    page = eva.post("/datasets/own/tests/version")
    address = page.url.path
    page = eva.post(address, data=fields(page, f"{address}?part=0"))
    page = eva.post(f"{address}/rules", data=fields(page, f"{address}/rules"))
    assert eva.post(f"{address}/register").url.path == "/datasets/own/tests"
    assert ash.node.datasets.one("tests")["catalogue"]["version"] == 2
    assert "CHANGED" not in eva.get("/datasets/own/tests").text


def test_what_somebody_typed_outlives_the_tab_and_can_be_given_up(ash, eva):
    (data(ash) / "later.csv").write_text("a\n1\n")
    _, address = begin(eva, "later.csv")
    other = ash.eva()
    assert address in other.get("/datasets").text
    assert other.post(f"{address}/discard").url.path == "/datasets"
    assert eva.get(address).status_code == 404
    assert (data(ash) / "later.csv").exists()


def test_a_budget_is_opened_with_the_dataset_and_its_limit_changed(ash, eva):
    (data(ash) / "budgeted.csv").write_text("a\n" + "1\n2\n" * 20)
    page, address = begin(eva, "budgeted.csv")
    eva.post(address, data=fields(page, f"{address}?part=0"))
    asked = {
        "name": "budgeted",
        "residency": "AT",
        "population": "new",
        "population_name": "our plants",
        "epsilon": "-1",
        "delta": "0,00001",
    }
    page = eva.post(f"{address}/rules", data=asked)
    assert "Epsilon cannot be used" in alert(page)
    assert fields(page, f"{address}/rules")["population_name"] == "our plants"
    eva.post(f"{address}/rules", data=asked | {"epsilon": "2"})
    page = eva.post(f"{address}/register")
    assert heading(page) == "Privacy budget"
    page = eva.post(
        "/datasets/own/budgeted/budget", data=fields(page, "/datasets/own/budgeted/budget") | {"do": "open"}
    )
    assert "epsilon 0 of 2 spent" in page.text
    page = eva.post("/datasets/own/budgeted/budget", data={"epsilon": "3,5", "delta": "1e-6"})
    assert "epsilon 0 of 3.5 spent" in page.text
    assert page.url.path == "/datasets/own/budgeted"
    assert "our plants" in eva.get("/datasets").text


def test_a_dataset_is_withdrawn_by_its_name_and_its_files_stay(ash, eva):
    path = table(data(ash) / "gone.csv", 3)
    register(eva, "gone.csv", "gone")
    commitment = ash.node.datasets.one("gone")["commitment"]
    assert "What this stops" in eva.get("/datasets/own/gone/withdraw").text
    assert eva.post("/datasets/own/gone/withdraw", data={"typed": "gon"}).status_code == 404
    assert ash.node.datasets.one("gone")
    assert eva.post("/datasets/own/gone/withdraw", data={"typed": "gone"}).url.path == "/datasets"
    assert eva.get("/datasets/own/gone").status_code == 404
    assert commitment not in ash.node.datasets.catalogue()
    assert path.exists()


def test_notes_are_kept_for_us_alone(ash, eva):
    page = eva.post("/datasets/own/press-line/notes", data={"notes": "Only <i>for</i> the lab\r\nuntil June"})
    assert "Only &lt;i&gt;for&lt;/i&gt; the lab" in page.text
    page = eva.post("/datasets/own/press-line/notes", data={"notes": "x" * 3000})
    assert page.status_code == 422
    assert "x" * 3000 in page.text
    assert ash.node.datasets.one("press-line")["notes"].startswith("Only")
