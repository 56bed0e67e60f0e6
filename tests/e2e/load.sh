#!/bin/sh
# Requests one after another, each on a connection of its own, until killed; then FILE says how many there were and failed:
#   load.sh URL HOST FILE
url=$1 host=$2 file=$3
sent=0 failed=0
finish() {
	echo "$sent requests, $failed failed" >"$file"
	exit 0
}
trap finish TERM
while :; do
	sent=$((sent + 1))
	status=$(curl -sS -m 5 -o /dev/null -w '%{http_code}' -H "Host: $host" "$url" 2>>"$file.errors")
	if [ "$status" != 200 ]; then
		failed=$((failed + 1))
		echo "$(date +%T.%3N) $status" >>"$file.errors"
	fi
	sleep 0.02
done
