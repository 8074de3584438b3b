"""The fixed shell text of the scripts. It never holds a value: values are variables set above it.

A trap interrupts `wait`, so `wait_for` waits again until no signal came in between; bash remembers the exit code
of a child that has ended. USR2 and TERM reach the worker, which saves and ends with 75. One that has not ended after
three quarters of the warning is killed, because a job that is still there at its time limit is never requeued; the
last periodic checkpoint remains.

Who asks decides what follows a 75: after USR2, or with the time limit reached, this script requeues its own array
task and counts that as a timeout. After any other TERM it leaves the decision to Slurm, which requeues what it
preempted and must not get back what somebody cancelled.
"""

from __future__ import annotations

FUNCTIONS = r"""
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
""".strip("\n")

SLURM_BODY = r"""
job=${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-0}}
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then me=${job}_$SLURM_ARRAY_TASK_ID; else me=$job; fi
restart=${SLURM_RESTART_COUNT:-0}
log=$logs/$me.attempt-$restart.log
timeouts=$logs/$me.timeouts
mkdir -p "$logs"

# the end of this job in seconds since 1970, if it has a time limit
ends=${SLURM_JOB_END_TIME:-}
if [ -z "$ends" ] && [ -n "${SLURM_JOB_ID:-}" ]; then
  ends=$(date -d "$(squeue -h -j "$SLURM_JOB_ID" -o %e 2>/dev/null)" +%s 2>/dev/null)
  [ "${ends:-0}" -gt "$(date +%s)" ] || ends=
fi
[ -z "$ends" ] || export BUDGETCTL_DEADLINE=$((ends - warn_s))

requeue() {
  trap '' USR2 TERM
  local count=0
  [ ! -s "$timeouts" ] || read -r count < "$timeouts"
  count=$((count + 1))
  echo "$count" > "$timeouts"
  if [ "$count" -gt "$max_timeouts" ]; then
    say "$me reached its time limit $count times, more than the $max_timeouts allowed; submit the plan again to go on"
  elif [ -z "${SLURM_JOB_ID:-}" ]; then
    say "not a Slurm job; start the script again to go on"
  else
    say "$me goes back to the queue after time limit $count of $max_timeouts"
    local answer
    answer=$(scontrol requeue "$me" 2>&1) && exit 75
    case $answer in
      *pending*) say "$me is there already" ;; # preempted at the same moment
      *) say "scontrol cannot requeue $me ($answer); submit the plan again to go on" ;;
    esac
  fi
  exit 75
}

# kill the worker if it does not end in time; its lease is then seen to be dead
late=
alarm=
set_alarm() {
  [ -z "$alarm" ] || return
  ( sleep $((warn_s * 3 / 4)) & sleeping=$!; trap 'kill "$sleeping"' TERM; wait "$sleeping" && kill -s ALRM $$ ) &
  alarm=$!
}
out_of_time() {
  late=1
  again=1
  say "$me worker does not stop; killing it, its last checkpoint remains"
  kill -s KILL "${pids[@]}" 2>/dev/null
}
trap 'pass_on USR2; set_alarm' USR2
trap out_of_time ALRM

crashes=0
while :; do
  say "$me attempt $restart on ${SLURMD_NODENAME:-$(hostname)}; log $log"
  "${worker[@]}" < /dev/null >> "$log" 2>&1 &
  pids=($!)
  [ -z "$signalled" ] || kill -s TERM "${pids[0]}"
  wait_for "${pids[0]}"
  code=$?
  say "$me worker ended with $code${signalled:+ after$signalled}"
  [ "$code" -gt 128 ] && [ -z "$signalled" ] && [ "$crashes" -lt 3 ] || break
  crashes=$((crashes + 1))
done
[ -z "$alarm" ] || kill "$alarm" 2>/dev/null
[ -z "$late" ] || code=75
tail -n 3 "$log" >&2
# a signal that came before the worker could listen to it
case $code in 140 | 143) [ -z "$signalled" ] || code=75 ;; esac
[ "$code" -eq 75 ] || exit "$code"
case $signalled in
  *USR2* | '') requeue ;;
esac
if [ -n "$ends" ] && [ "$(date +%s)" -ge "$((ends - 5))" ]; then requeue; fi
exit 75
""".lstrip("\n")

BASH_BODY = r"""
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
""".lstrip("\n")
