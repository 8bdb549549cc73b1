#!/usr/bin/env bash
# redis.sh DIRECTORY: a Redis server in DIRECTORY/bin, from Debian's packages, without installing
# anything. Prints what to put on PATH; nothing where there is a server already, or no apt.
set -euo pipefail

if command -v redis-server >/dev/null || command -v valkey-server >/dev/null \
    || ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    exit 0
fi
mkdir -p "$1/packages" "$1/bin"
cd "$1/packages"
fetch() { apt-get -qq download redis-tools libjemalloc2 liblzf1 liblua5.1-0 lua-bitop lua-cjson; }
fetch 2>/dev/null || { apt-get -qq update && fetch; } >&2
for package in *.deb; do dpkg-deb -x "$package" "$1/root"; done
libraries=$(dirname "$(find "$1/root" -name 'libjemalloc.so.2' -print -quit)")
# One binary is all of Redis; its name says what it is.
ln -sf redis-check-rdb "$1/root/usr/bin/redis-server"
cat >"$1/bin/redis-server" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "$1/root/usr/bin/redis-server" "\$@"
EOF
chmod +x "$1/bin/redis-server"
"$1/bin/redis-server" --version >&2
echo "$1/bin"
