#!/usr/bin/env bash
# prometheus.sh DIRECTORY: Prometheus and promtool in DIRECTORY/bin, from Debian's package, without
# installing anything. Prints what to put on PATH; nothing where they are there already.
set -euo pipefail

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "put prometheus and promtool on PATH" >&2
    exit 1
fi
mkdir -p "$1/packages" "$1/bin"
cd "$1/packages"
fetch() { apt-get -qq download prometheus; }
fetch 2>/dev/null || { apt-get -qq update && fetch; } >&2
for package in *.deb; do dpkg-deb -x "$package" "$1/tree"; done
ln -sf "$1/tree/usr/bin/prometheus" "$1/tree/usr/bin/promtool" "$1/bin/"
"$1/bin/promtool" --version >&2
echo "$1/bin"
