//! Properties of what is made; that an API server takes it is seen by `tests/e2e`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{EdgeSpec, Installation, Part, names, objects};
use crate::model::EdgeId;

fn edge(profile: Value) -> EdgeSpec {
    EdgeSpec {
        id: EdgeId { namespace: "shop".into(), name: "web".into() },
        uid: "u-1".into(),
        ports: BTreeSet::from([80, 443]),
        address: Some([192, 0, 2, 7].into()),
        labels: BTreeMap::from([("team".to_owned(), "red".to_owned()), (names::EDGE.to_owned(), "mine".to_owned())]),
        annotations: BTreeMap::from([("note".to_owned(), "of the gateway".to_owned())]),
        profile: Arc::new(serde_json::from_value(profile).unwrap()),
    }
}

fn made(edge: &EdgeSpec) -> BTreeMap<Part, Value> {
    let installation = Installation {
        controller: "kakehi.dev/gateway-controller".into(),
        edge_image: "kakehi:1".into(),
        sozu_image: "sozu:1".into(),
        snapshot_url: "https://control:9443".into(),
        log: "info".into(),
        network_policies: true,
        ..Default::default()
    };
    let all = objects(edge, &installation, "PEM").unwrap();
    all.into_iter().map(|(part, object)| (part, serde_json::to_value(object).unwrap())).collect()
}

#[test]
fn everything_carries_name_labels_annotations_and_owner() {
    let all = made(&edge(json!({"autoscaling": {"maxReplicas": 5}})));
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), Part::ALL.into_iter().filter(|part| *part != Part::DaemonSet).collect::<Vec<_>>());
    for (part, object) in &all {
        assert_eq!(object["kind"], part.resource().kind);
        assert_eq!(object["apiVersion"], part.resource().api_version);
        let metadata = &object["metadata"];
        assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!("kakehi-web"), &json!("shop")));
        assert_eq!(metadata["labels"]["team"], "red");
        assert_eq!(metadata["labels"]["gateway.networking.k8s.io/gateway-name"], "web");
        assert_eq!(metadata["labels"][names::EDGE], "kakehi-web", "the user cannot take ours");
        assert_eq!(metadata["annotations"]["note"], "of the gateway");
        assert_eq!(metadata["ownerReferences"][0]["uid"], "u-1");
    }
    let template = &all[&Part::Deployment]["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["team"], "red");
    assert_eq!(all[&Part::Deployment]["spec"]["selector"]["matchLabels"], json!({"kakehi.dev/edge": "kakehi-web"}));
    assert_eq!(all[&Part::Deployment]["spec"]["replicas"], Value::Null, "the autoscaler's");
}

#[test]
fn a_deployment_says_which_pods_it_makes() {
    let said = |profile: Value, label: &str| {
        let mut edge = edge(profile);
        edge.labels.insert("team".to_owned(), label.to_owned());
        let annotations = made(&edge)[&Part::Deployment]["metadata"]["annotations"].clone();
        names::template_of(&serde_json::from_value(annotations).unwrap()).unwrap().to_owned()
    };
    let same = said(json!({}), "red");
    assert_eq!(said(json!({"replicas": 7, "service": {"type": "NodePort"}}), "red"), same, "the same pods");
    assert_ne!(said(json!({"images": {"edge": "kakehi:2"}}), "red"), same);
    assert_ne!(said(json!({}), "blue"), same);
}

/// The rules of the Pod Security Standard `restricted` that a pod template can break.
#[test]
fn pods_are_restricted() {
    let template = made(&edge(json!({})))[&Part::Deployment]["spec"]["template"].clone();
    let spec = &template["spec"];
    assert_eq!((&spec["securityContext"]["runAsNonRoot"], &spec["automountServiceAccountToken"]), (&json!(true), &json!(false)));
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        assert_eq!(spec[name], Value::Null);
    }
    for container in spec["containers"].as_array().unwrap() {
        let security = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
        assert_eq!(container["securityContext"], security);
        assert!(container["ports"].as_array().into_iter().flatten().all(|port| port["hostPort"].is_null()));
    }
    for volume in spec["volumes"].as_array().unwrap() {
        let allowed = ["emptyDir", "projected", "configMap"];
        assert!(allowed.iter().any(|kind| !volume[kind].is_null()), "{volume}");
    }
}

