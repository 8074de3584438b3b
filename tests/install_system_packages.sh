#!/bin/sh
# Brings what the tests drive for real: a Slurm, a browser, a tmpfs of root's. Only where they are missing.
set -eu
wanted=""
command -v slurmctld >/dev/null 2>&1 || wanted="$wanted slurmctld slurmd slurm-client munge"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || wanted="$wanted chromium chromium-driver"
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "missing for some tests:$wanted (install them; the tests that need them will fail)" >&2
  exit 0
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
