# Stops every run of this machine that runs.
for D in "$W"/run/*/; do
  D=${D%/}
  [ -s "$D/owner" ] && [ "$(cat "$D/owner")" = "$OWNER" ] && running "$D" || continue
  kill -TERM "-$r_pid" 2>/dev/null || kill -TERM "$r_pid" 2>/dev/null
  n=0
  while running "$D" && [ "$n" -lt 25 ]; do n=$((n + 1)); pause; done
  kill -KILL "-$r_pid" 2>/dev/null || kill -KILL "$r_pid" 2>/dev/null
  [ -s "$L" ] && read -r _ _ p _ < "$L" && [ "$p" = "$r_pid" ] && rm -f "$L"
  rm -f "$D/pid"
done
echo ok
