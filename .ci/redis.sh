#!/usr/bin/env bash
# redis.sh DIRECTORY: a Redis server that speaks TLS in DIRECTORY/bin, from Debian's packages, without
# installing anything. Prints what to put on PATH; nothing where such a server is there already.
set -euo pipefail

# One that was built without TLS does not know the option; any other has nowhere to listen and ends.
speaks_tls() {
    { timeout 5 "$1" --port 0 --tls-port 0 --save "" 2>&1 || true; } | grep -q "not listen anywhere"
}

for name in redis-server valkey-server; do  # the order in which the tests look
    if command -v "$name" >/dev/null; then
        speaks_tls "$name" && exit 0
        break
    fi
done
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "put a redis-server or valkey-server that was built with TLS on PATH" >&2
    exit 1
fi
mkdir -p "$1/packages" "$1/bin"
cd "$1/packages"
fetch() { apt-get -qq download redis-tools libjemalloc2 liblzf1 liblua5.1-0 lua-bitop lua-cjson; }
fetch 2>/dev/null || { apt-get -qq update && fetch; } >&2
for package in *.deb; do dpkg-deb -x "$package" "$1/tree"; done
libraries=$(dirname "$(find "$1/tree" -name 'libjemalloc.so.2' -print -quit)")
# One binary is all of Redis; its name says what it is.
ln -sf redis-check-rdb "$1/tree/usr/bin/redis-server"
cat >"$1/bin/redis-server" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "$1/tree/usr/bin/redis-server" "\$@"
EOF
chmod +x "$1/bin/redis-server"
"$1/bin/redis-server" --version >&2
speaks_tls "$1/bin/redis-server"
echo "$1/bin"
