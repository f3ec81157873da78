# Holds the host's lock as long as the connection lives (its standard input stays open), unless a run takes it over.
trap '' HUP PIPE INT TERM
enter
o_uid= o_run= o_pid= o_born=
[ -s "$L" ] && read -r o_uid o_run o_pid o_born < "$L"
if lives "$o_pid" "$o_born"; then
  leave
  if [ "$o_uid" = "$OWNER" ] && [ "$o_run" = "$RUN" ] && running "$D" && [ "$r_pid" = "$o_pid" ]; then
    echo attached
  else
    echo "busy $o_uid"
  fi
  exit 0
fi
echo "$OWNER $RUN $$ $(born $$)" > "$L"
leave
echo locked
cat > /dev/null
enter
[ -s "$L" ] && read -r o_uid o_run o_pid o_born < "$L" && [ "$o_pid" = $$ ] && rm -f "$L"
leave
rmdir "${L%/*}" 2>/dev/null
