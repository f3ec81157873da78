# What of k0s is left.
case $ROLE in controller | worker) ;; *) echo end; exit 0 ;; esac
for p in /proc/[0-9]*; do
  [ "$(cat "$p/comm" 2>/dev/null)" = k0s ] && echo "left process ${p##*/} (k0s)"
done
for f in /etc/systemd/system/k0scontroller.service /etc/systemd/system/k0sworker.service /etc/init.d/k0scontroller /etc/init.d/k0sworker; do
  [ -e "$f" ] && echo "left service $f"
done
data_left && echo "left data directory $DATA_DIR"
[ -e "$SENTINEL" ] && echo "left sentinel $SENTINEL"
echo end
