package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	extensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// The tests download only Go modules, so schemas come from Go sources: Kubernetes' from the sources of the
// tests' control plane, others from the CRDs in their modules. CloudNativePG's module is not available;
// TestPostgres checks its Cluster instead.
var foreign = []struct{ module, sum, folder string }{
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=", "example/prometheus-operator-crd"},
	{"github.com/cert-manager/cert-manager@v1.21.2", "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=", "deploy/crds"},
	{"github.com/argoproj/argo-cd/v3@v3.4.0", "h1:yZwfaOIzE/aQTA52mOfeZQbribmyxKYvMgirQja4eX0=", "manifests/crds"},
}

// goCommand runs go, and returns its output.
func goCommand(t *testing.T, folder string, arguments ...string) []byte {
	t.Helper()
	command := exec.Command("go", arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOWORK=off")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

// schemas writes JSON schemas for kubeconform into a folder: GROUP_VERSION_KIND.json.
func schemas(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	write := func(group, version, kind string, schema any) {
		if group == "" {
			group = version // as kubeconform calls the core group
		}
		text, err := json.Marshal(schema)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s_%s_%s.json", group, version, strings.ToLower(kind))), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// Downloaded again if the cache has the build and no longer the module.
	var module struct{ Dir string }
	if err := json.Unmarshal(goCommand(t, "../kube", "mod", "download", "-json", "k8s.io/kubernetes"), &module); err != nil {
		t.Fatal(err)
	}
	kubernetes := module.Dir
	var swagger struct{ Definitions map[string]map[string]any }
	if err := json.Unmarshal([]byte(readFile(t, kubernetes+"/api/openapi-spec/swagger.json")), &swagger); err != nil {
		t.Fatal(err)
	}
	for name := range swagger.Definitions {
		swagger.Definitions[name] = strict(swagger.Definitions[name]).(map[string]any)
	}
	for name, definition := range swagger.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 || strings.HasSuffix(name, "List") {
			continue
		}
		kind := kinds[0].(map[string]any)
		reached := map[string]any{}
		reach(definition, swagger.Definitions, reached)
		root := map[string]any{"definitions": reached}
		for key, value := range definition {
			root[key] = value
		}
		write(kind["group"].(string), kind["version"].(string), kind["kind"].(string), root)
	}
	for _, crd := range crds(t) {
		writeCRD(write, crd)
	}
	for _, from := range foreign {
		var module struct{ Dir, Sum, Error string }
		if err := json.Unmarshal(goCommand(t, ".", "mod", "download", "-json", from.module), &module); err != nil || module.Sum != from.sum {
			t.Fatalf("%s: %v, sum %s, %s", from.module, err, module.Sum, module.Error)
		}
		files, _ := filepath.Glob(filepath.Join(module.Dir, from.folder, "*.yaml"))
		for _, file := range files {
			var crd extensions.CustomResourceDefinition
			if err := yaml.Unmarshal([]byte(readFile(t, file)), &crd); err != nil || crd.Kind != "CustomResourceDefinition" {
				continue
			}
			writeCRD(write, crd)
		}
	}
	return folder
}

func writeCRD(write func(group, version, kind string, schema any), crd extensions.CustomResourceDefinition) {
	for _, version := range crd.Spec.Versions {
		text, _ := json.Marshal(version.Schema.OpenAPIV3Schema)
		var schema map[string]any
		_ = json.Unmarshal(text, &schema)
		properties := schema["properties"].(map[string]any)
		properties["metadata"] = map[string]any{"type": "object"}
		for _, name := range []string{"apiVersion", "kind"} {
			properties[name] = map[string]any{"type": "string"}
		}
		write(crd.Spec.Group, version.Name, crd.Spec.Names.Kind, strict(schema))
	}
}

// strict converts a schema to JSON Schema in which an object has only the named fields, unless it is a map or
// allows any.
func strict(value any) any {
	switch value := value.(type) {
	case []any:
		for index := range value {
			value[index] = strict(value[index])
		}
	case map[string]any:
		if value["format"] == "int-or-string" || value["x-kubernetes-int-or-string"] == true {
			return map[string]any{"type": []any{"integer", "string"}}
		}
		if description, _ := value["description"].(string); strings.HasPrefix(description, "Quantity is a fixed-point") {
			return map[string]any{"type": []any{"number", "string"}}
		}
		// The API server checks its own formats; kubeconform knows some of them by these names.
		delete(value, "format")
		_, fields := value["properties"].(map[string]any)
		if fields && value["additionalProperties"] == nil && value["x-kubernetes-preserve-unknown-fields"] != true {
			value["additionalProperties"] = false
		}
		for key := range value {
			if key == "properties" {
				for name, property := range value[key].(map[string]any) {
					value[key].(map[string]any)[name] = strict(property)
				}
			} else if key != "default" && key != "example" && key != "enum" {
				value[key] = strict(value[key])
			}
		}
	}
	return value
}

// reach collects the definitions that a schema refers to.
func reach(value any, all map[string]map[string]any, reached map[string]any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			reach(item, all, reached)
		}
	case map[string]any:
		if reference, ok := value["$ref"].(string); ok {
			name := strings.TrimPrefix(reference, "#/definitions/")
			if reached[name] == nil {
				reached[name] = all[name]
				reach(all[name], all, reached)
			}
		}
		for _, item := range value {
			reach(item, all, reached)
		}
	}
}

func kubeconform(t *testing.T, schemas string, text []byte) (string, error) {
	t.Helper()
	command := exec.Command("kubeconform", "-strict", "-summary", "-schema-location", schemas+"/{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json")
	command.Stdin = bytes.NewReader(text)
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestEverythingConformsToItsSchema(t *testing.T) {
	schemas := schemas(t)
	for name, values := range map[string]values{
		"default": with(), "everything": everything, "namespaced": namespaced(), "switches": switches(),
		"no extras": switches("networkPolicy.enabled=false", "webhook.enabled=false", "tenantRoles.create=false", "switch.data.persistent=false"),
		"issuer":    with("webhook.certManager.enabled=true", "webhook.certManager.issuerRef.name=ours"),
	} {
		text, err := template(t, values)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := kubeconform(t, schemas, []byte(text)); err != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
	for _, pattern := range []string{"deploy/argocd/app*.yaml", "deploy/argocd/argocd-cm.yaml", "deploy/samples/*.yaml", "deploy/install.yaml", "e2e/argocd/fixtures/*.yaml"} {
		files, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, file := range files {
			if out, err := kubeconform(t, schemas, []byte(readFile(t, file))); err != nil {
				t.Errorf("%s: %s", file, out)
			}
		}
		if len(files) == 0 {
			t.Errorf("nothing is %s", pattern)
		}
	}
	// Proves that an error is found.
	text, _ := template(t, everything)
	for _, change := range [][2]string{{"serviceAccountName:", "serviceAcountName:"}, {"replicas: 2", "replicas: two"}, {"endpoints:", "endpoint:"}, {"dnsNames:", "dnsName:"}} {
		if out, err := kubeconform(t, schemas, []byte(strings.Replace(text, change[0], change[1], 1))); err == nil {
			t.Errorf("%s passes: %s", change[1], out)
		}
	}
}
