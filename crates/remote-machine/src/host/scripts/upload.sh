# Writes standard input to T: whole or not at all (R-8).
d=${T%/*}
[ -n "$d" ] || d=/
[ ! -d "$T" ] || fail "it is a directory"
make_dir "$d" "$DMODE" || fail "cannot make its directory"
note_made
t="$d/.k0smotron.$$"
trap 'rm -f "$t" "$t.all"' EXIT
cat > "$t" || fail "cannot write into its directory (is the disk full, or is spec.useSudo missing?)"
[ "$(wc -c < "$t")" -eq "$SIZE" ] && [ "$(sha256sum < "$t" | cut -d' ' -f1)" = "$SUM" ] || fail "it arrived damaged"
if [ "$APPEND" = yes ]; then
  [ -e "$D/appended.$N" ] && { echo ok; exit 0; }
  { if [ -e "$T" ]; then cat "$T"; fi; cat "$t"; } > "$t.all" && mv -f "$t.all" "$t" || fail "cannot append to it"
fi
chmod "$MODE" "$t" || fail "cannot set its mode"
[ -z "$FOR" ] || chown "$FOR" "$t" 2>/dev/null || fail "cannot give it to its owner $FOR (does the user exist?)"
sync "$t" 2>/dev/null || sync
mv -f "$t" "$T" || fail "cannot put it in place"
[ "$APPEND" = no ] || : > "$D/appended.$N"
echo ok
