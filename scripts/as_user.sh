#!/usr/bin/env bash
# Runs a command as an ordinary user, in a copy of this checkout as it stands: scripts/as_user.sh COMMAND...
# For root alone. The user is `nobody` (or AS_USER), with an empty home beside the copy; both are removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
user=${AS_USER:-nobody}
say() { printf 'as_user: %s\n' "$*" >&2; }

[ "$(id -u)" -eq 0 ] || { say "only root can become another user; run the command itself"; exit 1; }
id "$user" >/dev/null || { say "there is no user $user here; AS_USER names another one"; exit 1; }
ground=$(mktemp -d)
trap 'rm -rf "$ground"' EXIT
mkdir "$ground/home"
# With objects of its own: what is linked would change its owner here too.
git clone --quiet --no-hardlinks --no-checkout . "$ground/main"
git ls-files -z --cached --others --exclude-standard | { xargs -0 ls -d 2>/dev/null || true; } | tr '\n' '\0' \
  | tar --create --null --files-from=- | tar --extract --directory "$ground/main"
[ ! -d ../shared ] || ln -s "$(realpath ../shared)" "$ground/shared"
chown -R "$user" "$ground"
say "$* as $user"
cd "$ground/main"
setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups \
  env -u XDG_CACHE_HOME -u XDG_DATA_HOME -u XDG_CONFIG_HOME -u XDG_RUNTIME_DIR -u UPCALL_DATA -u UPCALL_CACHE \
  -u GOPATH -u GOCACHE -u GOMODCACHE -u GOENV -u GOTMPDIR \
  HOME="$ground/home" USER="$user" LOGNAME="$user" "$@"
