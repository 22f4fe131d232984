"""The first ``make`` behind a proxy with an authority of its own: pip and uv hear of it; what is missing is said."""

import os
import shutil
import subprocess
from pathlib import Path

SETUP = Path(__file__).parents[2] / "scripts" / "setup.sh"


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """With a pip that writes down what it was told, and fetches nothing."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "pip $PIP_CERT uv $SSL_CERT_FILE"\nexit 1\n')
    python.chmod(0o755)
    (folder / "scripts").mkdir()
    shutil.copy(SETUP, folder / "scripts")
    (folder / "dev.txt").write_text("uv==1 \\\n    --hash=sha256:0\n")
    hidden = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
    words = ["bash", str(folder / "scripts" / "setup.sh"), "python3", "dev.txt", ".stamp"]
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(words, env={**kept, **environment}, capture_output=True, text=True, check=False)


def test_pip_and_uv_are_told_of_one_file_by_whatever_name_it_came(tmp_path: Path) -> None:
    bundle = tmp_path / "all.pem"
    bundle.write_text("")
    for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"):
        said = run(tmp_path / name, **{name: str(bundle)})
        assert said.stdout == f"pip {bundle} uv {bundle}\n"
    assert run(tmp_path / "none").stdout == "pip  uv \n"


def test_what_was_not_fetched_says_what_a_proxy_needs(tmp_path: Path) -> None:
    said = run(tmp_path)
    assert said.returncode == 1
    assert "SSL_CERT_FILE=/path/of/its/certificates.pem make" in said.stderr
    assert not (tmp_path / ".stamp").exists()


def test_a_file_that_cannot_be_read_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    said = run(tmp_path, SSL_CERT_FILE=str(tmp_path / "gone.pem"))
    assert (said.returncode, said.stdout) == (1, "")
    assert "gone.pem cannot be read" in said.stderr
