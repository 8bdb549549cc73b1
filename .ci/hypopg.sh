#!/usr/bin/env bash
# The extension by which PostgreSQL believes in indexes that are not there, for the server of the
# system: from Debian's packages, where they may be installed. Without it its tests are skipped.
set -euo pipefail
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || exit 0
version=$(basename "$(dirname "$bin")")
[ -e "/usr/share/postgresql/$version/extension/hypopg.control" ] && exit 0
[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || exit 0
fetch() { DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "postgresql-$version-hypopg" >/dev/null 2>&1; }
fetch || { apt-get -qq update >/dev/null 2>&1 && fetch; } || echo "hypopg cannot be installed" >&2
