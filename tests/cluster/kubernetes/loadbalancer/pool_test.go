package loadbalancer

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pool of six usable addresses: the first and the last of the eight are left out.
var pool = netip.MustParsePrefix("192.0.2.0/29")

// service made at the given second, asking for and holding an address or "".
func service(second int, asks, holds string) *core.Service {
	s := &core.Service{
		ObjectMeta: meta.ObjectMeta{UID: types.UID(rune('a' + second)), CreationTimestamp: meta.Unix(int64(second), 0)},
		Spec:       core.ServiceSpec{Type: core.ServiceTypeLoadBalancer, LoadBalancerIP: asks},
	}
	if holds != "" {
		s.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: holds}}
	}
	return s
}

func TestAllot(t *testing.T) {
	clusterIP := service(9, "", "192.0.2.1")
	clusterIP.Spec.Type = core.ServiceTypeClusterIP
	dying := service(9, "", "192.0.2.1")
	dying.DeletionTimestamp = &meta.Time{Time: time.Unix(10, 0)}
	classed := service(9, "", "")
	classed.Spec.LoadBalancerClass = new(string)
	type want struct {
		address string
		refusal error
	}
	for name, test := range map[string]struct {
		services []*core.Service
		wants    []want
	}{
		"the first free one":           {[]*core.Service{service(1, "", ""), service(2, "", "")}, []want{{"192.0.2.1", nil}, {"192.0.2.2", nil}}},
		"a held one is kept":           {[]*core.Service{service(1, "", ""), service(2, "", "192.0.2.1")}, []want{{"192.0.2.2", nil}, {"192.0.2.1", nil}}},
		"a request comes first":        {[]*core.Service{service(1, "", ""), service(2, "192.0.2.1", "")}, []want{{"192.0.2.2", nil}, {"192.0.2.1", nil}}},
		"a request that changed":       {[]*core.Service{service(1, "192.0.2.3", "192.0.2.1")}, []want{{"192.0.2.3", nil}}},
		"outside the pool":             {[]*core.Service{service(1, "203.0.113.1", "")}, []want{{"", errUnusable}}},
		"the network's own address":    {[]*core.Service{service(1, "192.0.2.0", "")}, []want{{"", errUnusable}}},
		"the broadcast address":        {[]*core.Service{service(1, "192.0.2.7", "")}, []want{{"", errUnusable}}},
		"not an address":               {[]*core.Service{service(1, "nonsense", "")}, []want{{"", errUnusable}}},
		"somebody has it":              {[]*core.Service{service(2, "192.0.2.1", ""), service(1, "192.0.2.1", "")}, []want{{"", errInUse}, {"192.0.2.1", nil}}},
		"held ones outside are lost":   {[]*core.Service{service(1, "", "203.0.113.1")}, []want{{"192.0.2.1", nil}}},
		"others get no verdict at all": {[]*core.Service{clusterIP, dying, classed, service(1, "", "")}, []want{{}, {}, {}, {"192.0.2.1", nil}}},
	} {
		t.Run(name, func(t *testing.T) {
			verdicts := allot(pool, test.services)
			for i, want := range test.wants {
				got := verdicts[test.services[i]]
				if !errors.Is(got.refusal, want.refusal) {
					t.Errorf("service %d: refused with %v, not %v", i, got.refusal, want.refusal)
				}
				if address := ""; got.address.IsValid() || want.address != "" {
					if address = got.address.String(); address != want.address {
						t.Errorf("service %d: got %s, not %q", i, address, want.address)
					}
				}
			}
		})
	}
}

func TestAllotRunsOut(t *testing.T) {
	var services []*core.Service
	for second := range 7 { // of eight addresses six are usable
		services = append(services, service(second, "", ""))
	}
	if got := allot(pool, services)[services[6]]; !errors.Is(got.refusal, errNoneLeft) {
		t.Errorf("the seventh of six addresses: %v", got)
	}
}
