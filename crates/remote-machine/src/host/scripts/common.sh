# Begins every script of ours. POSIX sh; W is the working directory, RUN the id of the run, OWNER the machine's uid.
umask 077
PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PATH
D="$W/run/$RUN"
if [ "$(id -u)" = 0 ]; then L=/run/k0smotron/lock; else L="$W/run/lock"; fi
fail() { echo "failed $*"; exit 1; }
# When a process started: with its id it names a process for ever. Nothing for one that is dead or a zombie.
born() {
  s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  s=${s##*) }
  set -- $s
  [ "$1" != Z ] && echo "${20}"
}
# Whether the process recorded as "id birth" lives.
lives() { [ -n "${1:-}" ] && [ -n "${2:-}" ] && [ "$(born "$1")" = "$2" ]; }
running() { [ -s "$1/pid" ] && read -r r_pid r_born < "$1/pid" && lives "$r_pid" "$r_born"; }
# Whether k0s' data directory holds anything; the directory itself may be a disk of its own.
data_left() { ls -A "$DATA_DIR" 2>/dev/null | grep -qvx 'lost+found'; }
pause() { sleep 0.2 2>/dev/null || sleep 1; }
# Short sections in which the lock is looked at and taken. One that is older than a minute was left by a crash.
enter() {
  until mkdir -p "${L%/*}" && mkdir "$L.guard" 2>/dev/null; do
    [ -z "$(find "$L.guard" -maxdepth 0 -mmin +1 2>/dev/null)" ] || rmdir "$L.guard" 2>/dev/null
    pause
  done
}
leave() { rmdir "$L.guard" 2>/dev/null; }
# Makes a directory and its missing parents, and notes which ones were missing.
make_dir() {
  m_dir=$1 m_mode=$2 m_new=
  while [ -n "$m_dir" ] && [ ! -d "$m_dir" ]; do m_new="$m_dir
$m_new"; m_dir=${m_dir%/*}; done
  [ -n "$m_new" ] || return 0
  m_ifs=$IFS; IFS='
'
  for m_dir in $m_new; do
    mkdir -m "$m_mode" "$m_dir" 2>/dev/null || [ -d "$m_dir" ] || { IFS=$m_ifs; return 1; }
    m_made="$m_dir
${m_made:-}"
  done
  IFS=$m_ifs
}
note_made() { [ -z "${m_made:-}" ] || printf '%s' "$m_made" >> "$D/made"; }
