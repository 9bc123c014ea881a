#!/usr/bin/env bash
# Makes sure that a Chromium exists for the browser tests: the one that is there, else Debian's package.
set -euo pipefail

for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null; then exit 0; fi
done

if ! command -v apt-get >/dev/null; then
  echo "The browser tests need Chromium, and this system has no apt-get. Install Chromium and put it on PATH." >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
else
  echo "The browser tests need Chromium, and installing it needs root. Run: sudo apt-get install chromium" >&2
  exit 1
fi
echo "Installing chromium"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium >/dev/null
