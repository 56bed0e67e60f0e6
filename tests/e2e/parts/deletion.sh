# Routes that are deleted and made again in one breath: in both modes a client that tries a create again loses none, and where
# routes are held, an apply that is lost was shown to change what is being deleted.
pairs=${PAIRS:-1000}

# recreate MODE: the counts of both ways; fails where a create is lost, or an apply without a sign.
recreate() {
	"$recreate" --namespace $space --pairs "$pairs" >"$work/recreate" || fail "the pairs end early"
	sed "s/^/held: $1: /" "$work/recreate" | while read -r line; do say "$line"; done
	grep -q "^Create: [0-9]* pairs, 0 lost," "$work/recreate" || fail "a create was lost"
	grep -Eq "^Apply: [0-9]* pairs, ([0-9]+) lost, \\1 shown," "$work/recreate" || fail "an apply was lost without a sign"
}
recreate=$(dirname "$kakehi")/examples/recreate
[ -x "$recreate" ] || fail "$recreate is not built: cargo build --release --example recreate"

recreate yes
chart --set holdRoutes=false
released() { [ -z "$(kubectl -n $space get httproute app -o 'jsonpath={.metadata.finalizers}')" ]; }
eventually 60 "routes carry no finalizer any more" released
recreate no
grep -q "^Apply: [0-9]* pairs, 0 lost, 0 shown," "$work/recreate" || fail "an apply was lost although nothing is held"
chart
held() { [ -n "$(kubectl -n $space get httproute app -o 'jsonpath={.metadata.finalizers}')" ]; }
eventually 60 "routes carry finalizers again" held
