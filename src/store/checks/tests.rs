//! The rules that the specification names, one wrong object each. `tests/store` holds the whole against the released
//! definitions.

use serde_json::{Value, json};

use super::{CONFIG_MAP, Checks, GATEWAY, GATEWAY_CLASS, HTTP_ROUTE, REFERENCE_GRANT};

fn violations(checks: &Checks, spec: &Value) -> Vec<String> {
    checks.body(&mut json!({ "spec": spec }))
}

/// Each spec has one violation, which begins like this.
fn wrong(checks: &Checks, cases: &[(Value, &str)]) {
    for (spec, expected) in cases {
        let found = violations(checks, spec);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{spec}\n  {expected:?}\n  {found:?}");
    }
}

fn completed(checks: &Checks, spec: Value) -> Value {
    let mut object = json!({ "spec": spec });
    assert_eq!(checks.body(&mut object), [""; 0]);
    object["spec"].take()
}

#[test]
fn gateway_defaults() {
    let listener = json!({"name": "a", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c"}]}});
    let spec = completed(&GATEWAY, json!({"gatewayClassName": "x", "listeners": [listener], "addresses": [{"value": "::1"}]}));
    let tls = json!({"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": "c"}]});
    let routes = json!({"namespaces": {"from": "Same"}});
    let listener = json!({"name": "a", "port": 443, "protocol": "HTTPS", "tls": tls, "allowedRoutes": routes});
    let addresses = json!([{"type": "IPAddress", "value": "::1"}]);
    assert_eq!(spec, json!({"gatewayClassName": "x", "listeners": [listener], "addresses": addresses}));
}

#[test]
fn gateway_rules() {
    let with = |listeners: Value| json!({"gatewayClassName": "x", "listeners": listeners});
    let one = |fields: Value| {
        let mut listener = json!({"name": "a", "port": 80, "protocol": "HTTP"});
        listener.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        with(json!([listener]))
    };
    let addressed = |address: Value| json!({"gatewayClassName": "x", "listeners": one(json!({}))["listeners"], "addresses": [address]});
    wrong(
        &GATEWAY,
        &[
            (json!({"listeners": [{"name": "a", "port": 80, "protocol": "HTTP"}]}), "spec.gatewayClassName: Required value"),
            (with(json!([])), "spec.listeners: Invalid value: must have at least 1"),
            (one(json!({"name": "A"})), "spec.listeners[0].name: Invalid value: \"A\""),
            (one(json!({"port": 0})), "spec.listeners[0].port: Invalid value: 0"),
            (one(json!({"protocol": "a/"})), "spec.listeners[0].protocol: Invalid value"),
            (one(json!({"hostname": "1.2.3.4:80"})), "spec.listeners[0].hostname: Invalid value"),
            (one(json!({"tls": {"mode": "Passthrough"}})), "spec.listeners[0].tls: Invalid value: must not be specified for protocol HTTP"),
            (
                one(json!({"protocol": "HTTPS", "tls": {"mode": "Passthrough"}})),
                "spec.listeners[0].tls.mode: Invalid value: must be Terminate",
            ),
            (one(json!({"protocol": "HTTPS", "tls": {}})), "spec.listeners[0].tls: Invalid value: certificateRefs or options must be"),
            (one(json!({"protocol": "TLS"})), "spec.listeners[0].tls: Required value"),
            (one(json!({"protocol": "TCP", "hostname": "a"})), "spec.listeners[0].hostname: Invalid value: must not be specified"),
            (
                one(json!({"allowedRoutes": {"namespaces": {"from": "Some"}}})),
                "spec.listeners[0].allowedRoutes.namespaces.from: Unsupported value",
            ),
            (
                with(json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "a", "port": 81, "protocol": "HTTP"}])),
                "spec.listeners[1]: Duplicate value: \"a\"",
            ),
            (
                with(json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 80, "protocol": "HTTP"}])),
                "spec.listeners[1]: Invalid value: port, protocol and hostname are those of listener \"a\"",
            ),
            (addressed(json!({"value": "a.b"})), "spec.addresses[0].value: Invalid value: \"a.b\": must be an IPv4 or IPv6 address"),
            (addressed(json!({"type": "Hostname", "value": "A"})), "spec.addresses[0].value: Invalid value"),
            (addressed(json!({"type": "Else"})), "spec.addresses[0].type: Invalid value"),
        ],
    );
}

