"""Static files: only those of the package, under addresses that name their content, with the right types; others' pinned by hash."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloister.web import assets, problems
from cloister.web.frame import Pages
from cloister.web.site import Site

FOLDER = resources.files("cloister.web") / "static"
AXE = {  # axe-core 4.14.1 from npm, MPL-2.0; unmodified, for tests only
    "axe.min.js": "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
    "axe-licence.txt": "af175b9d96ee93c21a036152e1b905b0b95304d4ae8c2c921c7609100ba8df7e",
    "axe-licence-3rd-party.txt": "4f8563870d0fca38bbc3e00b6f670cb7fa9f380ba9f26a7f7d1184a6b18b1653",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("assets"))
    app = FastAPI(openapi_url=None)
    problems.add(app, Pages(site))
    assets.add(app)
    yield TestClient(app)
    site.close()


@pytest.mark.parametrize("name", sorted(assets.ASSETS))
def test_every_file_is_served_for_ever_with_its_type(client, name):
    answer = client.get(assets.static(name))
    assert answer.status_code == 200
    assert answer.content == assets.ASSETS[name].content
    assert answer.headers["content-type"] == assets.ASSETS[name].kind
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_types_are_those_that_browsers_demand():
    kinds = {name: asset.kind for name, asset in assets.ASSETS.items()}
    assert kinds["cloister.css"].startswith("text/css")
    assert kinds["page.js"].startswith("text/javascript")
    assert kinds["icon.svg"] == "image/svg+xml"
    assert kinds["inter-latin.woff2"] == "font/woff2"


def test_the_address_changes_with_any_file():
    changed = dict(assets.ASSETS)
    changed["cloister.css"] = assets.Asset(changed["cloister.css"].content + b" ", "text/css")
    assert assets._set_digest(changed) != assets.SET == assets._set_digest(assets.ASSETS)
    renamed = {
        ("other.css" if name == "cloister.css" else name): asset for name, asset in assets.ASSETS.items()
    }
    assert assets._set_digest(renamed) != assets.SET
    assert len(assets.SET) == 16


@pytest.mark.parametrize(
    "path",
    [
        "../assets.py",
        "..%2fassets.py",
        "%2e%2e/assets.py",
        "..%5cassets.py",
        "vendor/htmx.min.js",
        "vendor%2fhtmx.min.js",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "cloister.css%00.js",
        "CLOISTER.CSS",
        "cloister.css/",
        "",
        "__init__.py",
    ],
)
def test_nothing_else_of_the_disk_can_be_asked_for(client, path):
    answer = client.get(f"/static/{assets.SET}/{path}", follow_redirects=False)
    assert answer.status_code in {404, 307}
    assert answer.status_code == 404 or answer.headers["location"].endswith("/cloister.css")
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_another_versions_address_is_not_answered_with_this_ones_files(client):
    assert client.get("/static/0123456789abcdef/cloister.css").status_code == 404


def test_templates_cannot_name_a_file_that_is_not_there():
    with pytest.raises(KeyError):
        assets.static("missing.js")


@pytest.mark.parametrize("one", assets.VENDORED, ids=lambda one: one.name)
def test_what_others_made_is_what_they_published(one):
    assert hashlib.sha256(assets.ASSETS[one.name].content).hexdigest() == one.sha256


def test_everything_of_others_is_in_the_table_and_has_its_licence():
    there = {item.name for item in (FOLDER / "vendor").iterdir()}
    assert there == {one.name for one in assets.VENDORED}
    for package in {one.package for one in assets.VENDORED}:
        assert any(one.path == "LICENSE" for one in assets.VENDORED if one.package == package), package


def test_what_only_tests_use_is_pinned_too_and_not_shipped():
    folder = Path(__file__).parent / "vendor"
    assert {item.name: hashlib.sha256(item.read_bytes()).hexdigest() for item in folder.iterdir()} == AXE
    assert not any("axe" in name for name in assets.ASSETS)


def test_our_own_files_ask_nothing_of_another_host_and_make_no_code_of_text():
    others = {one.name for one in assets.VENDORED}
    for name, asset in assets.ASSETS.items():
        if name in others:
            continue
        text = asset.content.decode()
        for bad in (
            "eval(",
            "new Function",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "@import",
            "//cdn",
        ):
            assert bad not in text, (name, bad)
        for scheme in ("https://", "http://"):
            assert text.count(scheme) == text.count("http://www.w3.org/") * (scheme == "http://"), name
