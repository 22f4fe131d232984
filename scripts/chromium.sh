#!/usr/bin/env bash
# The browser of the page's tests: Debian's Chromium, installed where that is allowed.
set -u
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "no chromium, and not root: the page's tests will be skipped (apt install chromium)" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get install -qq -y --no-install-recommends chromium \
  || { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; }; } >/dev/null 2>&1 \
  || { echo "chromium could not be installed: the page's tests will be skipped" >&2; exit 1; }