#[test]
fn http_route_defaults() {
    let prefix = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    assert_eq!(completed(&HTTP_ROUTE, json!({}))["rules"], json!([{ "matches": prefix }]));
    let rule = json!({
        "matches": [{"headers": [{"name": "a", "value": "b"}]}, {"path": {"value": "/x"}}],
        "backendRefs": [{"name": "s", "port": 80}],
    });
    let spec = completed(&HTTP_ROUTE, json!({"parentRefs": [{"name": "g"}], "rules": [rule]}));
    assert_eq!(spec["parentRefs"], json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g"}]));
    let header = json!({"type": "Exact", "name": "a", "value": "b"});
    let root = json!({"type": "PathPrefix", "value": "/"});
    let matches = json!([{"path": root, "headers": [header]}, {"path": {"type": "PathPrefix", "value": "/x"}}]);
    assert_eq!(spec["rules"][0]["matches"], matches);
    assert_eq!(spec["rules"][0]["backendRefs"], json!([{"group": "", "kind": "Service", "name": "s", "port": 80, "weight": 1}]));
}

#[test]
fn http_route_matches() {
    let path = |path: Value| json!({"rules": [{"matches": [{ "path": path }]}]});
    let at = "spec.rules[0].matches[0].path.value: Invalid value: ";
    for value in ["a", "", "/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a#b", "/a/..", "/a/.", "/a?b", "/a b", "/é", "/%4", "/a\"b"]
    {
        wrong(&HTTP_ROUTE, &[(path(json!({"type": "Exact", "value": value})), at), (path(json!({ "value": value })), at)]);
        assert_eq!(violations(&HTTP_ROUTE, &path(json!({"type": "RegularExpression", "value": value}))), [""; 0]);
    }
    let one = |rule_match: Value| json!({"rules": [{"matches": [rule_match]}]});
    wrong(
        &HTTP_ROUTE,
        &[
            (path(json!({"type": "Glob"})), "spec.rules[0].matches[0].path.type: Unsupported value: \"Glob\""),
            (path(json!({"value": "/".repeat(1025)})), "spec.rules[0].matches[0].path.value: Too long"),
            (one(json!({"method": "get"})), "spec.rules[0].matches[0].method: Unsupported value"),
            (one(json!({"headers": [{"name": "a b", "value": "c"}]})), "spec.rules[0].matches[0].headers[0].name: Invalid value"),
            (one(json!({"headers": [{"name": "a", "value": "b\r\nc"}]})), "spec.rules[0].matches[0].headers[0].value: Invalid value"),
            (one(json!({"headers": [{"name": "a", "value": "b".repeat(4097)}]})), "spec.rules[0].matches[0].headers[0].value: Too long"),
            (
                one(json!({"headers": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]})),
                "spec.rules[0].matches[0].headers[1]: Duplicate value",
            ),
            (one(json!({"queryParams": [{"name": "a"}]})), "spec.rules[0].matches[0].queryParams[0].value: Required value"),
            (json!({"rules": [{"matches": vec![json!({}); 65]}]}), "spec.rules[0].matches: Too many"),
            (json!({"rules": vec![json!({"matches": vec![json!({}); 64]}); 3]}), "spec.rules: Too many: 192 matches"),
            (json!({"rules": vec![json!({}); 17]}), "spec.rules: Too many"),
            (json!({"rules": []}), "spec.rules: Invalid value: must have at least 1"),
        ],
    );
}

#[test]
fn http_route_filters() {
    let rule = |filters: Value| json!({"rules": [{ "filters": filters }]});
    let redirect = |edit: Value| rule(json!([{"type": "RequestRedirect", "requestRedirect": edit}]));
    let replaces = json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"});
    let exact = json!([{"path": {"type": "Exact", "value": "/a"}}]);
    let rewrite = json!({"type": "URLRewrite", "urlRewrite": {"path": replaces}});
    let header = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b\nc"}]}});
    let at = "spec.rules[0].filters";
    wrong(
        &HTTP_ROUTE,
        &[
            (rule(json!([{"type": "Else"}])), &format!("{at}[0].type: Unsupported value")),
            (rule(json!([{"type": "CORS"}])), &format!("{at}[0].cors: Required value")),
            (
                rule(json!([{"type": "CORS", "cors": {}, "urlRewrite": {}}])),
                &format!("{at}[0].urlRewrite: Invalid value: must not be specified"),
            ),
            (
                rule(json!([{"type": "CORS", "cors": {}}, {"type": "CORS", "cors": {}}])),
                &format!("{at}: Invalid value: CORS filter cannot be repeated"),
            ),
            (rule(json!([header])), &format!("{at}[0].requestHeaderModifier.set[0].value: Invalid value")),
            (redirect(json!({"statusCode": 304})), &format!("{at}[0].requestRedirect.statusCode: Unsupported value")),
            (redirect(json!({"scheme": "ftp"})), &format!("{at}[0].requestRedirect.scheme: Unsupported value")),
            (redirect(json!({"hostname": "*.a"})), &format!("{at}[0].requestRedirect.hostname: Invalid value")),
            (
                redirect(json!({"path": {"type": "ReplaceFullPath"}})),
                &format!("{at}[0].requestRedirect.path.replaceFullPath: Required value"),
            ),
            (
                rule(json!([{"type": "RequestRedirect", "requestRedirect": {}}, {"type": "URLRewrite", "urlRewrite": {}}])),
                &format!("{at}: Invalid value: may specify either RequestRedirect or URLRewrite, but not both"),
            ),
            (json!({"rules": [{"matches": exact, "filters": [rewrite]}]}), "spec.rules[0]: Invalid value: When using URLRewrite filter"),
            (
                json!({"rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": {}}], "backendRefs": [{"name": "a", "port": 1}]}]}),
                "spec.rules[0]: Invalid value: RequestRedirect filter must not be used together with backendRefs",
            ),
        ],
    );
    assert_eq!(violations(&HTTP_ROUTE, &json!({"rules": [{"filters": [rewrite]}]})), [""; 0]);
}

