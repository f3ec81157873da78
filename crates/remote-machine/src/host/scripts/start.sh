# Starts the runner (standard input) apart from this connection.
cat > "$D/runner.sh"
rm -f "$D/pid" "$D/begun" "$D/ran" "$D/sentinel"
[ -e "$D/started" ] || : > "$D/started"
date +%s > "$D/since"
a=$(cat "$D/attempt" 2>/dev/null || echo 0)
echo $((a + 1)) > "$D/attempt"
apart=
command -v setsid > /dev/null 2>&1 && apart=setsid
$apart /bin/sh "$D/runner.sh" "$D" "$STEPS" "$L" "$OWNER" "$RUN" "$SENTINEL" < /dev/null > /dev/null 2>&1 &
n=0
until [ -e "$D/begun" ]; do
  n=$((n + 1))
  [ "$n" -le 50 ] || fail "the runner did not start"
  pause
done
echo "ok $((a + 1))"
