# What is on the host. Standard input: lines "sha256 path" of the files that the data brings.
echo "uid $(id -u)"
echo "os $(uname -s)"
echo "arch $(uname -m)"
echo "hostname $(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
if command -v ip > /dev/null 2>&1; then
  ip -o addr show scope global 2>/dev/null | while read -r _ _ _ a _; do echo "address ${a%%/*}"; done
fi
[ -e "$SENTINEL" ] && echo sentinel
for s in k0scontroller k0sworker; do
  for f in "/etc/systemd/system/$s.service" "/etc/init.d/$s"; do [ -e "$f" ] && echo "service $f"; done
done
equal=yes
while read -r sum path; do
  [ "$(sha256sum < "$path" 2>/dev/null | cut -d' ' -f1)" = "$sum" ] || { equal=no; break; }
done
echo "equal $equal"
state() {
  if [ -e "$1/done" ]; then echo done
  elif running "$1"; then echo running
  elif [ -e "$1/started" ]; then echo partial
  else echo empty; fi
}
[ -d "$D" ] && echo "own $(state "$D")"
for o in "$W"/run/*/; do
  o=${o%/}
  [ -d "$o" ] && [ "$o" != "$D" ] && [ -s "$o/owner" ] && echo "other ${o##*/} $(cat "$o/owner") $(state "$o")"
done
echo end
