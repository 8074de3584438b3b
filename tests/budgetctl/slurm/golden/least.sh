#!/bin/bash
#SBATCH --job-name="sweep-1"
#SBATCH --array=0-0
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR2@120
#SBATCH --output="/shared/my store/logs/3f3f3f3f3f3f/%A_%a.out"
# budgetctl plan 3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f of sweep-1: 12 cells, 40 distinct stages
# code of no git repository; budgetctl 0.1.0, Python 3.11.2 on login1

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


logs='/shared/my store/logs/3f3f3f3f3f3f'
worker=(/opt/venv/bin/python -m budgetctl worker --plan 3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f --store '/shared/my store')
max_timeouts=20
warn_s=120

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
