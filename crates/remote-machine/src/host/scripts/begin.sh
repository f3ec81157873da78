# Makes the directory of the run.
make_dir "$W/run" 0755 || fail "cannot make $W/run"
make_dir "$D" 0700 || fail "cannot make $D"
note_made
echo "$OWNER" > "$D/owner" || fail "cannot write to $D"
[ "$STALE" = no ] || rm -f "$SENTINEL"
echo ok
