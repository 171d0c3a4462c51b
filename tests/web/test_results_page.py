"""Results by the page, without script: the certificate, what is checked, where it comes from, a tool of it, taking it back."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from cloister.foundation.digests import digest
from cloister.node.reports import releases_view
from cloister.release.bundle import check_bundle
from web.street import PASSWORD
from web.work import LAB, OWNERS, USER, text_of, until, working


@pytest.fixture(scope="module")
def work():
    with working() as made:
        made.result()
        yield made


@pytest.fixture(scope="module")
def release(work):
    (found,) = releases_view(work[USER].node)
    return found["release"]


@pytest.fixture
def user(work):
    with closing(work[USER].eva()) as browser:
        yield browser


def test_a_result_is_shown_with_who_signed_what_was_checked_and_where_it_comes_from(user, release):
    assert f'href="/results/{release}"' in user.get("/results").text
    said = text_of(user.get(f"/results/{release}").text)
    assert "3 of 3 owners signed it; needed: 3." in said
    assert "The file here is the one that was signed, byte for byte." in said
    assert "does not hold" not in said
    chain = said.partition("Where it comes from")[2].partition("Who signed")[0]
    places = ["Strength tests of Ash", "Strength tests of Cedar", "Agreement", "Task", "A model after 2 rounds",
              "3 of 3 owners approved", "Approved", "None is installed from it here"]  # fmt: skip
    assert [chain.index(place) for place in places] == sorted(chain.index(place) for place in places)
    for name in OWNERS:
        assert name in said.partition("Who signed")[2]
    assert "good enough on this owner's own records (quality)" in said


def test_what_is_downloaded_is_what_was_signed_and_checks_offline(work, user, release):
    content = user.get(f"/results/{release}/content")
    assert digest(content.content) == release
    assert content.headers["content-disposition"].startswith("attachment")
    assert content.headers["content-type"] == "application/octet-stream"
    certificate = user.get(f"/results/{release}/certificate")
    checked = check_bundle(certificate.content, work[USER].node.clock.now())
    assert checked.certificate.content_digest == release
    assert set(json.loads(certificate.content)) == {"certificate", "cards"}


def test_an_owner_sees_the_certificate_and_gets_no_content(work, release):
    with closing(work["Ash"].eva()) as ash:
        page = ash.get(f"/results/{release}")
        assert "This server has the certificate only" in text_of(page.text)
        assert f"/results/{release}/content" not in page.text
        assert ash.get(f"/results/{release}/content").status_code == 404
        assert "the certificate only" in text_of(ash.get(f"/results/{release}/tool").text)


def test_a_changed_file_is_noticed_on_the_page(work, user, release, monkeypatch):
    node = work[USER].node
    real = node.contents.get
    monkeypatch.setattr(
        node.contents, "get", lambda name: real(name)[:-1] + b"\x00" if name == release else real(name)
    )
    said = text_of(user.get(f"/results/{release}").text)
    assert "The file here is not the one that was signed." in said
    assert "Certificate ✕" in said or "does not hold" in said


def test_a_model_that_fits_no_tool_is_refused_with_what_was_typed_still_there(user, release):
    into = user.post(f"/results/{release}/tool", data={"how": "base", "base": "crystals"})
    assert into.status_code >= 400
    assert "Make a tool of it" in text_of(into.text)
    given = {
        "how": "new",
        "name": "strength",
        "title": "My <tool>",
        "counted": "seeds",
        "tile": "64",
        "overlap": "16",
        "threshold": "0.5",
    }
    made = user.post(f"/results/{release}/tool", data=given)
    assert made.status_code >= 400
    assert 'value="My &lt;tool&gt;"' in made.text
    for wrong in (
        {"tile": "wide"},
        {"threshold": "2"},
        {"name": "../../x"},
        {"name": "crystals"},
        {"tile": "9" * 30},
    ):
        answer = user.post(f"/results/{release}/tool", data=given | wrong)
        assert 400 <= answer.status_code < 500, wrong


def test_a_tool_that_does_not_come_with_cloister_is_not_replaced(user, release):
    assert (
        user.post(f"/results/{release}/tool", data={"how": "base", "base": "no-such-tool"}).status_code == 404
    )
    assert "None is installed from it here" in text_of(user.get(f"/results/{release}").text)


def test_who_may_not_take_back_or_install_does_neither(work, release):
    work[USER].site.accounts.add("Auda", {"auditor"}, PASSWORD)
    with work[USER].visitor() as auditor:
        auditor.sign_in("Auda")
        assert auditor.get(f"/results/{release}").status_code == 200
        assert auditor.post(f"/results/{release}/revoke", data={"sure": "yes"}).status_code == 403
        assert auditor.get(f"/results/{release}/tool").status_code == 403
        assert auditor.post(f"/results/{release}/tool", data={"how": "base"}).status_code == 403


def test_a_result_that_is_not_here_is_not_found(user):
    for name in ("sha256:" + "0" * 64, "x" * 500, "<script>"):
        for part in ("", "/content", "/certificate", "/tool"):
            assert user.get(f"/results/{name}{part}").status_code == 404


def test_a_recipient_cannot_take_back_and_an_owner_takes_back_for_everybody(work, user, release):
    assert "Take it back" not in text_of(user.get(f"/results/{release}").text)
    assert user.post(f"/results/{release}/revoke", data={"sure": "yes"}).status_code == 403
    with closing(work["Ash"].eva()) as ash:
        unsure = ash.post(f"/results/{release}/revoke", data={"reason": "A mistake"})
        assert unsure.status_code == 422
        told = ash.post(f"/results/{release}/revoke", data={"reason": "A <i>mistake</i>", "sure": "yes"})
        assert "Taken back." in text_of(told.text)
    until("the user to hear of it", lambda: releases_view(work[USER].node)[0]["status"] == "revoked")
    page = user.get(f"/results/{release}")
    assert "Ash took this back: A &lt;i&gt;mistake&lt;/i&gt;." in page.text
    assert user.get(f"/results/{release}/content").status_code == 403
    assert "no tool is made of it" in text_of(user.get(f"/results/{release}/tool").text)
    with closing(work[LAB].eva()) as lab:
        assert "revoked" in text_of(lab.get("/results").text)
