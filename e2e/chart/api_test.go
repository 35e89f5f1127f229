package chart

import (
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
)

// phones are the values of a release from which phones fetch their configuration.
var phones = []string{"api.enabled=true", "api.provisioning.url=https://phones.example.com/provision", "api.provisioning.tls.existingSecret.name=phones-tls"}

func server(t *testing.T, all objects) (apps.Deployment, core.Container) {
	t.Helper()
	deployment := as[apps.Deployment](t, all, "Deployment/centrex-api")
	return deployment, deployment.Spec.Template.Spec.Containers[0]
}

func TestPhonesFetchFromTheAPI(t *testing.T) {
	all := render(t, with(phones...))
	deployment, container := server(t, all)
	same(t, "arguments", container.Args, []string{"api", "--encryption-key-file=/etc/centrex/keys/encryption-keys",
		"--database-url-file=/etc/centrex/database/url", "--health-listen=0.0.0.0:8081", "--provision-url=https://phones.example.com/provision",
		"--provision-listen=0.0.0.0:8443", "--provision-tls-cert=/etc/centrex/tls/tls.crt", "--provision-tls-key=/etc/centrex/tls/tls.key",
		"--ntp-server=pool.ntp.org", "--provision-requests-per-minute=300", "--provision-guesses=100", "--provision-fetches-per-hour=60"})
	pod := deployment.Spec.Template.Spec
	if volume(t, pod, "tls").Secret.SecretName != "phones-tls" || volume(t, pod, "database").Secret.SecretName != "centrex-postgres" {
		t.Errorf("%+v", pod.Volumes)
	}
	if *pod.AutomountServiceAccountToken || container.ReadinessProbe.HTTPGet.Path != "/readyz" || *deployment.Spec.Replicas != 2 {
		t.Errorf("%+v", pod)
	}
	service := as[core.Service](t, all, "Service/centrex-phones")
	if len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Port != 443 || service.Spec.Ports[0].TargetPort.StrVal != "phones" {
		t.Errorf("%+v", service.Spec)
	}
	policy := as[network.NetworkPolicy](t, all, "NetworkPolicy/centrex-api")
	var egress []int32
	for _, port := range policy.Spec.Egress[1].Ports {
		egress = append(egress, port.Port.IntVal)
	}
	same(t, "egress", egress, []int32{5432})
	if policy.Spec.Ingress[0].Ports[0].Port.StrVal != "phones" || len(policy.Spec.Ingress[0].Ports) != 1 {
		t.Errorf("%+v", policy.Spec.Ingress)
	}
	if !slices.Contains(all.kinds(), "PodDisruptionBudget") || all["PodDisruptionBudget/centrex-api"] == nil {
		t.Error("no PodDisruptionBudget")
	}
}

func TestTheAPIIsOffByDefault(t *testing.T) {
	for key := range render(t, with()) {
		if strings.HasSuffix(key, "-api") || strings.HasSuffix(key, "-phones") {
			t.Error(key)
		}
	}
}

func TestWhatTheAPINeedsIsSaid(t *testing.T) {
	contains(t, refused(t, with("api.enabled=true")), "api.provisioning.url is required")
	contains(t, refused(t, with(phones[:2]...)), "api.provisioning.tls.existingSecret.name is required")
	contains(t, refused(t, with(append(phones, "api.provisioning.url=ftp://x")...)), "url")
	contains(t, refused(t, with(append(phones, "api.provisioning.allowedNetworks={example.com}")...)), "allowedNetworks")
}

func TestOptionsOfTheAPI(t *testing.T) {
	all := render(t, with(append(phones[:2:2], "api.provisioning.http.enabled=true", "api.provisioning.clientAuthorities.existingConfigMap.name=makers",
		"api.provisioning.allowedNetworks={192.0.2.0/24,2001:db8::/32}", "api.provisioning.trustedProxies={10.0.0.0/8}",
		"api.postgres.existingSecret.name=own", "api.postgres.existingSecret.key=url", "api.provisioning.service.type=LoadBalancer",
		"metrics.serviceMonitor.enabled=true", "api.podDisruptionBudget.enabled=false")...))
	deployment, container := server(t, all)
	contains(t, strings.Join(container.Args, " "), "--provision-http-listen=0.0.0.0:8082", "--provision-client-ca=/etc/centrex/client-ca/ca.crt",
		"--provision-allowed-networks=192.0.2.0/24,2001:db8::/32", "--trusted-proxies=10.0.0.0/8")
	if slices.ContainsFunc(container.Args, func(argument string) bool { return strings.Contains(argument, "tls") }) {
		t.Error(container.Args)
	}
	database := volume(t, deployment.Spec.Template.Spec, "database").Secret
	if database.SecretName != "own" || database.Items[0].Key != "url" || volume(t, deployment.Spec.Template.Spec, "client-ca").ConfigMap.Name != "makers" {
		t.Errorf("%+v", deployment.Spec.Template.Spec.Volumes)
	}
	service := as[core.Service](t, all, "Service/centrex-phones")
	if service.Spec.ExternalTrafficPolicy != core.ServiceExternalTrafficPolicyLocal || service.Spec.Ports[0].Port != 80 {
		t.Errorf("%+v", service.Spec)
	}
	if all["ServiceMonitor/centrex-api"] == nil || all["PodDisruptionBudget/centrex-api"] != nil {
		t.Error("serviceMonitor, podDisruptionBudget")
	}
}
