"""Who is told: what may be set up, and that nothing of a key is shown."""

import stat
from pathlib import Path

import pytest

from upcall.alerts import channels
from upcall.alerts.channels import Channel
from upcall.cluster.folder import DataFolder
from upcall.protocol.errors import Conflict, Invalid, NotFound


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path)


@pytest.mark.parametrize("url", ["https://hooks.example.org/T/B/key", "http://localhost:8080/x", "http://127.0.0.1/"])
def test_a_web_address_with_tls_or_of_this_machine(url: str) -> None:
    assert channels.valid_url(url) == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "scheme"),
        ("ftp://example.org/key", "scheme"),
        ("https:///key", "not a URL"),
        ("https://example.org:70000/key", "not a URL"),
        ("https://example.org/a key", "strange"),
        ("https://example.org/key\nhttps://example.org/other", "strange"),
        ("https://example.org/" + "k" * 3000, "strange"),
        ("http://example.org/key", "without TLS"),
    ],
)
def test_another_one_is_refused_and_its_key_is_not_repeated(url: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        channels.valid_url(url)
    assert said in refused.value.problem.message
    assert "/key" not in str(refused.value.problem)


@pytest.mark.parametrize("address", ["root", "ops@example.org", "a.b+c@sub.example.org"])
def test_a_mail_address_or_a_user(address: str) -> None:
    assert channels.valid_address(address) == address


@pytest.mark.parametrize(
    "address", ["", "-f@example.org", "a b@example.org", "a@b@c", "a@example.org\nBcc: b@example.org", "<a@b>", "Root"]
)
def test_what_is_none_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match="not a mail address"):
        channels.valid_address(address)


def test_where_shows_the_host_alone() -> None:
    found = Channel(name="ops", kind="webhook", target="https://user:word@example.org:8443/T/key?token=key")
    assert found.where == "https://example.org:8443/..."


def test_added_and_removed_in_a_private_file_that_is_there_only_while_somebody_is_told(folder: DataFolder) -> None:
    assert channels.read(folder) == []
    channels.add(folder, Channel(name="ops", kind="mail", target="root"))
    assert stat.S_IMODE(folder.alerts_file.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="is there already"):
        channels.add(folder, Channel(name="ops", kind="desktop"))
    with pytest.raises(NotFound, match="did you mean 'ops'"):
        channels.remove(folder, "opps")
    channels.remove(folder, "ops")
    assert not folder.alerts_file.exists()


def test_not_more_than_there_is_room_for(folder: DataFolder) -> None:
    for number in range(channels.CHANNELS_MAX):
        channels.add(folder, Channel(name=f"n{number}", kind="mail", target="root"))
    with pytest.raises(Conflict, match="are told already"):
        channels.add(folder, Channel(name="more", kind="mail", target="root"))


def test_a_damaged_file_is_said(folder: DataFolder) -> None:
    folder.alerts_file.parent.mkdir(parents=True)
    folder.alerts_file.write_text("{")
    with pytest.raises(Invalid, match="cannot be read"):
        channels.read(folder)
