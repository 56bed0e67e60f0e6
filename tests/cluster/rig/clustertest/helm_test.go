//go:build cluster

package clustertest

import "testing"

func TestHelm(t *testing.T) {
	s := newSpace(t)
	helm := func(arguments ...string) {
		t.Helper()
		if _, err := tool("", "helm", append([]string{"--namespace", s.name}, arguments...)...); err != nil {
			t.Fatal(err)
		}
	}
	helm("install", "demo", "chart", "--wait", "--timeout=90s")
	url := "http://" + s.field("pods", ".items[0].status.podIP") + ":8080"
	s.eventually(func() error { return says(url, "hello from a chart") })
	helm("upgrade", "demo", "chart", "--wait", "--timeout=90s", "--set=message=better")
	s.eventually(func() error {
		url := "http://" + s.field("pods", ".items[0].status.podIP") + ":8080"
		return says(url, "better")
	})
	helm("uninstall", "demo", "--wait")
	s.eventually(func() error {
		_, err := s.try("", "wait", "--for=delete", "--timeout=10s", "pods", "--selector=app=demo")
		return err
	})
}
