# Removes what we brought. Standard input: paths of files.
while IFS= read -r path; do
  [ -n "$path" ] && rm -f "$path"
done
made=
for o in "$W"/run/*/; do
  o=${o%/}
  [ -s "$o/owner" ] && [ "$(cat "$o/owner")" = "$OWNER" ] || continue
  [ -s "$o/made" ] && made="$made
$(cat "$o/made")"
  rm -rf "$o"
done
rm -f "$W/k0s_install.sh" "$SENTINEL"
rmdir "${SENTINEL%/*}" 2>/dev/null
# What the bootstrap script keeps for itself: with its mark of success the next cluster's script would do nothing.
rm -f /var/lib/k0smotron/bootstrap.done /var/lib/k0smotron/bootstrap.failed /var/lib/k0smotron/bootstrap.warnings
rm -f /var/log/k0smotron-bootstrap.log
rmdir /var/lib/k0smotron 2>/dev/null
# Deepest first: later entries may be inside earlier ones. What others use is not empty and stays.
printf '%s\n' "$made" | sort -r | while IFS= read -r dir; do
  [ -z "$dir" ] || rmdir "$dir" 2>/dev/null
done
echo ok