#[test]
fn http_route_references_and_times() {
    let rule = |rule: Value| json!({ "rules": [rule] });
    let parents = |parents: Value| json!({ "parentRefs": parents });
    wrong(
        &HTTP_ROUTE,
        &[
            (rule(json!({"backendRefs": [{"name": "a"}]})), "spec.rules[0].backendRefs[0].port: Required value"),
            (rule(json!({"backendRefs": [{"name": "a", "port": 65536}]})), "spec.rules[0].backendRefs[0].port: Invalid value"),
            (
                rule(json!({"backendRefs": [{"name": "a", "port": 80, "weight": -5}]})),
                "spec.rules[0].backendRefs[0].weight: Invalid value: -5",
            ),
            (rule(json!({"backendRefs": [{"name": "a", "kind": "_", "port": 80}]})), "spec.rules[0].backendRefs[0].kind: Invalid value"),
            (parents(json!([{"name": "a"}, {"name": "a"}])), "spec.parentRefs[1]: Invalid value: sectionName or port must be unique"),
            (
                parents(json!([{"name": "a"}, {"name": "a", "port": 1}])),
                "spec.parentRefs[1]: Invalid value: sectionName or port must be specified",
            ),
            (json!({"hostnames": ["1.2.3.4:80"]}), "spec.hostnames[0]: Invalid value"),
            (json!({"hostnames": ["a.*.b"]}), "spec.hostnames[0]: Invalid value"),
            (rule(json!({"timeouts": {"request": "1.5s"}})), "spec.rules[0].timeouts.request: Invalid value"),
            (
                rule(json!({"timeouts": {"request": "1s", "backendRequest": "2s"}})),
                "spec.rules[0].timeouts: Invalid value: backendRequest timeout",
            ),
            (json!({"rules": [{"name": "a"}, {"name": "a"}]}), "spec.rules[1].name: Duplicate value: \"a\""),
        ],
    );
    let good = [{ json!({"name": "a", "kind": "Other", "group": "x.y"}) }];
    assert_eq!(
        violations(&HTTP_ROUTE, &rule(json!({"backendRefs": good, "timeouts": {"request": "0s", "backendRequest": "2s"}}))),
        [""; 0]
    );
}

#[test]
fn classes_and_grants() {
    wrong(
        &GATEWAY_CLASS,
        &[
            (json!({}), "spec.controllerName: Required value"),
            (json!({"controllerName": "kakehi"}), "spec.controllerName: Invalid value: \"kakehi\""),
            (json!({"controllerName": "a.b/c", "description": "x".repeat(65)}), "spec.description: Too long"),
            (json!({"controllerName": "a.b/c", "parametersRef": {"group": "", "kind": "A"}}), "spec.parametersRef.name: Required value"),
        ],
    );
    let (from, to) = (json!([{"group": "a.b", "kind": "C", "namespace": "d"}]), json!([{"group": "", "kind": "Service"}]));
    wrong(
        &REFERENCE_GRANT,
        &[
            (json!({"from": from, "to": []}), "spec.to: Invalid value: must have at least 1"),
            (json!({"from": [], "to": to}), "spec.from: Invalid value: must have at least 1"),
            (json!({"from": [{"group": "", "kind": "C"}], "to": to}), "spec.from[0].namespace: Required value"),
            (json!({"from": from, "to": [{"kind": "Service"}]}), "spec.to[0].group: Required value"),
        ],
    );
    assert_eq!(violations(&REFERENCE_GRANT, &json!({"from": from, "to": to})), [""; 0]);
}

#[test]
fn config_maps() {
    let check = |mut map: Value| CONFIG_MAP.body(&mut map);
    assert_eq!(check(json!({"data": {"a": "b", "gone": null}, "binaryData": {"c": "ZA=="}})), [""; 0]);
    assert!(check(json!({"data": {"a": 1}}))[0].starts_with("data.a: Invalid value: must be a string"));
    assert!(check(json!({"data": {"a": "b"}, "binaryData": {"a": "ZA=="}}))[0].starts_with("data.a: Invalid value: the key is also"));
    assert!(check(json!({"binaryData": {"a": "!"}}))[0].contains("must be base64"));
    assert_eq!(check(json!({"data": {"a": "x".repeat(600_000), "b": "x".repeat(600_000)}})).len(), 1);
}
