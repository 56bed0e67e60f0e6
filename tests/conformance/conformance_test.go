// Package conformance runs the Gateway API conformance suite, unchanged, against the Kakehi that a cluster has.
package conformance

import (
	"os"
	"slices"
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/yaml"
)

// TestConformance takes the suite's own flags. Features are those that the GatewayClass claims, unless a flag says else.
//
// The suite records a parallel test as passed before it has run; so every test runs by itself, and the report is true.
func TestConformance(t *testing.T) {
	options := conformance.DefaultOptions(t)
	// What one client of the API server may ask, not what Kakehi gets: the suite polls ten times a second.
	options.RestConfig.QPS, options.RestConfig.Burst = 100, 200
	if options.ReportOutputPath != "" {
		if err := options.Implementation.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	all := slices.Clone(tests.ConformanceTests)
	for i := range all {
		all[i].Parallel = false
	}
	run, err := suite.NewConformanceTestSuite(options)
	if err != nil {
		t.Fatal(err)
	}
	run.Setup(t, all)
	if err := run.Run(t, all); err != nil {
		t.Fatal(err)
	}
	if options.ReportOutputPath == "" {
		return
	}
	report, err := run.Report()
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(options.ReportOutputPath, text, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s:\n%s", options.ReportOutputPath, text)
}
