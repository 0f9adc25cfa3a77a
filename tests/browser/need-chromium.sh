#!/bin/sh
# Sees to it that Debian's Chromium and letters of every language are there: CHROMIUM names another browser.
set -eu
[ -n "${CHROMIUM:-}" ] && exec test -x "$CHROMIUM"
missing=""
command -v chromium >/dev/null || missing="chromium"
fc-list 2>/dev/null | grep -qi "noto.*cjk" || missing="$missing fontconfig fonts-noto-cjk"
[ -z "$missing" ] && exit 0
command -v apt-get >/dev/null || { echo "make test-browser needs $missing: install them, or set CHROMIUM" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "make test-browser needs $missing: sudo apt-get install $missing" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
APT="timeout 300 apt-get -qq -o Acquire::http::Timeout=20 -o Acquire::Retries=1"
# shellcheck disable=SC2086
{ $APT update && $APT install --yes --no-install-recommends $missing >/dev/null; } \
  || { echo "make test-browser needs $missing, and apt-get could not install them" >&2; exit 1; }
