package chart

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	admission "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
	rbac "k8s.io/api/rbac/v1"
)

func operator(t *testing.T, all objects) (apps.Deployment, core.Container) {
	t.Helper()
	deployment := as[apps.Deployment](t, all, "Deployment/centrex-operator")
	return deployment, deployment.Spec.Template.Spec.Containers[0]
}

func TestTheOperatorByDefault(t *testing.T) {
	all := render(t, with())
	same(t, "kinds", all.kinds(), []string{"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Deployment",
		"NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "Service", "ServiceAccount", "ValidatingAdmissionPolicy",
		"ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"})
	deployment, container := operator(t, all)
	if *deployment.Spec.Replicas != 2 || len(deployment.Spec.Template.Spec.TopologySpreadConstraints) != 2 {
		t.Errorf("%+v", deployment.Spec)
	}
	same(t, "arguments", container.Args, []string{"operator", "--encryption-key-file=/etc/centrex/keys/encryption-keys",
		"--database-url-file=/etc/centrex/database/url", "--listen=0.0.0.0:8081", "--lease-namespace=centrex", "--lease-name=centrex-operator", "--lease-seconds=15",
		"--webhook-listen=0.0.0.0:9443", "--webhook-service=centrex-webhook", "--webhook-configuration=centrex"})
	if container.LivenessProbe.HTTPGet.Path != "/livez" || container.ReadinessProbe.HTTPGet.Path != "/readyz" || container.Image != "centrex:0.1.0" {
		t.Errorf("%+v", container)
	}
	// The URL is in a file, which the kubelet rewrites when the password changes.
	if database := volume(t, deployment.Spec.Template.Spec, "database").Secret; database.SecretName != "centrex-postgres" ||
		database.Items[0].Key != "uri" || database.Items[0].Path != "url" || environment(container)["CENTREX_DATABASE_URL"].Name != "" {
		t.Errorf("%+v", database)
	}
	if keys := deployment.Spec.Template.Spec.Volumes[0].Secret; keys.SecretName != "centrex-encryption-keys" || *keys.DefaultMode != 0o400 {
		t.Errorf("%+v", keys)
	}
	service := as[core.Service](t, all, "Service/centrex-webhook")
	if service.Spec.Ports[0].Port != 443 || service.Spec.Ports[0].TargetPort.StrVal != "webhook" {
		t.Errorf("%+v", service)
	}
}

func rules(t *testing.T, all objects) map[string][]rbac.PolicyRule {
	t.Helper()
	found := map[string][]rbac.PolicyRule{}
	for key := range all {
		switch kind, _, _ := strings.Cut(key, "/"); kind {
		case "Role":
			found[key] = as[rbac.Role](t, all, key).Rules
		case "ClusterRole":
			found[key] = as[rbac.ClusterRole](t, all, key).Rules
		}
	}
	return found
}

// may tells whether a rule allows a verb on a resource, by resource name if one is given.
func may(rules []rbac.PolicyRule, verb, group, resource, name string) bool {
	return slices.ContainsFunc(rules, func(rule rbac.PolicyRule) bool {
		_, sub, _ := strings.Cut(resource, "/")
		return slices.Contains(rule.Verbs, verb) && slices.Contains(rule.APIGroups, group) &&
			(slices.Contains(rule.Resources, resource) || slices.Contains(rule.Resources, "*") || sub != "" && slices.Contains(rule.Resources, "*/"+sub)) &&
			(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, name))
	})
}

