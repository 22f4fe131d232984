"""Where passwords of registries come from, and that they go nowhere else."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from upcall.image import credentials
from upcall.image.credentials import Credentials
from upcall.image.errors import RegistryError

HOST = "registry.example.com"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def auth(text: str) -> dict[str, Any]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "docker-credential-kept"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_without_a_file_nobody_is_known(config: Path) -> None:
    assert credentials.of(HOST) is None


def test_a_name_and_a_password(config: Path) -> None:
    config.write_text(json.dumps({"auths": {HOST: auth("me:with:colon")}}))
    assert credentials.of(HOST) == Credentials("me", "with:colon")
    assert credentials.of("another.example.com") is None


def test_an_identity_token(config: Path) -> None:
    config.write_text(json.dumps({"auths": {f"https://{HOST}": {"identitytoken": "long"}}}))
    assert credentials.of(HOST) == Credentials(identity="long")


@pytest.mark.parametrize("where", ["credsStore", "credHelpers"])
def test_a_helper_is_asked(where: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(json.dumps({where: "kept" if where == "credsStore" else {HOST: "kept"}}))
    helper(tmp_path, monkeypatch, f'read host; test "$host" = {HOST} && echo \'{{"Username":"me","Secret":"it"}}\'')
    assert credentials.of(HOST) == Credentials("me", "it")


def test_a_helper_that_knows_nobody_leaves_it_to_the_file(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(json.dumps({"credsStore": "kept", "auths": {HOST: auth("me:it")}}))
    helper(tmp_path, monkeypatch, "exit 1")
    assert credentials.of(HOST) == Credentials("me", "it")


def test_a_helper_that_is_not_there_is_said(config: Path) -> None:
    config.write_text(json.dumps({"credsStore": "absent-of-the-test"}))
    with pytest.raises(RegistryError, match="cannot be asked") as caught:
        credentials.of(HOST)
    assert caught.value.problem.expected == "docker-credential-absent-of-the-test"


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"auths": {HOST: {"auth": "no base64: secret"}}})])
def test_a_file_that_cannot_be_read_is_said_without_what_is_in_it(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(RegistryError, match="cannot be read") as caught:
        credentials.of(HOST)
    assert caught.value.problem.where == str(config)
    assert "secret" not in str(caught.value)


def test_a_password_is_in_no_words_about_it() -> None:
    assert "it" not in repr(Credentials("me", "it")).replace("Credentials", "").replace("identity", "")
