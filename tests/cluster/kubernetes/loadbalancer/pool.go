// Package loadbalancer gives Services of type LoadBalancer an address from a
// pool. Bringing traffic for the address to the pods is kube-proxy's work.
package loadbalancer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	core "k8s.io/api/core/v1"
)

// Why a Service stays without an address.
var (
	errUnusable = errors.New("AddressNotUsable")
	errInUse    = errors.New("AddressInUse")
	errNoneLeft = errors.New("PoolExhausted")
)

// verdict is what a Service gets: an address, or the reason for none.
type verdict struct {
	address netip.Addr
	refusal error
}

// allot decides the address of every Service that wants one; nil or another
// type of Service gets no verdict. A Service keeps the address it has unless
// it asks for another; of several that want one address the oldest gets it.
func allot(pool netip.Prefix, services []*core.Service) map[*core.Service]verdict {
	wanting := slices.DeleteFunc(slices.Clone(services), func(s *core.Service) bool { return !wants(s) })
	slices.SortFunc(wanting, older)
	verdicts := map[*core.Service]verdict{}
	taken := map[netip.Addr]bool{}
	give := func(service *core.Service, address netip.Addr) {
		verdicts[service] = verdict{address: address}
		taken[address] = true
	}
	for _, service := range wanting {
		held := current(service)
		if held.IsValid() && pool.Contains(held) && !taken[held] && (request(service) == "" || request(service) == held.String()) {
			give(service, held)
		}
	}
	for _, ask := range []bool{true, false} { // requests before any address will do
		for _, service := range wanting {
			if _, done := verdicts[service]; done || ask != (request(service) != "") {
				continue
			}
			address, err := find(pool, taken, request(service))
			if err != nil {
				verdicts[service] = verdict{refusal: err}
				continue
			}
			give(service, address)
		}
	}
	return verdicts
}

// find is the requested address, or the first free one for no request.
func find(pool netip.Prefix, taken map[netip.Addr]bool, requested string) (netip.Addr, error) {
	if requested != "" {
		address, err := netip.ParseAddr(requested)
		switch {
		case err != nil || !usable(pool, address):
			return netip.Addr{}, fmt.Errorf("%w: %s is not an address of the pool %s", errUnusable, requested, pool)
		case taken[address]:
			return netip.Addr{}, fmt.Errorf("%w: another Service has %s", errInUse, requested)
		}
		return address, nil
	}
	for address := pool.Addr().Next(); usable(pool, address); address = address.Next() {
		if !taken[address] {
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: all addresses of %s are in use", errNoneLeft, pool)
}

// usable leaves out the first and the last address of the pool, which name a
// network and everyone in it.
func usable(pool netip.Prefix, address netip.Addr) bool {
	return pool.Contains(address) && address != pool.Masked().Addr() && pool.Contains(address.Next())
}

// wants: Services with a class are for somebody else.
func wants(service *core.Service) bool {
	return service.Spec.Type == core.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil &&
		service.DeletionTimestamp == nil
}

func request(service *core.Service) string { return service.Spec.LoadBalancerIP }

func current(service *core.Service) netip.Addr {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address, err := netip.ParseAddr(ingress.IP); err == nil {
			return address
		}
	}
	return netip.Addr{}
}

func older(a, b *core.Service) int {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c
	}
	if a.UID < b.UID {
		return -1
	}
	return 1
}
