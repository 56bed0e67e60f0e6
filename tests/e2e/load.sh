#!/bin/sh
# Requests one after another until killed; then FILE says how many there were and how many failed, FILE.errors which:
#   load.sh fresh|kept URL HOST FILE
# `fresh` makes a connection for each, `kept` makes one when it has none. A status other than 200 is a failure.
way=$1 url=$2 host=$3 file=$4
: >"$file.errors"
case $way in
fresh)
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
	;;
kept)
	# Standard error is written line by line.
	curl -s -m 5 -o /dev/null -w '%{stderr}%{http_code} %{errormsg}\n' --rate 40/s -H "Host: $host" "$url?[1-10000000]" 2>"$file.all" &
	client=$!
	finish() {
		kill $client
		wait $client 2>/dev/null
		# What it was just writing is no answer.
		[ -z "$(tail -c 1 "$file.all")" ] || sed -i '$d' "$file.all"
		grep -v '^200 ' "$file.all" >"$file.errors"
		echo "$(wc -l <"$file.all") requests, $(wc -l <"$file.errors") failed" >"$file"
		exit 0
	}
	trap finish TERM
	wait $client
	;;
esac