#[test]
fn a_port_of_a_listener_changes_the_service_and_no_pod() {
    let mut edge = edge(json!({}));
    let before = made(&edge);
    edge.ports.insert(8080);
    let after = made(&edge);
    let changed: Vec<_> = Part::ALL.into_iter().filter(|part| before.get(part) != after.get(part)).collect();
    assert_eq!(changed, [Part::NetworkPolicy, Part::Service]);
    let open: Vec<_> =
        after[&Part::NetworkPolicy]["spec"]["ingress"][0]["ports"].as_array().unwrap().iter().map(|port| port["port"].clone()).collect();
    assert_eq!(open, [80, 443, 8080, 19902]);
    let ports = after[&Part::Service]["spec"]["ports"].as_array().unwrap();
    assert_eq!(ports[2], json!({"name": "port-8080", "port": 8080, "targetPort": 8080, "protocol": "TCP"}));
}

#[test]
fn the_service_is_as_the_profile_says() {
    let service = |profile| made(&edge(json!({"service": profile})))[&Part::Service].clone();
    let default = service(json!({}));
    assert_eq!((&default["spec"]["type"], &default["spec"]["loadBalancerIP"]), (&json!("LoadBalancer"), &json!("192.0.2.7")));
    let inside = service(json!({"type": "ClusterIP", "annotations": {"note": "of the profile", "more": "x"}}));
    assert_eq!((&inside["spec"]["type"], &inside["spec"]["loadBalancerIP"]), (&json!("ClusterIP"), &Value::Null));
    assert_eq!(inside["spec"]["externalTrafficPolicy"], Value::Null);
    assert_eq!(
        (&inside["metadata"]["annotations"]["note"], &inside["metadata"]["annotations"]["more"]),
        (&json!("of the gateway"), &json!("x"))
    );
    let local = service(json!({"externalTrafficPolicy": "Local", "loadBalancerClass": "example.com/lb"}));
    assert_eq!((&local["spec"]["externalTrafficPolicy"], &local["spec"]["loadBalancerClass"]), (&json!("Local"), &json!("example.com/lb")));
}

#[test]
fn what_listeners_carry_rolls_no_pods() {
    let tuned = json!({
        "forceHop": true, "forceRelay": true, "clientAddress": {"trustedHops": 1}, "connectTimeoutSeconds": 1,
        "maxConcurrentStreams": 7,
    });
    assert_eq!(made(&edge(tuned)), made(&edge(json!({}))));
    let workers = &made(&edge(json!({"filterWorkers": 3})))[&Part::Deployment]["spec"]["template"]["spec"]["containers"];
    assert!(workers[0]["env"].as_array().unwrap().contains(&json!({"name": "KAKEHI_FILTER_WORKERS", "value": "3"})), "{workers}");
    assert!(workers[0]["env"].as_array().unwrap().contains(&json!({"name": "MIMALLOC_PURGE_DELAY", "value": "0"})), "{workers}");
}

#[test]
fn the_pods_are_as_the_profile_says() {
    let all = made(&edge(json!({
        "replicas": 1,
        "images": {"sozu": "mine:2", "pullPolicy": "Never"},
        "placement": {"nodeSelector": {"disk": "fast"}, "priorityClassName": "high"},
        "resources": {"edge": {"limits": {"memory": "1Gi"}}},
    })));
    assert!(!all.contains_key(&Part::PodDisruptionBudget), "it would pin the only pod to its node");
    let deployment = &all[&Part::Deployment]["spec"];
    assert_eq!((&deployment["replicas"], &deployment["strategy"]["rollingUpdate"]["maxUnavailable"]), (&json!(1), &json!(0)));
    let spec = &deployment["template"]["spec"];
    assert_eq!((&spec["nodeSelector"]["disk"], &spec["priorityClassName"]), (&json!("fast"), &json!("high")));
    let [supervisor, sozu] = spec["containers"].as_array().unwrap().as_slice() else { panic!("{spec}") };
    assert_eq!((&supervisor["image"], &sozu["image"], &sozu["imagePullPolicy"]), (&json!("kakehi:1"), &json!("mine:2"), &json!("Never")));
    assert_eq!(supervisor["resources"], json!({"limits": {"memory": "1Gi"}}));
    assert_eq!(sozu["resources"]["requests"]["cpu"], "50m");
}

