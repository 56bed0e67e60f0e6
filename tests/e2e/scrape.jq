# What the Prometheus Operator and Prometheus make of ServiceMonitors and PodMonitors, as far as the chart's need it: from a
# list of monitors, Services, EndpointSlices and pods to a configuration of Prometheus. Debian's cannot ask an API server.
def matches(monitor): (.metadata.labels // {}) as $labels | monitor.spec.selector.matchLabels | to_entries | all($labels[.key] == .value);
def place(monitor): monitor.spec.namespaceSelector.any or .metadata.namespace == monitor.metadata.namespace;
def target(address; port; pod): {targets: ["\(if address | contains(":") then "[\(address)]" else address end):\(port)"], labels: {pod: pod}};
def selected(all; kind; monitor): all[] | select(.kind == kind and place(monitor) and matches(monitor));

def of_services(all; monitor; name):
	selected(all; "Service"; monitor) as $service | all[]
	| select(.kind == "EndpointSlice" and .metadata.namespace == $service.metadata.namespace
		and .metadata.labels["kubernetes.io/service-name"] == $service.metadata.name)
	| (.ports[] | select(.name == name)) as $port | .endpoints[] | target(.addresses[0]; $port.port; .targetRef.name);
def of_pods(all; monitor; name):
	selected(all; "Pod"; monitor) as $pod | select($pod.metadata.deletionTimestamp == null) | $pod.spec.containers[].ports[]? | select(.name == name)
	| target($pod.status.podIP; .containerPort; $pod.metadata.name);
def job(monitor; endpoint; targets): {
	job_name: "\(monitor.kind)/\(monitor.metadata.namespace)/\(monitor.metadata.name)", scrape_interval: endpoint.interval,
	scrape_timeout: endpoint.interval, metrics_path: (endpoint.path // "/metrics"), static_configs: targets
};

.items as $all | {scrape_configs: [$all[] | . as $monitor |
	if .kind == "ServiceMonitor" then .spec.endpoints[] | . as $at | job($monitor; $at; [of_services($all; $monitor; $at.port)])
	elif .kind == "PodMonitor" then .spec.podMetricsEndpoints[] | . as $at | job($monitor; $at; [of_pods($all; $monitor; $at.port)])
	else empty end
]}