func TestTheOperatorHasOnlyTheRightsItNeeds(t *testing.T) {
	all := rules(t, render(t, with()))
	cluster, own := all["ClusterRole/centrex-operator"], all["Role/centrex-operator"]
	for _, allowed := range []struct {
		rules                       []rbac.PolicyRule
		verb, group, resource, name string
	}{
		{cluster, "watch", "centrex.dev", "extensions", ""}, {cluster, "patch", "centrex.dev", "extensions/status", ""},
		{cluster, "patch", "centrex.dev", "tenants", ""}, {cluster, "update", "centrex.dev", "tenants/finalizers", ""},
		{cluster, "create", "centrex.dev", "switches", ""}, {cluster, "create", "", "secrets", ""},
		{cluster, "watch", "", "namespaces", ""}, {cluster, "create", "events.k8s.io", "events", ""},
		{cluster, "patch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "centrex"},
		{own, "update", "coordination.k8s.io", "leases", "centrex-operator"}, {own, "update", "", "secrets", "centrex-webhook-tls"},
	} {
		if !may(allowed.rules, allowed.verb, allowed.group, allowed.resource, allowed.name) {
			t.Errorf("may not %+v", allowed)
		}
	}
	for _, forbidden := range []struct {
		rules                       []rbac.PolicyRule
		verb, group, resource, name string
	}{
		{cluster, "patch", "centrex.dev", "extensions", ""}, {cluster, "delete", "centrex.dev", "tenants", ""},
		{cluster, "update", "", "secrets", ""}, {cluster, "delete", "", "secrets", ""},
		{cluster, "patch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "another"},
		{own, "update", "coordination.k8s.io", "leases", "another"}, {own, "get", "", "secrets", "another"},
	} {
		if may(forbidden.rules, forbidden.verb, forbidden.group, forbidden.resource, forbidden.name) {
			t.Errorf("may %+v", forbidden)
		}
	}
	for key, rules := range all {
		for _, rule := range rules {
			if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.APIGroups, "*") {
				t.Errorf("%s: %+v", key, rule)
			}
		}
	}
}

func TestEveryRuleHasAReason(t *testing.T) {
	text, err := template(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	rule := regexp.MustCompile(`^\s*- apiGroups: \[.*\]$`)
	found := 0
	for index, line := range lines {
		// The rules of the webhook configuration are no RBAC rules.
		if !rule.MatchString(line) || strings.Contains(lines[index+1], "apiVersions") {
			continue
		}
		found++
		if !strings.HasPrefix(strings.TrimSpace(lines[index-1]), "# ") {
			t.Errorf("no reason: %s %s", line, lines[index+1])
		}
	}
	if found < 14 {
		t.Errorf("%d rules", found)
	}
}

func TestTenantsRoles(t *testing.T) {
	all := rules(t, render(t, with()))
	admin, viewer := all["ClusterRole/centrex-tenant-admin"], all["ClusterRole/centrex-tenant-viewer"]
	trunks := all["ClusterRole/centrex-trunk-admin"]
	for _, crd := range crds(t) {
		namespaced := crd.Spec.Scope == "Namespaced"
		plural := crd.Spec.Names.Plural
		if may(admin, "create", "centrex.dev", plural, "") != (namespaced && plural != "tenants" && plural != "trunks") {
			t.Errorf("admin and %s", plural)
		}
		if may(trunks, "create", "centrex.dev", plural, "") != (plural == "trunks") {
			t.Errorf("trunk-admin and %s", plural)
		}
		if may(viewer, "watch", "centrex.dev", plural, "") != namespaced || may(viewer, "create", "centrex.dev", plural, "") {
			t.Errorf("viewer and %s", plural)
		}
		if may(admin, "patch", "centrex.dev", plural+"/status", "") {
			t.Errorf("admin and the status of %s", plural)
		}
	}
	// The platform binds the role; no ClusterRole of the cluster aggregates it.
	for label := range render(t, with())["ClusterRole/centrex-trunk-admin"].GetLabels() {
		if strings.Contains(label, "aggregate") {
			t.Errorf("trunk-admin: %s", label)
		}
	}
	if len(rules(t, render(t, with("tenantRoles.create=false")))) != 2 {
		t.Error("tenantRoles.create=false")
	}
}

func TestNamespacedMode(t *testing.T) {
	all := render(t, namespaced())
	for key, object := range all {
		if strings.HasPrefix(key, "Cluster") || object.GetNamespace() == "" {
			t.Errorf("%s belongs to the cluster", key)
		}
	}
	for _, namespace := range []string{"acme", "globex"} {
		role := as[rbac.Role](t, all, "Role/"+namespace+"/centrex-operator-tenants")
		if !may(role.Rules, "patch", "centrex.dev", "extensions/status", "") || may(role.Rules, "create", "centrex.dev", "switches", "") {
			t.Errorf("%+v", role.Rules)
		}
		binding := as[rbac.RoleBinding](t, all, "RoleBinding/"+namespace+"/centrex-operator-tenants")
		same(t, "subject", binding.Subjects, []rbac.Subject{{Kind: "ServiceAccount", Name: "centrex-operator", Namespace: "centrex"}})
	}
	_, container := operator(t, all)
	contains(t, strings.Join(container.Args, " "), "--namespaces=acme,globex", "--platform-manifests=/etc/centrex/platform")
	if as[core.ConfigMap](t, all, "ConfigMap/centrex-operator-platform").Data["profiles.yaml"] != "kind: TenantProfile" {
		t.Error("platformManifests")
	}
	webhook := as[admission.ValidatingWebhookConfiguration](t, render(t, namespaced("webhook.enabled=true", "webhook.certManager.enabled=true")),
		"ValidatingWebhookConfiguration/centrex").Webhooks[0]
	same(t, "namespaces", webhook.NamespaceSelector.MatchExpressions[0].Values, []string{"acme", "globex"})
	if *webhook.Rules[0].Scope != "Namespaced" {
		t.Error(*webhook.Rules[0].Scope)
	}
	contains(t, refused(t, with("namespaces={acme}")), "webhook.certManager.enabled=true")
	contains(t, refused(t, with(`platformManifests.a\.yaml=x`)), "only with namespaces")
}

func TestAdmission(t *testing.T) {
	webhook := as[admission.ValidatingWebhookConfiguration](t, render(t, with()), "ValidatingWebhookConfiguration/centrex").Webhooks[0]
	if *webhook.FailurePolicy != "Ignore" || *webhook.SideEffects != "None" || *webhook.TimeoutSeconds != 5 || webhook.ClientConfig.CABundle != nil ||
		webhook.ClientConfig.Service.Name != "centrex-webhook" || len(webhook.MatchConditions) != 3 {
		t.Errorf("%+v", webhook)
	}
	same(t, "operations", webhook.Rules[0].Operations, []admission.OperationType{"CREATE", "UPDATE"})
	if *as[admission.ValidatingWebhookConfiguration](t, render(t, with("webhook.failurePolicy=Fail")), "ValidatingWebhookConfiguration/centrex").Webhooks[0].FailurePolicy != "Fail" {
		t.Error("failurePolicy")
	}

	all := render(t, with("webhook.certManager.enabled=true"))
	_, container := operator(t, all)
	arguments := strings.Join(container.Args, " ")
	contains(t, arguments, "--webhook-cert-dir=/etc/centrex/webhook")
	if strings.Contains(arguments, "--webhook-service") {
		t.Error("it makes certificates of its own too")
	}
	if all["ValidatingWebhookConfiguration/centrex"].GetAnnotations()["cert-manager.io/inject-ca-from"] != "centrex/centrex-webhook" ||
		all["Certificate/centrex-webhook"] == nil || all["Issuer/centrex-webhook"] == nil {
		t.Error(all.kinds())
	}
	for key, rules := range rules(t, all) {
		if may(rules, "patch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "centrex") || key[0] == 'R' && may(rules, "create", "", "secrets", "") {
			t.Errorf("%s: %+v", key, rules)
		}
	}
	if render(t, with("webhook.certManager.enabled=true", "webhook.certManager.issuerRef.name=ours"))["Issuer/centrex-webhook"] != nil {
		t.Error("an issuer, though one is given")
	}

	all = render(t, with("webhook.enabled=false"))
	_, container = operator(t, all)
	if slices.Contains(all.kinds(), "ValidatingWebhookConfiguration") || all["Service/centrex-webhook"] != nil || strings.Contains(strings.Join(container.Args, " "), "webhook") {
		t.Error("webhook.enabled=false")
	}
}

func TestAdmissionPolicy(t *testing.T) {
	policies := func(all objects) (names []string) {
		for key := range all {
			if kind, name, _ := strings.Cut(key, "/"); kind == "ValidatingAdmissionPolicy" {
				policy := as[admission.ValidatingAdmissionPolicy](t, all, key)
				account := policy.Spec.MatchConditions[0].Expression
				if *policy.Spec.FailurePolicy != "Fail" || account != "request.userInfo.username == 'system:serviceaccount:centrex:centrex-operator'" {
					t.Errorf("%s: %+v", key, policy.Spec)
				}
				binding := as[admission.ValidatingAdmissionPolicyBinding](t, all, "ValidatingAdmissionPolicyBinding/"+name)
				same(t, key, []string{binding.Spec.PolicyName, string(binding.Spec.ValidationActions[0])}, []string{name, "Deny"})
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	same(t, "policies", policies(render(t, with())), []string{"centrex-operator-resources", "centrex-operator-secrets", "centrex-operator-webhook"})
	// An operator that creates no certificate has no right to write one.
	for _, without := range []string{"webhook.enabled=false", "webhook.certManager.enabled=true"} {
		all := render(t, with(without))
		same(t, without, policies(all), []string{"centrex-operator-resources", "centrex-operator-secrets"})
		if spec := as[admission.ValidatingAdmissionPolicy](t, all, "ValidatingAdmissionPolicy/centrex-operator-secrets").Spec; strings.Contains(spec.String(), "webhook-tls") {
			t.Errorf("%+v", spec)
		}
	}
	if found := policies(render(t, with("admissionPolicy.enabled=false"))); found != nil {
		t.Error(found)
	}
	if found := policies(render(t, namespaced())); found != nil {
		t.Error(found)
	}
	if found := policies(render(t, namespaced("admissionPolicy.withNamespaces=true"))); len(found) != 2 {
		t.Error(found)
	}
}

func TestPostgres(t *testing.T) {
	all := render(t, values{set: []string{"postgres.cnpg.enabled=true", "postgres.cnpg.storage.storageClass=fast", "postgres.cnpg.extraSpec.postgresql.parameters.max_connections=200"}})
	cluster := all["Cluster/centrex-postgres"]
	spec := numbers(cluster.Object["spec"]).(map[string]any)
	initdb := spec["bootstrap"].(map[string]any)["initdb"].(map[string]any)
	// The login owns the database and may create roles, which the store needs.
	if initdb["owner"] != "centrex" || initdb["database"] != "centrex" || initdb["postInitSQL"].([]any)[0] != "ALTER ROLE centrex CREATEROLE" {
		t.Error(initdb)
	}
	if spec["instances"] != int64(3) || spec["storage"].(map[string]any)["storageClass"] != "fast" || spec["postgresql"] == nil {
		t.Error(spec)
	}
	if cluster.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
		t.Error("the data go with the release")
	}
	deployment, _ := operator(t, all)
	if secret := volume(t, deployment.Spec.Template.Spec, "database").Secret; secret.SecretName != "centrex-postgres-app" || secret.Items[0].Key != "uri" {
		t.Error(secret)
	}
	contains(t, refused(t, values{}), "postgres.existingSecret.name is required")
	contains(t, refused(t, with("postgres.cnpg.enabled=true")), "not both")
}

func TestNetworkPolicy(t *testing.T) {
	policy := as[network.NetworkPolicy](t, render(t, with("networkPolicy.postgresPorts={5433}")), "NetworkPolicy/centrex-operator")
	var ports []int32
	for _, port := range policy.Spec.Egress[1].Ports {
		ports = append(ports, port.Port.IntVal)
	}
	same(t, "egress", ports, []int32{443, 6443, 5433})
	open := as[network.NetworkPolicy](t, render(t, with("networkPolicy.restrictEgress=false")), "NetworkPolicy/centrex-operator")
	if len(open.Spec.PolicyTypes) != 1 || open.Spec.Egress != nil {
		t.Errorf("%+v", open.Spec)
	}
	if slices.Contains(render(t, switches("networkPolicy.enabled=false")).kinds(), "NetworkPolicy") {
		t.Error("networkPolicy.enabled=false")
	}
	if slices.Contains(render(t, switches("operator.podDisruptionBudget.enabled=false", "switch.podDisruptionBudget.enabled=false")).kinds(), "PodDisruptionBudget") {
		t.Error("podDisruptionBudget.enabled=false")
	}
}

func TestCRDsEqualTheRepositorysAndSurviveAnUninstall(t *testing.T) {
	all := render(t, with())
	files, _ := filepath.Glob(root + "/crds/*.yaml")
	for _, crd := range crds(t) {
		object := all["CustomResourceDefinition/"+crd.Name]
		if object == nil {
			t.Errorf("no %s", crd.Name)
		} else if object.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s goes with the release", crd.Name)
		}
	}
	if len(files) != len(crds(t)) || len(files) < 18 {
		t.Errorf("%d files", len(files))
	}
	if slices.Contains(render(t, with("crds.install=false")).kinds(), "CustomResourceDefinition") {
		t.Error("crds.install=false")
	}
}