#[test]
fn a_pod_in_the_node_s_network_has_its_dns_and_waits_for_its_ports() {
    let deployment = |network: &str| made(&edge(json!({"placement": {"network": network}})))[&Part::Deployment]["spec"].clone();
    let of_pod = |deployment: &Value| deployment["template"]["spec"].clone();
    let [own, ports, host] = ["Pod", "HostPorts", "Host"].map(deployment);
    assert_eq!(own, made(&edge(json!({})))[&Part::Deployment]["spec"], "the default");
    assert_eq!((&of_pod(&own)["hostNetwork"], &of_pod(&own)["dnsPolicy"]), (&Value::Null, &Value::Null));
    assert_eq!((&of_pod(&host)["hostNetwork"], &of_pod(&host)["dnsPolicy"]), (&json!(true), &json!("ClusterFirstWithHostNet")));
    assert_eq!(of_pod(&host)["securityContext"]["sysctls"], Value::Null, "the API server refuses them there");
    assert_eq!(of_pod(&ports)["hostNetwork"], Value::Null);
    let open = &of_pod(&ports)["containers"][1]["ports"];
    assert_eq!(open[0], json!({"name": "port-80", "containerPort": 80, "hostPort": 80, "protocol": "TCP"}));
    assert_eq!(open[1]["hostPort"], 443);
    for (deployment, unavailable) in [(&own, 0), (&ports, 1), (&host, 1)] {
        assert_eq!(deployment["strategy"]["rollingUpdate"]["maxUnavailable"], unavailable);
    }
    assert_eq!((&ports["strategy"]["rollingUpdate"]["maxSurge"], &host["strategy"]["rollingUpdate"]["maxSurge"]), (&json!(0), &json!(0)));
}

#[test]
fn a_daemon_set_has_a_pod_on_each_node_and_nothing_that_counts_them() {
    let all =
        |network: &str| made(&edge(json!({"placement": {"workload": "DaemonSet", "network": network}, "autoscaling": {"maxReplicas": 5}})));
    let of_pods = [Part::PodDisruptionBudget, Part::HorizontalPodAutoscaler];
    let parts = Part::ALL.into_iter().filter(|part| *part != Part::Deployment && !of_pods.contains(part));
    assert_eq!(all("Pod").into_keys().collect::<Vec<_>>(), parts.collect::<Vec<_>>());
    for (network, unavailable, surge) in [("Pod", json!(0), json!("25%")), ("HostPorts", json!(1), json!(0)), ("Host", json!(1), json!(0))]
    {
        let placement = json!({"placement": {"network": network, "affinity": {}}});
        let (daemons, deployment) = (&all(network)[&Part::DaemonSet], &made(&edge(placement))[&Part::Deployment]);
        assert_eq!(daemons["spec"]["updateStrategy"]["rollingUpdate"], json!({"maxUnavailable": unavailable, "maxSurge": surge}));
        assert_eq!((&daemons["spec"]["replicas"], &daemons["spec"]["selector"]), (&Value::Null, &deployment["spec"]["selector"]));
        // The same pods, by the same Service and policies; but that nothing keeps them apart, which a DaemonSet does by itself.
        let mut template = deployment["spec"]["template"].clone();
        template["spec"].as_object_mut().unwrap().remove("affinity");
        assert_eq!(daemons["spec"]["template"], template, "{network}");
        assert!(names::template_of(&serde_json::from_value(daemons["metadata"]["annotations"].clone()).unwrap()).is_some());
    }
}

