#!/usr/bin/env bash
# Makes .venv from a pinned requirements file: scripts/setup.sh PYTHON REQUIREMENTS STAMP
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 requirements=$2 stamp=$3

say() { printf 'upcall setup: %s\n' "$*" >&2; }

system=$(uname -s) machine=$(uname -m)
if [ "$system" != Linux ] || { [ "$machine" != x86_64 ] && [ "$machine" != aarch64 ]; }; then
  say "this machine is $system on $machine; upcall runs on Linux on x86-64 or arm64 (a virtual machine or WSL 2 works)"
  exit 1
fi

newest=""
for candidate in "$python" python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    newest=$candidate
    break
  fi
done
if [ -z "$newest" ]; then
  say "no Python 3.11 or newer found as $python, python3.13, python3.12 or python3.11; on Debian 12 or Ubuntu 24.04: apt install python3 python3-venv"
  exit 1
fi

if ! [ -x .venv/bin/python ]; then
  if ! said=$("$newest" -m venv .venv 2>&1); then
    printf '%s\n' "$said" >&2; rm -rf .venv
    say "$newest cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv"
    exit 1
  fi
fi

# A proxy with an authority of its own: pip and uv each hear of it by another name.
cert=${SSL_CERT_FILE:-${PIP_CERT:-${REQUESTS_CA_BUNDLE:-}}}
if [ -n "$cert" ]; then
  [ -r "$cert" ] || { say "$cert cannot be read; SSL_CERT_FILE names the certificates of a proxy with an authority of its own"; exit 1; }
  export SSL_CERT_FILE=${SSL_CERT_FILE:-$cert} PIP_CERT=${PIP_CERT:-$cert}
fi
fetched() {
  "$@" && return
  say "what is needed was not fetched; behind a proxy with an authority of its own: SSL_CERT_FILE=/path/of/its/certificates.pem make"
  exit 1
}

say "installing $requirements into .venv"
awk '/^uv==/ {found = 1; print; next} found && /^ +--hash/ {print; next} found {exit}' "$requirements" > .venv/uv.txt
sed -i '$ s/ \\$//' .venv/uv.txt
fetched .venv/bin/python -m pip install -q --require-hashes --no-deps -r .venv/uv.txt
# Compiled here, once: where Python is told to write no bytecode, each of our processes would compile all that it imports.
fetched .venv/bin/uv pip sync -q --compile-bytecode --python .venv/bin/python --require-hashes "$requirements"
.venv/bin/uv pip install -q --python .venv/bin/python --no-deps --editable .
.venv/bin/python -m compileall -q -j 0 src/upcall
touch "$stamp"
