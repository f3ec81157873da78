# The last line that a step printed.
tail -c 2048 "$D/$N.out" 2>/dev/null | grep -v '^[[:space:]]*$' | tail -n 1
