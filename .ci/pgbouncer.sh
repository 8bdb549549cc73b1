#!/usr/bin/env bash
# pgbouncer.sh DIRECTORY: pgbouncer in DIRECTORY/bin, from Debian's packages, without installing
# anything. Prints what to put on PATH; nothing where it is there already.
set -euo pipefail

if PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "put pgbouncer on PATH" >&2
    exit 1
fi
mkdir -p "$1/packages" "$1/bin"
cd "$1/packages"
# Two of its libraries are seldom there; what they are called differs from Debian to Debian.
libraries() { apt-cache depends pgbouncer | sed -n 's/^ *Depends: \(lib\(c-ares\|event\)[^ ]*\)$/\1/p'; }
fetch() { apt-get -qq download pgbouncer $(libraries); }
fetch 2>/dev/null || { apt-get -qq update && fetch; } >&2
for package in *.deb; do dpkg-deb -x "$package" "$1/tree"; done
libraries=$(dirname "$(find "$1/tree" -name 'libcares.so.2' -print -quit)")
cat >"$1/bin/pgbouncer" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "$1/tree/usr/sbin/pgbouncer" "\$@"
EOF
chmod +x "$1/bin/pgbouncer"
"$1/bin/pgbouncer" --version >&2
echo "$1/bin"
