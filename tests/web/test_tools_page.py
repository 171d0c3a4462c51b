"""The tools' screens without script: a form, a result, keep or not, samples over time, installing; and who may not."""

from __future__ import annotations

import contextlib
import html
import re
import socket

import pytest

from cloister.node.toolroom.limits import RoomLimits
from tools.toolmaking import discs, png, spread_centres
from web.toolhouse import NINE, PLAIN, photograph, picture, tool_file, tool_house


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("h")) as made:
        yield made


@pytest.fixture(scope="module")
def peopled(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("p"), people=True) as made:
        yield made


@pytest.fixture
def visitor(house):
    with house.visitor() as browser:
        yield browser


@pytest.fixture
def eva(peopled):
    browser = peopled.eva()
    yield browser
    browser.close()


def drop(browser, *pictures, **fields):
    files = [("file", (name, data, "image/png")) for name, data in pictures or (("a.png", PLAIN),)]
    return browser.post("/tools/discs", files=files, data=fields)


def words(answer):
    """What a person reads."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def test_before_there_is_an_account_the_tools_are_there_and_nothing_else(house, visitor):
    assert house.site.state == "new"
    read = words(visitor.get("/tools"))
    assert "Bright discs" in read
    assert "Crystals in micrographs" in read
    assert "Install from a file" not in read
    for path in ("/tools/install", "/people", "/settings"):
        answer = visitor.get(path, follow_redirects=False)
        assert answer.status_code in {303, 403}, path
    assert visitor.post("/tools/discs/rollback").status_code == 403


def test_a_picture_gives_a_result_that_can_be_kept_or_not(visitor):
    answer = drop(visitor, um_per_pixel="0,5")
    assert answer.status_code == 200
    sample = re.search(r"/samples/([0-9a-f]{48})", str(answer.url)).group(1)
    read = words(answer)
    for expected in (
        "a.png",
        f"Count {NINE}",
        "µm",
        "Nothing left this machine",
        "Not kept yet",
        "Do not keep",
    ):
        assert expected in read, expected
    assert "It could reach no network" in read
    assert "connected to no other organisation" in read
    overlay = visitor.get(f"/samples/{sample}/overlay.png")
    assert overlay.headers["content-type"] == "image/png"
    assert overlay.headers["x-content-type-options"] == "nosniff"
    answer = visitor.post(f"/samples/{sample}/keep", data={"label": "Line 1", "pictures": "overlay"})
    assert "The sample is kept." in answer.text
    assert "Kept under “Line 1”" in words(answer)
    assert "a.png" in words(visitor.get("/samples?label=Line+1"))
    assert visitor.get(f"/samples/{sample}/original.png").status_code == 404
    assert "label is changed" in visitor.post(f"/samples/{sample}/label", data={"label": "Line 2"}).text
    assert "This cannot be undone." in visitor.post("/samples/delete", data={"sample": sample}).text
    assert visitor.get(f"/samples/{sample}").status_code == 200
    assert (
        "sample was deleted" in visitor.post("/samples/delete", data={"sample": sample, "sure": "yes"}).text
    )
    assert visitor.get(f"/samples/{sample}").status_code == 404


def test_it_is_said_why_fewer_have_a_size_than_were_counted(visitor):
    cut = png(discs(200, 150, [(0, 75), *spread_centres(200, 150, NINE)]))
    read = words(drop(visitor, ("cut.png", cut)))
    assert f"Count {NINE + 1}" in read
    assert f"With a diameter {NINE}" in read
    reason = "1 of the 10 is cut by the picture's edge: counted, but how large they are cannot be seen. Sizes are those of the other 9."
    assert read.count(reason) == 2
    assert "cut by the picture's edge" not in words(drop(visitor))


def test_what_the_tool_is_not_good_for_stands_beside_the_result(visitor):
    assert "Not good for: Made for tests." in words(drop(visitor))


def test_what_is_not_kept_is_forgotten(visitor):
    sample = str(drop(visitor).url)[-48:]
    answer = visitor.post(f"/samples/{sample}/discard")
    assert "forgotten" in answer.text
    assert visitor.get(f"/samples/{sample}").status_code == 404
    assert visitor.get(f"/samples/{sample}/overlay.png").status_code == 404


def test_several_at_once_and_the_bad_one_is_named(visitor):
    answer = drop(visitor, ("one.png", PLAIN), ("two.png", picture(5)))
    assert "2 results." in answer.text
    answer = drop(
        visitor, ("good.png", PLAIN), ("notes.png", b"hello"), ("drawing.png", b"<svg onload='x'/>")
    )
    read = words(answer)
    assert "2 of the files gave no result." in read
    assert "notes.png is not a picture that can be opened. It looks like a text file." in read
    assert "good.png" in read
    answer = drop(visitor, ("only.png", b"GIF89a"))
    assert answer.status_code == 422
    assert "only.png is not a picture" in words(answer)


def test_nothing_typed_is_lost(visitor):
    answer = visitor.post(
        "/tools/discs", data={"um_per_pixel": "0.7", "set-threshold": "0.3"}, files={"x": ("", b"")}
    )
    assert answer.status_code == 422
    assert "No file was chosen." in answer.text
    assert 'value="0.7"' in answer.text
    assert 'value="0.3"' in answer.text
    for fields in (
        {"um_per_pixel": "much"},
        {"set-threshold": "7"},
        {"set-nothing": "1"},
        {"um_per_pixel": "1e999"},
    ):
        answer = drop(visitor, **fields)
        assert answer.status_code == 422, fields
        assert 'role="alert"' in answer.text


def test_settings_and_calibration_count(visitor):
    read = words(drop(visitor, um_per_pixel="2", **{"set-threshold": "0.45"}))
    assert "threshold = 0.45" in read
    assert "Size of a pixel 2 µm" in read
    assert "as the tool has them" in words(drop(visitor, **{"set-threshold": "0.5"}))


def test_what_comes_out_is_never_what_came_in(visitor):
    answer = visitor.post(
        "/tools/discs", files={"file": ("../../<b>x</b>.png", PLAIN + b"<script>alert(1)</script>")}
    )
    assert "<b>x" not in answer.text
    sample = str(answer.url)[-48:]
    turned = str(drop(visitor, ("gps.jpg", photograph())).url)[-48:]
    for one in (sample, turned):
        for name in ("original.png", "overlay.png", "report.html", "table.csv", "result.json"):
            got = visitor.get(f"/samples/{one}/{name}")
            assert got.status_code == 200, name
            assert b"alert(1)" not in got.content
            assert b"CameraOfTheHouse" not in got.content
            assert got.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "150 \u00d7 200 pixels" in words(visitor.get(f"/samples/{turned}"))
    for name in ("..%2F..%2Fcloister.db", "cloister.db", "sizes.svg", "original.svg", "%00"):
        assert visitor.get(f"/samples/{sample}/{name}").status_code in {400, 404}, name
    download = visitor.get(f"/samples/{sample}/table.csv")
    assert download.headers["content-disposition"] == 'attachment; filename="b-table.csv"'


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\r\nb.png", 'a";x=".png', "\u202egnp.exe", "x" * 4000]
)
def test_names_with_tricks_are_only_shown(visitor, name):
    answer = visitor.post("/tools/discs", files={"file": (name, PLAIN)})
    assert answer.status_code == 200
    assert "\u202e" not in answer.text
    assert "etc/passwd" not in words(answer)


def test_too_many_files_or_bytes_are_refused_before_they_are_read(house, visitor):
    answer = visitor.post("/tools/discs", files=[("file", (f"{n}.png", PLAIN)) for n in range(9)])
    assert answer.status_code == 422
    head = (
        f"POST /tools/discs HTTP/1.1\r\nhost: {visitor.base_url.netloc.decode()}\r\norigin: {house.url}\r\n"
        f"content-type: multipart/form-data; boundary=x\r\ncontent-length: {10**12}\r\n\r\n"
    )
    with socket.create_connection((visitor.base_url.host, visitor.base_url.port)) as line:
        line.sendall(head.encode())
        assert line.recv(100).startswith(b"HTTP/1.1 413 ")
    answer = visitor.post("/tools/discs", content=b"no form", headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    assert (
        visitor.post(
            "/tools/discs", content=b"--x\r\n", headers={"content-type": "multipart/form-data; boundary=x"}
        ).status_code
        == 422
    )


def test_a_form_of_another_site_changes_nothing(house, visitor):
    answer = visitor.post(
        "/tools/discs", files={"file": ("a.png", PLAIN)}, headers={"origin": "https://evil.example"}
    )
    assert answer.status_code == 403


def test_who_comes_too_often_is_told(tmp_path):
    with tool_house(tmp_path) as house, house.visitor() as browser:
        house.site.tools._paces._burst = 1
        house.site.tools._paces._per_hour = 60
        assert drop(browser).status_code == 200
        answer = drop(browser)
        assert answer.status_code == 429
        assert "Try again in" in words(answer)
        (seconds,) = re.findall(r"Try again in (\d+) seconds", words(answer))
        assert answer.headers["retry-after"] == seconds
        answer = browser.post("/api/v1/tools/discs/samples", files={"file": ("a.png", PLAIN)})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60


def test_samples_are_searched_drawn_and_exported(visitor):
    for count in (3, 5, 7):
        sample = str(drop(visitor, (f"count-{count}.png", picture(count))).url)[-48:]
        visitor.post(f"/samples/{sample}/keep", data={"label": "searched", "pictures": "none"})
    answer = visitor.get("/samples?label=searched")
    assert 'data-chart="line"' in answer.text
    assert "3 samples found" in words(answer)
    assert "No sample fits that." in words(visitor.get("/samples?text=nowhere"))
    got = visitor.get("/samples/export.csv?label=searched")
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    assert got.text.count("count-") == 3
    assert len(visitor.get("/samples/export.json?label=searched").json()["samples"]) == 3
    assert visitor.get("/samples?since=yesterday").status_code == 422
    assert visitor.get("/samples?before=nonsense").status_code == 422
    assert visitor.get("/samples?text=%00").status_code in {400, 422}
    listed = answer.text.partition('action="/samples/delete"')[2]
    ids = re.findall(r'name="sample" value="([0-9a-f]{48})"', listed)
    assert len(ids) == 3
    asked = visitor.post("/samples/delete", data={"sample": ids}).text
    assert "Delete these 3 samples" in asked
    assert all(name in asked for name in ids)
    done = visitor.post("/samples/delete", data={"sample": ids, "sure": "yes"})
    assert "3 samples were deleted." in done.text


def test_several_results_are_kept_with_one_label(visitor):
    ids = [str(drop(visitor, (f"batch-{n}.png", PLAIN)).url)[-48:] for n in range(2)]
    read = words(visitor.get("/samples"))
    assert "batch-0.png" in read
    answer = visitor.post(
        "/samples/keep", data={"sample": [*ids, "0" * 48], "label": "batch", "pictures": "none"}
    )
    assert "2 samples are kept." in answer.text
    assert visitor.post("/samples/keep", data={"sample": ids, "pictures": "everything"}).status_code == 422


def test_another_persons_result_is_nobody_elses(peopled, eva):
    sample = str(drop(eva).url)[-48:]
    peopled.site.accounts.add("Ben", ["tool-user"], "ten purple plums roll")
    with contextlib.closing(peopled.visitor()) as ben:
        ben.sign_in("Ben", "ten purple plums roll")
        assert ben.get("/tools/discs").status_code == 200
        for path in (
            f"/samples/{sample}",
            f"/samples/{sample}/overlay.png",
            f"/samples/{sample}/report.html",
        ):
            assert ben.get(path).status_code == 404, path
        assert ben.post(f"/samples/{sample}/keep").status_code == 404
        assert ben.post(f"/samples/{sample}/discard").status_code == 404
        assert ben.get("/tools/install").status_code == 403
    assert eva.get(f"/samples/{sample}").status_code == 200
    with peopled.visitor() as nobody:
        assert nobody.get(f"/samples/{sample}", follow_redirects=False).status_code == 303
        assert drop(nobody).status_code == 401


def test_a_tool_is_installed_after_a_look_and_gone_back_from(eva):
    assert "Install from a file" in words(eva.get("/tools"))
    answer = eva.post("/tools/install", files={"file": ("better.tool", tool_file(title="Better discs"))})
    read = words(answer)
    for expected in (
        "Install Better discs?",
        "version 1.0.0 of discs",
        "Nobody vouches for it",
        "confined process",
    ):
        assert expected in read, expected
    offer = str(answer.url).rpartition("/")[2]
    assert "Bright discs" in words(eva.get("/tools"))
    answer = eva.post(f"/tools/install/{offer}")
    assert "Version 1.1.0 is installed." in answer.text
    assert eva.get(f"/tools/install/{offer}").status_code == 404
    assert "Nobody vouches for it" in words(eva.get("/tools/discs/certificate")).replace("nobody", "Nobody")
    exported = eva.get("/tools/discs/file")
    assert exported.headers["content-disposition"] == 'attachment; filename="discs.tool"'
    assert exported.content == tool_file(title="Better discs")
    assert "Version 1.0.0 is in use again." in eva.post("/tools/discs/rollback").text
    answer = eva.post("/tools/discs/rollback")
    assert answer.status_code == 409
    assert "no earlier version" in words(answer)


def test_an_older_tool_or_no_tool_is_not_installed(eva):
    answer = eva.post("/tools/install", files={"file": ("x.tool", b"PK nothing")})
    assert answer.status_code == 422
    assert "is not a tool. It is a file of another kind, or was damaged on the way." in words(answer)
    assert "Zip" not in words(answer)
    assert eva.post("/tools/install", files={"file": ("", b"")}).status_code == 422
    old = eva.post("/tools/install", files={"file": ("old.tool", tool_file("0.9.0"))})
    offer = str(old.url).rpartition("/")[2]
    answer = eva.post(f"/tools/install/{offer}")
    assert answer.status_code == 409
    assert "0.9.0 does not replace it" in words(answer)
    assert "Nothing was installed." in eva.post(f"/tools/install/{offer}/discard").text


def test_an_unknown_tool_is_not_there(visitor):
    for path in ("/tools/nothing", "/tools/nothing/certificate", "/tools/nothing/file"):
        assert visitor.get(path).status_code == 404, path
    assert visitor.get("/tools/UPPER%20case").status_code in {400, 404, 422}


def test_limits_stand_on_the_page(visitor):
    assert f"up to {RoomLimits().file_bytes // 10**6} MB each" in words(visitor.get("/tools/discs"))
