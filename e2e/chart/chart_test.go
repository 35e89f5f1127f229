// Package chart tests what the chart renders: every switch of its values, against schemas, Pod Security and
// the files it is made from. It runs helm and kubeconform from PATH.
package chart

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const (
	root     = "../.."
	chart    = root + "/charts/centrex"
	database = "postgres.existingSecret.name=centrex-postgres"
	image    = "switch.freeswitch.image.repository=registry.example.com/freeswitch"
)

// values sets a chart's values: with helm's --set, and from a file.
type values struct {
	set  []string
	file string
}

func with(set ...string) values { return values{set: append([]string{database}, set...)} }

// switches returns the values of a release with switches and more settings.
func switches(set ...string) values {
	return with(append([]string{"switch.enabled=true", image}, set...)...)
}

// everything enables all options.
var everything = switches("switch.hostNetwork=true", "switch.freeswitch.tlsSecret=tls", "switch.service.type=LoadBalancer",
	"media.persistent=true", "webhook.certManager.enabled=true", "metrics.serviceMonitor.enabled=true",
	"metrics.prometheusRule.enabled=true", "metrics.dashboard.enabled=true", phones[0], phones[1], phones[2], "api.provisioning.http.enabled=true",
	"api.provisioning.clientAuthorities.existingConfigMap.name=makers", "api.provisioning.service.type=LoadBalancer")

// namespaced restricts the operator to two namespaces.
func namespaced(set ...string) values {
	return with(append([]string{"namespaces={acme,globex}", "webhook.enabled=false", "crds.install=false",
		`platformManifests.profiles\.yaml=kind: TenantProfile`}, set...)...)
}

func helm(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	command := exec.Command("helm", arguments...)
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, complaint.String())
	}
	return out.String(), nil
}

func template(t *testing.T, values values) (string, error) {
	t.Helper()
	arguments := []string{"template", "centrex", chart, "--namespace", "centrex", "--kube-version", "1.37.0"}
	for _, set := range values.set {
		arguments = append(arguments, "--set", set)
	}
	if values.file != "" {
		path := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(path, []byte(values.file), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, "--values", path)
	}
	return helm(t, arguments...)
}

// objects are rendered objects, by kind and name.
type objects map[string]*unstructured.Unstructured

func parse(t *testing.T, text string) objects {
	t.Helper()
	all := objects{}
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
		object := map[string]any{}
		// Strict: a duplicate key is an error.
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object) == 0 {
			continue
		}
		parsed := &unstructured.Unstructured{Object: object}
		key := parsed.GetKind() + "/" + parsed.GetName()
		if namespace := parsed.GetNamespace(); namespace != "" && namespace != "centrex" {
			key = parsed.GetKind() + "/" + namespace + "/" + parsed.GetName()
		}
		if all[key] != nil {
			t.Fatalf("%s is there twice", key)
		}
		all[key] = parsed
	}
	return all
}

func render(t *testing.T, values values) objects {
	t.Helper()
	text, err := template(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

// refused is helm's error for wrong values.
func refused(t *testing.T, values values) string {
	t.Helper()
	_, err := template(t, values)
	if err == nil {
		t.Fatalf("not refused: %v %s", values.set, values.file)
	}
	return err.Error()
}

// kinds returns the rendered kinds, sorted.
func (all objects) kinds() (kinds []string) {
	for _, object := range all {
		kinds = append(kinds, object.GetKind())
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// as converts one of the objects to its Go type; an unknown field is an error.
func as[T any](t *testing.T, all objects, key string) (typed T) {
	t.Helper()
	object := all[key]
	if object == nil {
		t.Fatalf("no %s", key)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(numbers(object.Object).(map[string]any), &typed, true); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return typed
}

// numbers turns whole floats into int64, as a client decodes JSON.
func numbers(value any) any {
	switch value := value.(type) {
	case float64:
		if value == float64(int64(value)) {
			return int64(value)
		}
	case []any:
		for index := range value {
			value[index] = numbers(value[index])
		}
	case map[string]any:
		for key := range value {
			value[key] = numbers(value[key])
		}
	}
	return value
}

func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, text)
		}
	}
}
