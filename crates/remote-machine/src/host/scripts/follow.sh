# Tells where the run is until it ends.
told= beat=0
while :; do
  alive=no; running "$D" && alive=yes
  i=1
  while [ "$i" -le "$STEPS" ] && [ "$(cat "$D/$i.code" 2>/dev/null)" = 0 ]; do i=$((i + 1)); done
  now=$(date +%s)
  since=$(cat "$D/since" 2>/dev/null || echo "$now")
  start=$(cat "$D/$i.start" 2>/dev/null || echo "$now")
  if [ "$alive" = no ]; then
    # Read again: it may have ended between the two looks.
    i=1
    while [ "$i" -le "$STEPS" ] && [ "$(cat "$D/$i.code" 2>/dev/null)" = 0 ]; do i=$((i + 1)); done
    if [ -e "$D/ran" ]; then
      [ -e "$D/sentinel" ] && echo "ran sentinel" || echo "ran nothing"
    elif [ -s "$D/$i.code" ]; then echo "ended $i $(cat "$D/$i.code") $((now - start))"
    else echo "gone $i"; fi
    exit 0
  fi
  beat=$((beat + 1))
  if [ "$told" != "$i" ] || [ "$beat" -ge 25 ]; then
    echo "at $i $((now - start)) $((now - since))" || exit 0
    told=$i beat=0
  fi
  pause
done
