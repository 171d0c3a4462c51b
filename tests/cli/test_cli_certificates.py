"""A saved certificate, checked offline: who signed, about what, and every way in which a file from anybody is refused."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.cli.checkpoints import checkpoints_in
from cloister.cli.main import cli
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity import envelopes
from cloister.identity.cards import genesis, read
from cloister.identity.keys import SecretKeys
from cloister.ledger.checkpoints import Checkpoint, ledger_origin, sign_checkpoint
from cloister.release import CHECKS
from cloister.release.bundle import check_bundle
from cloister.release.certificate import PAYLOAD_TYPE, require_content, statement
from cloister.tools.builtin import builtin_tool
from cloister.tools.package import Package, export_tool
from cloister.tools.tool import with_model
from cloister.tools.trust import verify_installed
from protections import federation as f

CONTENT = b"a model"
NOW = int(time.time())


class Signers:
    """Two owners with real cards, and a statement that names them."""

    def __init__(self) -> None:
        self.keys = [SecretKeys.generate() for _ in range(2)]
        self.cards = [
            genesis(name, ["owner"], keys, SecretKeys.generate().public, NOW - 1000)
            for name, keys in zip(("North", "River"), self.keys, strict=True)
        ]
        self.parties = [read(card).party for card in self.cards]

    def bundle(self, content=CONTENT, signing=2, quorum=2, heads=()):
        terms = f.terms()
        plan = f.plan(terms)
        said = statement(
            plan,
            terms,
            kind="model",
            content_digest=digest(content),
            size=len(content),
            facts={},
            created=NOW,
            admissions={},
            checkpoints=heads,
            checks=CHECKS,
        )
        said["predicate"]["gates"] |= {"owners": sorted(self.parties), "quorum": quorum}
        envelope = envelopes.sign(PAYLOAD_TYPE, said, self.parties[0], self.keys[0])
        for party, keys in list(zip(self.parties, self.keys, strict=True))[1:signing]:
            envelope = envelopes.cosign(envelope, party, keys)
        return canonical(
            {
                "certificate": envelope.model_dump(mode="json"),
                "cards": [[card.model_dump(mode="json")] for card in self.cards],
            }
        )


SIGNERS = Signers()
GOOD = SIGNERS.bundle()


def test_a_certificate_holds_for_its_owners_and_says_whether_the_verifier_named_them():
    found = check_bundle(GOOD, NOW)
    assert set(found.certificate.signed_by) == set(SIGNERS.parties)
    assert "North" in found.words()
    assert "Compare the fingerprints" in found.words()
    named = check_bundle(GOOD, NOW, owners=SIGNERS.parties, quorum=2)
    assert "Compare the fingerprints" not in named.words()


def head(party, keys, signer=None):
    made = Checkpoint(ledger_origin(party), 12, b"r" * 32)
    return sign_checkpoint(made, signer or keys, NOW).encode().decode()


def test_the_log_heads_are_checked_where_the_file_has_the_cards_and_said_to_be_unchecked_elsewhere(tmp_path):
    """Rule 3."""
    stranger = Signers()
    heads = (head(SIGNERS.parties[0], SIGNERS.keys[0]), head(stranger.parties[0], stranger.keys[0]))
    checked = check_bundle(SIGNERS.bundle(heads=heads), NOW)
    assert [item.checked for item in checked.heads] == [True, False]
    known, unknown = checked.words().split("Evidence to hold against the log:")[1].strip().splitlines()
    assert "North's log had 12 entries" in known
    assert "signed by that log at" in known
    assert "not checked" in unknown
    file = tmp_path / "model.onnx"
    file.write_bytes(CONTENT)
    (tmp_path / "model.onnx.certificate.json").write_bytes(SIGNERS.bundle(heads=heads))
    told = CliRunner().invoke(cli, ["release", "verify", str(file), "--json", "-"])
    assert told.exit_code == 0, told.output
    assert [item["checked"] for item in json.loads(told.stdout)["log_heads"]] == [True, False]


def test_a_head_that_its_log_did_not_sign_spoils_the_certificate():
    """Rule 3."""
    forged = head(SIGNERS.parties[0], SIGNERS.keys[0], signer=SIGNERS.keys[1])
    for text in (forged, Checkpoint(ledger_origin(SIGNERS.parties[0]), 12, b"r" * 32).text):
        with pytest.raises(NotTrusted) as caught:
            check_bundle(SIGNERS.bundle(heads=(text,)), NOW)
        assert caught.value.clause == "certificate-evidence"


def test_another_file_than_the_signed_one_is_refused():
    found = check_bundle(GOOD, NOW)
    require_content(found.certificate, CONTENT)
    for other in (b"a modem", CONTENT + b"\n", b""):
        with pytest.raises(NotTrusted) as caught:
            require_content(found.certificate, other)
        assert caught.value.clause == "certificate-content"


def test_signatures_of_others_than_the_verifier_named_do_not_count():
    stranger = Signers().parties
    with pytest.raises(NotTrusted) as caught:
        check_bundle(GOOD, NOW, owners=stranger)
    assert caught.value.clause == "certificate-quorum"
    with pytest.raises(NotTrusted):
        check_bundle(GOOD, NOW, owners=[SIGNERS.parties[0], *stranger], quorum=2)
    assert check_bundle(GOOD, NOW, owners=[SIGNERS.parties[0], *stranger], quorum=1)


def test_too_few_signatures_are_refused_whatever_the_envelope_says():
    with pytest.raises(NotTrusted):
        check_bundle(SIGNERS.bundle(signing=1), NOW)


def test_a_changed_statement_is_refused():
    value = json.loads(GOOD)
    other = json.loads(SIGNERS.bundle(content=b"another model"))
    value["certificate"]["payload"] = other["certificate"]["payload"]
    with pytest.raises(NotTrusted):
        check_bundle(canonical(value), NOW)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"certificate":{},"cards":[]}',
        b'{"certificate":null,"cards":{}}',
        b'{"cards":[1],"certificate":{}}',
        b'{"cards":[[]],"certificate":{}}',
        b'{"cards":[[{"payload":1}]],"certificate":{}}',
    ],
)
def test_a_file_that_is_no_certificate_is_refused_not_a_fault(data):
    with pytest.raises(CloisterError):
        check_bundle(data, NOW)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_the_file_it_holds_or_is_refused(data):
    value = json.loads(GOOD)
    place, key = value, data.draw(st.sampled_from(["certificate", "cards"]))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place))))
        )
    place[key] = data.draw(st.none() | st.integers(-5, 5) | st.text(max_size=8) | st.just([]) | st.just({}))
    try:
        found = check_bundle(canonical(value), NOW)
    except CloisterError:
        return
    assert found.certificate.content_digest == digest(CONTENT)


def test_a_tool_is_not_installed_under_a_certificate_of_another_model():
    base = builtin_tool("crystals")
    (model,) = base.models
    with pytest.raises(NotTrusted) as caught:
        verify_installed(
            with_model(base, model, base.models[model], version="0.2.0", certificate=digest(GOOD)), GOOD
        )
    assert caught.value.clause == "certificate-content"
    with pytest.raises(NotTrusted):  # it names a certificate that is missing
        verify_installed(
            with_model(base, model, base.models[model], version="0.2.0", certificate=digest(GOOD)), None
        )
    with pytest.raises((NotTrusted, BadInput)):  # its certificate is no certificate
        verify_installed(
            with_model(base, model, base.models[model], version="0.2.0", certificate=digest(b"{}")), b"{}"
        )


def packed(folder, bundle):
    """The crystal tool as a file, under a certificate that its owners may or may not have signed for its model."""
    base = builtin_tool("crystals")
    (model,) = base.models
    made = with_model(base, model, base.models[model], version="0.2.0", certificate=digest(bundle))
    file = folder / "crystals.tool"
    export_tool(Package(made, bundle), file)
    return file


def test_an_imported_tool_says_who_signed_and_that_nobody_named_them(tmp_path):
    base = builtin_tool("crystals")
    (content,) = base.models.values()
    file = packed(tmp_path, SIGNERS.bundle(content))
    env = {"XDG_DATA_HOME": str(tmp_path)}
    told = CliRunner().invoke(cli, ["tool", "import", str(file)], env=env)
    assert told.exit_code == 0, told.output
    assert "North" in told.output
    assert "Compare the fingerprints" in told.output
    named = [word for party in SIGNERS.parties for word in ("--owner", party)]
    told = CliRunner().invoke(cli, ["tool", "import", str(file), *named, "--quorum", "2"], env=env)
    assert told.exit_code == 0, told.output
    assert "Compare the fingerprints" not in told.output
    stranger = ["--owner", Signers().parties[0]]
    refused = CliRunner().invoke(cli, ["tool", "import", str(file), *stranger], env=env)
    assert refused.exit_code == 3
    shown = CliRunner().invoke(cli, ["tool", "show", str(file), "--json", "-"], env=env)
    certificate = json.loads(shown.stdout)["certificate"]
    assert certificate["holds"] is True
    assert certificate["owners_named_by_verifier"] is False


def test_a_tool_file_whose_certificate_does_not_hold_is_neither_run_nor_called_certified(tmp_path):
    file = packed(tmp_path, GOOD)  # a good certificate, of another model
    env = {"XDG_DATA_HOME": str(tmp_path)}
    told = CliRunner().invoke(cli, ["tool", "run", str(file), str(file)], env=env)
    assert told.exit_code == 3
    assert "another model" in told.stderr
    shown = CliRunner().invoke(cli, ["tool", "show", str(file), "--json", "-"], env=env)
    assert json.loads(shown.stdout)["certificate"]["holds"] is False


def test_the_command_ends_with_0_or_3(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(CONTENT)
    (tmp_path / "model.onnx.certificate.json").write_bytes(GOOD)
    told = CliRunner().invoke(cli, ["release", "verify", str(file), "--json", "-"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["owners_named_by_verifier"] is False
    file.write_bytes(b"a modem")
    assert CliRunner().invoke(cli, ["release", "verify", str(file)]).exit_code == 3


def test_the_log_head_in_a_certificate_can_be_held_against_the_log():
    """Rules 1 and 2 of `cli.checkpoints`."""
    text = head(SIGNERS.parties[0], SIGNERS.keys[0])
    bundle = SIGNERS.bundle(heads=(text, head(SIGNERS.parties[1], SIGNERS.keys[1])))
    origin = ledger_origin(SIGNERS.parties[0])
    (found,) = checkpoints_in(bundle, origin, "model.onnx.certificate.json")
    assert found.encode().decode() == text
    assert checkpoints_in(text.encode(), origin, "note") == [found]
    with pytest.raises(BadInput, match="holds no checkpoint of this log"):
        checkpoints_in(bundle, ledger_origin(Signers().parties[0]), "model.onnx.certificate.json")
    with pytest.raises(BadInput, match="holds no checkpoint of this log"):
        checkpoints_in(GOOD, origin, "model.onnx.certificate.json")


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(max_size=50).map(str.encode)
    | st.integers(0, len(GOOD)).map(lambda n: GOOD[:n])
)
def test_whatever_is_given_as_a_checkpoint_is_read_or_refused(data):
    with pytest.raises(BadInput):
        checkpoints_in(data, ledger_origin(SIGNERS.parties[0]), "file")
