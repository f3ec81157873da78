# Takes k0s off the host (6.1). ROLE, K0S (may be empty), LEAVE; RESET_ARGS as quoted words; DATA_DIR.
trap '' HUP PIPE
case $ROLE in
  controller) service=k0scontroller ;;
  worker) service=k0sworker ;;
  *) echo ok; exit 0 ;;
esac
k0s=
for k in "$K0S" "$(command -v k0s 2>/dev/null)" /usr/local/bin/k0s; do
  [ -n "$k" ] && [ -x "$k" ] && { k0s=$k; break; }
done
unit="/etc/systemd/system/$service.service"
script="/etc/init.d/$service"
last() { tail -n 1 "$o" 2>/dev/null | cut -c1-256; }
o=$(mktemp 2>/dev/null || echo "/tmp/k0smotron.$$")
trap 'rm -f "$o"' EXIT
if [ "$LEAVE" = yes ] && [ -n "$k0s" ]; then
  "$k0s" etcd leave > "$o" 2>&1 < /dev/null || echo "remark k0s etcd leave: $(last)"
fi
if [ -d /run/systemd/system ] && [ -e "$unit" ]; then
  systemctl stop "$service" > "$o" 2>&1 || fail "stop the service: systemctl stop $service: $(last)"
elif command -v rc-service > /dev/null 2>&1 && [ -e "$script" ]; then
  rc-service "$service" stop > "$o" 2>&1 || fail "stop the service: rc-service $service stop: $(last)"
elif [ -e "$script" ]; then
  "$script" stop > "$o" 2>&1 || fail "stop the service: $script stop: $(last)"
fi
if [ -n "$k0s" ]; then
  eval "set -- $RESET_ARGS"
  if [ -e "$unit" ] || [ -e "$script" ] || data_left; then
    "$k0s" reset "$@" > "$o" 2>&1 < /dev/null || fail "k0s reset ended with exit code $?: $(last)"
  fi
fi
if [ -e "$unit" ]; then
  systemctl disable "$service" > /dev/null 2>&1
  rm -f "$unit"
  systemctl daemon-reload > /dev/null 2>&1
fi
if [ -e "$script" ]; then
  rc-update del "$service" > /dev/null 2>&1
  rm -f "$script"
fi
rmdir "$DATA_DIR" 2>/dev/null
echo ok
