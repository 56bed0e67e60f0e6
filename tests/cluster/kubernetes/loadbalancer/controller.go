package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// NewCommand is the program load-balancer.
func NewCommand() *cobra.Command {
	var kubeconfig, pool string
	command := &cobra.Command{
		Use:   "load-balancer",
		Short: "Gives Services of type LoadBalancer an address from a pool",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return run(command.Context(), kubeconfig, pool)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&pool, "pool", "", "the addresses to give away, such as 198.51.100.0/24")
	return command
}

type controller struct {
	pool     netip.Prefix
	client   kubernetes.Interface
	services listers.ServiceLister
	events   record.EventRecorder
	told     map[string]string // Service -> the refusal last told in an event
}

func run(ctx context.Context, kubeconfig, pool string) error {
	if ctx == nil {
		ctx = context.Background()
	}
	prefix, err := netip.ParsePrefix(pool)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&corev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default: // one is waiting already
		}
	}
	_, err = services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	})
	if err != nil {
		return err
	}
	c := &controller{
		pool: prefix, client: client, services: services.Lister(), told: map[string]string{},
		events: broadcaster.NewRecorder(scheme.Scheme, core.EventSource{Component: "load-balancer"}),
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		if err := c.reconcile(ctx); err != nil {
			klog.ErrorS(err, "will try again")
			time.AfterFunc(time.Second, wake)
		}
	}
}

// reconcile looks at all Services: a test cluster has few, and who gets an
// address depends on all the others.
func (c *controller) reconcile(ctx context.Context) error {
	all, err := c.services.List(labels.Everything())
	if err != nil {
		return err
	}
	verdicts := allot(c.pool, all)
	var failures []error
	for _, service := range all {
		verdict := verdicts[service]
		c.tell(service, verdict.refusal)
		if service.Spec.LoadBalancerClass != nil {
			continue
		}
		if err := c.publish(ctx, service, verdict.address); err != nil && !apierrors.IsNotFound(err) {
			failures = append(failures, fmt.Errorf("%s/%s: %w", service.Namespace, service.Name, err))
		}
	}
	return errors.Join(failures...)
}

func (c *controller) publish(ctx context.Context, service *core.Service, address netip.Addr) error {
	if current(service) == address {
		return nil
	}
	service = service.DeepCopy()
	service.Status.LoadBalancer.Ingress = nil
	if address.IsValid() {
		mode := core.LoadBalancerIPModeVIP
		service.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: address.String(), IPMode: &mode}}
	}
	_, err := c.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, service, meta.UpdateOptions{})
	return err
}

// tell says once in an event why a Service has no address.
func (c *controller) tell(service *core.Service, refusal error) {
	key := string(service.UID)
	if refusal == nil {
		delete(c.told, key)
		return
	}
	if c.told[key] == refusal.Error() {
		return
	}
	c.told[key] = refusal.Error()
	for _, reason := range []error{errUnusable, errInUse, errNoneLeft} {
		if errors.Is(refusal, reason) {
			c.events.Event(service, core.EventTypeWarning, reason.Error(), refusal.Error())
		}
	}
}
