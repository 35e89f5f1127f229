package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	extensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// crds are the CRDs of the repository.
func crds(t *testing.T) (all []extensions.CustomResourceDefinition) {
	t.Helper()
	files, _ := filepath.Glob(root + "/crds/*.yaml")
	for _, file := range files {
		var crd extensions.CustomResourceDefinition
		if err := yaml.Unmarshal([]byte(readFile(t, file)), &crd); err != nil {
			t.Fatal(err)
		}
		all = append(all, crd)
	}
	return all
}

func TestHelmLint(t *testing.T) {
	for name, values := range map[string]values{"default": {}, "everything": everything, "namespaced": namespaced()} {
		arguments := []string{"lint", "--strict", "--kube-version", "1.37.0", chart}
		for _, set := range values.set {
			arguments = append(arguments, "--set", set)
		}
		if _, err := helm(t, arguments...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTwoRendersAreEqual(t *testing.T) {
	// Argo CD renders repeatedly and without a cluster: the chart must generate nothing at random, and look
	// nothing up.
	first, _ := template(t, everything)
	if second, _ := template(t, everything); first != second || first == "" {
		t.Error("two renders differ")
	}
}

func TestPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(template core.PodTemplateSpec, level api.Level) policy.AggregateCheckResult {
		version := api.LevelVersion{Level: level, Version: api.LatestVersion()}
		return policy.AggregateCheckResults(evaluator.EvaluatePod(version, &template.ObjectMeta, &template.Spec))
	}
	all := render(t, switches(phones...))
	deployment, _ := operator(t, all)
	served, _ := server(t, all)
	set, _, _ := statefulSet(t, all)
	for name, template := range map[string]core.PodTemplateSpec{"operator": deployment.Spec.Template, "switch": set.Spec.Template, "api": served.Spec.Template} {
		if result := check(template, api.LevelRestricted); !result.Allowed {
			t.Errorf("%s: %s: %s", name, result.ForbiddenReason(), result.ForbiddenDetail())
		}
		for _, container := range append(template.Spec.Containers, template.Spec.InitContainers...) {
			if !*container.SecurityContext.ReadOnlyRootFilesystem || container.Resources.Requests == nil || container.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s/%s: %+v", name, container.Name, container)
			}
		}
		if *template.Spec.EnableServiceLinks {
			t.Errorf("%s has CENTREX_… of Services", name)
		}
		for key := range template.Labels {
			if strings.Contains(key, "chart") || strings.Contains(key, "version") {
				t.Errorf("%s is made anew by every version: %s", name, key)
			}
		}
	}
	// On the node's network the namespace must be privileged, for that reason only.
	set, _, _ = statefulSet(t, render(t, switches("switch.hostNetwork=true")))
	if result := check(set.Spec.Template, api.LevelRestricted); result.Allowed || strings.Contains(result.ForbiddenReason(), "root") || !strings.Contains(result.ForbiddenReason(), "host") {
		t.Error(result.ForbiddenReason())
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for set, says := range map[string]string{
		"operator.replica=3":                 "replica",
		"postgres.existingSecret.nam=x":      "nam",
		"image.digest=sha256:12":             "digest",
		"switch.rtp.start=70000":             "start",
		"webhook.failurePolicy=ignore":       "failurePolicy",
		"namespaces={Acme}":                  "namespaces",
		"switch.xmlUsername=a:b":             "xmlUsername",
		"podSecurity.runAsUser=0":            "runAsUser",
		"media.size=ten":                     "size",
		"metrics.serviceMonitor.interval=30": "interval",
		"encryption.existingSecret.name=":    "existingSecret",
		"switch.freeswitch.logLevel=verbose": "logLevel",
		"platformManifests.profiles=x":       "platformManifests",
	} {
		contains(t, refused(t, with(set)), says)
	}
}

func TestImages(t *testing.T) {
	_, container := operator(t, render(t, with("image.repository=r.example.com/centrex", "image.tag=1.2.3", "imagePullSecrets[0].name=pull")))
	if container.Image != "r.example.com/centrex:1.2.3" {
		t.Error(container.Image)
	}
	digest := "sha256:" + strings.Repeat("ab", 32)
	_, sidecar, freeswitch := statefulSet(t, render(t, switches("image.digest="+digest, "switch.freeswitch.image.tag=1.11.2")))
	if sidecar.Image != "centrex@"+digest || freeswitch.Image != "registry.example.com/freeswitch:1.11.2" {
		t.Error(sidecar.Image, freeswitch.Image)
	}
}

func TestEveryNameBeginsWithTheRelease(t *testing.T) {
	text, err := helm(t, "template", "blue", chart, "--namespace", "phones", "--kube-version", "1.37.0", "--set", database, "--set", "switch.enabled=true", "--set", image)
	if err != nil {
		t.Fatal(err)
	}
	for key, object := range parse(t, text) {
		want := "blue-centrex"
		if object.GetNamespace() == "" {
			want = "phones-blue-centrex"
		}
		if object.GetKind() != "CustomResourceDefinition" && !strings.HasPrefix(object.GetName(), want) {
			t.Error(key)
		}
	}
}

func TestAdditionsOfAUserAreRendered(t *testing.T) {
	pod := "{podAnnotations: {a: b}, podLabels: {l: m}, nodeSelector: {disk: fast}, tolerations: [{key: k, operator: Exists}], priorityClassName: high, " +
		"affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: x, operator: Exists}]}}]}}, " +
		"topologySpreadConstraints: [{maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}], extraEnv: [{name: X, value: some}], " +
		"serviceAccount: {annotations: {s: t}}, resources: {limits: {memory: 1Mi}, requests: {cpu: 1m}}}"
	all := render(t, values{set: switches(append(phones, "switch.hostNetwork=true")...).set, file: fmt.Sprintf("operator: %s\nswitch: %s\napi: %s\n", pod, pod, pod)})
	deployment, container := operator(t, all)
	deployed, serving := server(t, all)
	set, sidecar, _ := statefulSet(t, all)
	for name, template := range map[string]core.PodTemplateSpec{"operator": deployment.Spec.Template, "switch": set.Spec.Template, "api": deployed.Spec.Template} {
		spec := template.Spec
		if template.Annotations["a"] != "b" || template.Labels["l"] != "m" || spec.NodeSelector["disk"] != "fast" || spec.Tolerations[0].Key != "k" ||
			spec.PriorityClassName != "high" || spec.Affinity.NodeAffinity == nil || spec.TopologySpreadConstraints[0].TopologyKey != "rack" || len(spec.TopologySpreadConstraints) != 1 {
			t.Errorf("%s: %+v", name, template)
		}
		if all["ServiceAccount/centrex-"+name].GetAnnotations()["s"] != "t" {
			t.Errorf("%s: its ServiceAccount", name)
		}
	}
	for _, container := range []core.Container{container, sidecar, serving} {
		if environment(container)["X"].Value != "some" || container.Resources.Limits.Memory().String() != "1Mi" {
			t.Errorf("%+v", container)
		}
	}
}

// paths returns the names of the values, dotted; objects that a user fills are leaves.
func paths(prefix string, value any) (all []string) {
	fields, ok := value.(map[string]any)
	if !ok || len(fields) == 0 {
		return []string{prefix}
	}
	for name, field := range fields {
		all = append(all, paths(strings.TrimPrefix(prefix+"."+name, "."), field)...)
	}
	slices.Sort(all)
	return all
}

func TestValuesSchemaAndReadmeAgree(t *testing.T) {
	var all, schema map[string]any
	if err := yaml.UnmarshalStrict([]byte(readFile(t, chart+"/values.yaml")), &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(readFile(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	var compare func(path string, schema map[string]any, value any)
	compare = func(path string, schema map[string]any, value any) {
		properties, ok := schema["properties"].(map[string]any)
		fields, _ := value.(map[string]any)
		if !ok || len(fields) == 0 {
			return
		}
		if schema["additionalProperties"] != false {
			t.Errorf("%s takes any name", path)
		}
		for name, property := range properties {
			if field, there := fields[name]; there {
				compare(path+"."+name, property.(map[string]any), field)
			} else if path+"."+name != ".global" && !strings.HasSuffix(path, ".resources") {
				t.Errorf("values.yaml has no %s.%s", path, name)
			}
		}
		for name := range fields {
			if properties[name] == nil {
				t.Errorf("the schema has no %s.%s", path, name)
			}
		}
	}
	compare("", schema, all)

	readme := readFile(t, chart+"/README.md")
	for _, path := range paths("", all) {
		for strings.Contains(path, ".resources.") || strings.Contains(path, "dashboard.labels.") {
			path = path[:strings.LastIndex(path, ".")]
		}
		if !strings.Contains(readme, "`"+path+"`") {
			t.Errorf("README.md has no `%s`", path)
		}
	}
}

func TestTheChartHasTheProgramsVersion(t *testing.T) {
	var meta struct{ AppVersion string }
	if err := yaml.Unmarshal([]byte(readFile(t, chart+"/Chart.yaml")), &meta); err != nil {
		t.Fatal(err)
	}
	contains(t, readFile(t, root+"/Cargo.toml"), fmt.Sprintf("\nversion = %q\n", meta.AppVersion))
}
