"""What a person hands over beside a command's arguments: read and judged before anything is sent."""

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "artifacts"))

from made_distributions import wheel_of

from fake_master import FakeMaster
from upcall.cli import bringing, main
from upcall.protocol.errors import Invalid

Typed = Callable[..., tuple[int, str, str]]
TEXT = {"type": "string", "default": ""}
RUN = {
    "name": "run-it",
    "description": "Run it.",
    "arguments": {
        "properties": {
            "name": {"type": "string"}, "program": TEXT, "bundle": TEXT, "libraries": TEXT, "jars": TEXT,
            "files": {"type": "object", "default": {}}, "arguments": {"type": "array", "default": []},
        },
        "required": ["name"],
    },
}  # fmt: skip
COMMAND = {
    "words": "run", "action": "run-it", "takes": ["program", "arguments"], "named_after_it": "name",
    "brings": [
        {"argument": "program", "how": "program", "about": "A file, a folder or a wheel."},
        {"argument": "libraries", "how": "requirements", "option": "requirements", "beside": "python"},
        {"argument": "jars", "how": "jars", "option": "package", "beside": "java"},
        {"argument": "files", "how": "files", "option": "file"},
    ],
}  # fmt: skip
WRITES = "print('hello')\n"


@pytest.fixture
def typed(
    folder: Path, master: FakeMaster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Typed:
    view = master.add_service("greeter", 1, steps_done=1)
    view.actions = [RUN]
    view.commands = [COMMAND]
    monkeypatch.setenv("UPCALL_DATA", str(folder))

    def type_(*words: str) -> tuple[int, str, str]:
        code = main.run(["greeter", "run", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return type_


def asked(master: FakeMaster) -> Any:
    return [body for _, path, body in master.calls if path.endswith("/run-it/begin")][-1]


def put(master: FakeMaster) -> list[str]:
    return [path.rpartition("/")[2] for method, path, _ in master.calls if method == "PUT" and "/blobs/" in path]


def test_its_help_says_what_is_handed_over(typed: Typed) -> None:
    code, out, _ = typed("--help")
    assert code == 0
    for part in ("FILE", "A file, a folder or a wheel.", "--requirements FILE", "--package", "--file FILE"):
        assert part in out
    assert "--bundle" not in out
    assert "--libraries" not in out


def test_a_file_is_the_text_itself_and_gives_the_name(typed: Typed, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "my_job.py").write_text(WRITES)
    code, _, err = typed(str(tmp_path / "my_job.py"), "a", "b")
    assert code == 0, err
    assert asked(master) == {"name": "my-job", "program": WRITES, "arguments": ["a", "b"]}
    assert put(master) == []


def test_a_folder_is_put_as_one_blob_that_is_always_the_same(typed: Typed, master: FakeMaster, tmp_path: Path) -> None:
    job = tmp_path / "Pricing"
    (job / "rules" / "__pycache__").mkdir(parents=True)
    (job / ".git").mkdir()
    (job / ".git" / "config").write_text("secret")
    (job / "__main__.py").write_text(WRITES)
    (job / "rules" / "__init__.py").write_text("")
    (job / "rules" / "__pycache__" / "x.pyc").write_text("")
    for _ in range(2):
        code, _, err = typed(str(job))
        assert code == 0, err
    assert asked(master) == {"name": "pricing", "bundle": put(master)[0]}
    assert len(set(put(master))) == 1
    with zipfile.ZipFile(io.BytesIO(bringing.packed(job))) as packed:
        assert sorted(packed.namelist()) == ["__main__.py", "rules/__init__.py"]


def test_a_wheel_is_put_as_it_is_and_named_after_its_distribution(
    typed: Typed, master: FakeMaster, tmp_path: Path
) -> None:
    wheel = tmp_path / "pricing-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel_of("pricing", {"pricing/__main__.py": WRITES.encode()}))
    code, _, err = typed(str(wheel))
    assert code == 0, err
    assert asked(master) == {"name": "pricing", "bundle": put(master)[0]}


def test_what_a_wheel_requires_counts_but_for_its_extras(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        told = "Metadata-Version: 2.1\nName: x\nVersion: 1\nRequires-Dist: thing>=1\n"
        wheel.writestr("x-1.dist-info/METADATA", f"{told}Requires-Dist: pytest; extra == 'test'\n")
        wheel.writestr("x-1.dist-info/entry_points.txt", "[console_scripts]\nx = x:main\n")
    assert bringing.required_by(tmp_path / "x-1-py3-none-any.whl", made.getvalue()) == ["thing>=1"]


def test_files_are_put_and_told_by_name(typed: Typed, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(WRITES)
    for name in ("data.csv", "more.csv"):
        (tmp_path / name).write_text(name)
    code, _, err = typed(
        str(tmp_path / "job.py"), "--file", str(tmp_path / "data.csv"), "--file", str(tmp_path / "more.csv")
    )
    assert code == 0, err
    assert asked(master)["files"] == dict(zip(("data.csv", "more.csv"), put(master), strict=True))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.py"], "gone.py: No such file or directory"),
        (["empty.py"], "empty.py is empty"),
        (["picture.py"], "picture.py is not text"),
        (["folder"], "has no __main__.py"),
        (["broken-1-py3-none-any.whl"], "is no wheel"),
        (["native-1.0-cp311-cp311-linux_x86_64.whl"], "has compiled code"),
        (["idle-1.0-py3-none-any.whl"], "has nothing that runs"),
        (["job.py", "--file", "gone.csv"], "gone.csv: No such file or directory"),
        (["job.py", "--file", "job.py", "--file", "folder/../job.py"], "two files are called job.py"),
        (["job.py", "--requirements", "gone.txt"], "gone.txt: No such file or directory"),
        (["job.py", "--requirements", "picture.py"], "picture.py is not text"),
        (["job.py", "--package", "group:artifact"], "'group:artifact' is no Maven package"),
    ],
)
def test_what_is_wrong_is_one_error_and_nothing_is_sent(
    typed: Typed, master: FakeMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "job.py").write_text(WRITES)
    (tmp_path / "empty.py").write_text("\n")
    (tmp_path / "picture.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "broken-1-py3-none-any.whl").write_bytes(b"no zip")
    for name in ("native-1.0-cp311-cp311-linux_x86_64.whl", "idle-1.0-py3-none-any.whl"):
        (tmp_path / name).write_bytes(wheel_of("idle", {"idle/__init__.py": b""}))
    code, _, err = typed(*words)
    assert code == 1
    assert said in " ".join(err.split())
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert put(master) == []
    assert not [path for _, path, _ in master.calls if path.endswith("/begin")]


def test_what_is_larger_than_a_blob_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringing, "BYTES_MAX", 100)
    (tmp_path / "__main__.py").write_text("x" * 101)
    with pytest.raises(Invalid, match="is too large"):
        bringing.packed(tmp_path)
