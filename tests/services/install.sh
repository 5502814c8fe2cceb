#!/usr/bin/env bash
# Installs what the tests marked `services` need: a browser, from Debian's packages.
set -euo pipefail
if command -v chromium > /dev/null; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "install Chromium by hand and make 'chromium' reachable on PATH" >&2
  exit 2
fi
sudo=""
if [ "$(id -u)" != 0 ]; then sudo="sudo"; fi
echo "Installing Chromium (Debian)"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends chromium
