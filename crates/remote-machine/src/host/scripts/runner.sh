D=$1 STEPS=$2 L=$3 OWNER=$4 RUN=$5 SENTINEL=$6
trap '' HUP
umask 077
cd /
s=$(cat "/proc/$$/stat"); s=${s##*) }
set -- $s
me="$$ ${20}"
# The lock is ours from now on: whoever held it for us lets it go.
echo "$OWNER $RUN $me" > "$L.$$" && mv -f "$L.$$" "$L"
echo "$me" > "$D/pid.new" && mv -f "$D/pid.new" "$D/pid"
: > "$D/begun"
i=1
while [ "$i" -le "$STEPS" ]; do
  if [ "$(cat "$D/$i.code" 2>/dev/null)" != 0 ]; then
    rm -f "$D/$i.code"
    date +%s > "$D/$i.start"
    : > "$D/$i.out"
    ( umask 022; exec /bin/sh "$D/$i.sh" ) >> "$D/$i.out" 2>&1 < /dev/null
    c=$?
    echo "$c" > "$D/code.new" && mv -f "$D/code.new" "$D/$i.code"
    [ "$c" = 0 ] || break
  fi
  i=$((i + 1))
done
if [ "$i" -gt "$STEPS" ]; then
  [ -e "$SENTINEL" ] && : > "$D/sentinel"
  : > "$D/ran"
fi
read -r _ _ p _ < "$L" && [ "$p" = "$$" ] && rm -f "$L"
rm -f "$D/pid"
