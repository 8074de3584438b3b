#!/bin/bash
# budgetctl plan 3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f of sweep-1: 12 cells, 40 distinct stages
# code 0123abc+changes; budgetctl 0.1.0, Python 3.11.2 on login1

say() { printf '%s %s\n' "$(date '+%Y-%m-%dT%H:%M:%S')" "$*" >&2; }
setup_failed() { say "the setup line failed: $1"; exit 1; }

pids=()
signalled=
pass_on() {
  signalled="$signalled $1"
  again=1
  local pid
  for pid in "${pids[@]}"; do kill -s "$1" "$pid" 2>/dev/null; done
}
trap 'pass_on USR2' USR2
trap 'pass_on TERM' TERM

# wait_for PID: its exit code, however many signals arrive meanwhile
wait_for() {
  local code
  while :; do
    again=
    wait "$1"
    code=$?
    [ -n "$again" ] || return "$code"
  done
}

module load cuda || setup_failed 'module load cuda'

logs='/shared/my store/logs/3f3f3f3f3f3f'
worker=(/opt/venv/bin/python -m budgetctl worker --plan 3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f --store '/shared/my store' --planned-with 0123abc+changes --device cuda)
workers=2

mkdir -p "$logs"
for number in $(seq "$workers"); do
  log=$logs/$(hostname).$$.worker-$number.log
  say "worker $number of $workers; log $log"
  "${worker[@]}" < /dev/null >> "$log" 2>&1 &
  pids+=($!)
done
[ -z "$signalled" ] || pass_on TERM
worst=0
for pid in "${pids[@]}"; do
  wait_for "$pid"
  code=$?
  [ "$code" -le "$worst" ] || worst=$code
done
say "all workers ended; worst exit code $worst"
exit "$worst"
