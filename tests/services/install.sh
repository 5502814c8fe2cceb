#!/usr/bin/env bash
# Installs what the tests marked `services` need: a browser, Redis, Memcached, nginx and a
# Java runtime from Debian's packages, and the jars of an Apache Kafka broker from Maven Central.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
jars="${NEARLINE_SERVICES:-$HOME/.cache/nearline-services}/kafka-4.3.1"

missing=()
command -v chromium > /dev/null || missing+=(chromium)
command -v redis-server > /dev/null || missing+=(redis-server)
command -v memcached > /dev/null || missing+=(memcached)
command -v nginx > /dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v java > /dev/null || missing+=(default-jre-headless)
if [ ! -f "$jars/.complete" ]; then
  command -v mvn > /dev/null || missing+=(maven)
fi
if [ "${#missing[@]}" -gt 0 ]; then
  if ! command -v apt-get > /dev/null; then
    echo "install ${missing[*]} by hand and make them reachable on PATH" >&2
    exit 2
  fi
  sudo=""
  if [ "$(id -u)" != 0 ]; then sudo="sudo"; fi
  echo "Installing ${missing[*]} (Debian)"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
if [ ! -f "$jars/.complete" ]; then
  echo "Fetching the Kafka broker (Maven Central)"
  mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars"
  touch "$jars/.complete"
fi
