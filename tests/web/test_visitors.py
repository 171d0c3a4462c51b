"""Browsers where nobody has signed in: told apart by a cookie, so that none is given what another has dropped."""

from __future__ import annotations

from contextlib import closing

import pytest

from web.knocking import port_of
from web.street import Browser
from web.toolhouse import NINE, PLAIN, tool_house


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with tool_house(tmp_path_factory.mktemp("house")) as made:
        yield made


def dropped(browser: Browser) -> dict:
    answer = browser.post("/api/v1/tools/discs/samples", files={"file": ("mine.png", PLAIN, "image/png")})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_one_browser_dropped_is_not_there_for_another_of_the_same_address(house):
    with closing(house.visitor()) as mine, closing(house.visitor()) as other:
        sample = dropped(mine)
        assert sample["count"] == NINE
        assert [item["id"] for item in mine.get("/api/v1/samples/recent").json()] == [sample["id"]]
        assert other.get("/api/v1/samples/recent").json() == []
        for path in (f"/samples/{sample['id']}", f"/api/v1/samples/{sample['id']}/files/table.csv"):
            assert other.get(path).status_code == 404
        assert sample["id"] not in other.get("/samples").text
        assert mine.get(f"/samples/{sample['id']}").status_code == 200
        assert other.post(f"/api/v1/samples/{sample['id']}/keep", json={}).status_code == 404


def test_a_browser_keeps_its_cookie_and_one_that_cannot_be_ours_is_replaced(house):
    name = f"cloister-visitor-{port_of(house)}"
    with closing(house.visitor()) as browser:
        browser.get("/tools")
        first = browser.cookies[name]
        assert "set-cookie" not in browser.get("/tools").headers
        for bad in ("", "short", "x" * 44, "ä" * 43):
            answer = browser.get("/tools", headers={"cookie": f"{name}={bad}".encode("latin-1")})
            assert name in answer.headers["set-cookie"]
        assert len(first) == 43


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_from_elsewhere_does_not_replace_a_cookie_that_was_not_sent(house, site):
    head = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    with closing(house.visitor()) as browser:
        answer = browser.get("/tools", headers=head)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers


def test_what_is_kept_by_browsers_or_asked_by_programs_sets_no_cookie(house):
    with closing(house.visitor()) as browser:
        page = browser.get("/tools", headers={"cookie": f"cloister-visitor-{port_of(house)}={'x' * 43}"})
        sheet = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
        for path, head in ((sheet, {}), ("/api/v1/samples", {"authorization": "Bearer nobody"})):
            answer = browser.get(path, headers=head)
            assert answer.status_code in (200, 401)
            assert "set-cookie" not in answer.headers


def test_what_another_kept_is_read_by_all_but_labelled_and_deleted_by_nobody_else(house):
    with closing(house.visitor()) as mine, closing(house.visitor()) as other:
        sample = dropped(mine)["id"]
        mine.post(f"/samples/{sample}/keep", data={"label": "mine"})
        page = other.get(f"/samples/{sample}")
        assert "Samples are labelled and deleted by whoever kept them" in page.text
        assert "Change the label" not in page.text
        assert f'value="{sample}"' not in other.get("/samples").text
        for answer in (
            other.post(f"/samples/{sample}/label", data={"label": "theirs"}),
            other.post(f"/api/v1/samples/{sample}/label", json={"label": "theirs"}),
            other.delete(f"/api/v1/samples/{sample}"),
        ):
            assert answer.status_code == 403
        refused = other.post("/samples/delete", data={"sample": sample, "sure": "yes"})
        assert "nothing here that you may delete" in refused.text
        assert mine.get(f"/api/v1/samples/{sample}").json()["label"] == "mine"
        assert mine.post(f"/api/v1/samples/{sample}/label", json={"label": "again"}).status_code == 200
        assert mine.delete(f"/api/v1/samples/{sample}").status_code == 200
        assert mine.get(f"/api/v1/samples/{sample}").status_code == 404


def test_whoever_runs_the_server_labels_and_deletes_what_others_kept(tmp_path):
    with tool_house(tmp_path, people=True) as made:
        made.site.accounts.add("Tess", ["tool-user"], "nine grey geese swim")
        with closing(made.visitor()) as tess, closing(made.eva()) as eva:
            tess.sign_in("Tess", "nine grey geese swim")
            sample = dropped(tess)["id"]
            tess.post(f"/samples/{sample}/keep", data={})
            assert "The label is changed." in eva.post(f"/samples/{sample}/label", data={"label": "x"}).text
            evas = dropped(eva)["id"]
            eva.post(f"/samples/{evas}/keep", data={})
            both = {"sample": [sample, evas], "sure": "yes"}
            assert "1 sample was deleted." in tess.post("/samples/delete", data=both).text
            assert eva.get(f"/samples/{evas}").status_code == 200
            assert "1 sample was deleted." in eva.post("/samples/delete", data=both).text