#[test]
fn an_edge_is_at_its_nodes_when_its_ports_are_theirs_and_nothing_balances() {
    for (network, service, at_nodes) in [
        ("Pod", "ClusterIP", false),
        ("Pod", "NodePort", false),
        ("HostPorts", "LoadBalancer", false),
        ("HostPorts", "ClusterIP", true),
        ("Host", "NodePort", true),
    ] {
        let edge = edge(json!({"placement": {"network": network}, "service": {"type": service}}));
        assert_eq!(edge.is_at_nodes(), at_nodes, "{network} {service}");
    }
    assert!(!edge(json!({"placement": {"network": "Host"}})).is_at_nodes(), "a load balancer is the default");
}

#[test]
fn pods_run_on_linux_drain_and_log_as_they_are_told() {
    let pod = |profile: Value| made(&edge(profile))[&Part::Deployment]["spec"]["template"]["spec"].clone();
    let told = pod(json!({
        "drainSeconds": 100,
        "log": {"edge": "debug", "sozu": "Warn"},
        "accessLog": {"format": "JSON", "fields": ["time", "userAgent"]},
        "placement": {"nodeSelector": {"disk": "fast"}},
    }));
    assert_eq!(told["terminationGracePeriodSeconds"], 120);
    assert_eq!(told["nodeSelector"], json!({"kubernetes.io/os": "linux", "disk": "fast"}));
    assert_eq!(pod(json!({}))["terminationGracePeriodSeconds"], 45);
    let other = json!({"kubernetes.io/os": "other"});
    assert_eq!(pod(json!({"placement": {"nodeSelector": other}}))["nodeSelector"], other);
    for container in told["containers"].as_array().unwrap() {
        let env = container["env"].as_array().unwrap();
        let names: BTreeSet<_> = env.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), env.len(), "a name is there once, or server-side apply refuses it");
        for (name, value) in [
            ("KAKEHI_DRAIN", "100"),
            ("KAKEHI_LOG", "debug"),
            ("KAKEHI_SOZU_LOG", "warn"),
            ("KAKEHI_ACCESS_LOG", "json"),
            ("KAKEHI_ACCESS_LOG_FIELDS", "time,userAgent"),
        ] {
            assert!(env.contains(&json!({"name": name, "value": value})), "{name} in {env:?}");
        }
    }
}

#[test]
fn secrets_of_the_installation_reach_edges_unless_the_profile_names_others() {
    let installation = Installation { pull_secrets: vec!["registry".into()], ..Default::default() };
    let secrets = |profile: Value| {
        let object = objects(&edge(profile), &installation, "PEM").unwrap().remove(&Part::Deployment).unwrap();
        serde_json::to_value(object).unwrap()["spec"]["template"]["spec"]["imagePullSecrets"].clone()
    };
    assert_eq!(secrets(json!({})), json!([{"name": "registry"}]));
    assert_eq!(secrets(json!({"images": {"pullSecrets": [{"name": "own"}]}})), json!([{"name": "own"}]));
}

#[test]
fn the_service_has_families_addresses_and_fixed_ports() {
    let service = |profile: Value| made(&edge(json!({"service": profile})))[&Part::Service]["spec"].clone();
    let spec = service(json!({
        "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "RequireDualStack", "externalIPs": ["198.51.100.7", "2001:db8::7"],
        "allocateLoadBalancerNodePorts": false, "nodePorts": [{"port": 443, "nodePort": 30443}, {"port": 8080, "nodePort": 30080}],
    }));
    assert_eq!((&spec["ipFamilies"], &spec["ipFamilyPolicy"]), (&json!(["IPv6", "IPv4"]), &json!("RequireDualStack")));
    assert_eq!((&spec["externalIPs"], &spec["allocateLoadBalancerNodePorts"]), (&json!(["198.51.100.7", "2001:db8::7"]), &json!(false)));
    let ports = spec["ports"].as_array().unwrap();
    assert_eq!((ports.len(), &ports[0]["nodePort"], &ports[1]["nodePort"]), (2, &Value::Null, &json!(30443)));
    let inside = service(json!({"type": "ClusterIP", "nodePorts": [{"port": 443, "nodePort": 30443}]}));
    assert_eq!(inside["ports"][1]["nodePort"], Value::Null, "the API server would refuse it");
}
