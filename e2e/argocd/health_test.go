// Package argocd tests the health script that argocd-cm.yaml gives to Argo CD, with Argo CD's Lua
// interpreter, and that kstatus and kubectl agree with it.
package argocd

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// state is one line of states.yaml.
type state struct {
	Fixture, ArgoCD, Message, Kstatus string
	Wait                              bool
}

func read[T any](t *testing.T, path string) (value T) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.UnmarshalStrict(text, &value)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return value
}

// script is the health script as Argo CD finds it: under the one key that allows wildcards.
func script(t *testing.T) string {
	t.Helper()
	configMap := read[corev1.ConfigMap](t, "../../deploy/argocd/argocd-cm.yaml")
	customizations := map[string]struct {
		Health string `json:"health.lua"`
	}{}
	if err := yaml.UnmarshalStrict([]byte(configMap.Data["resource.customizations"]), &customizations); err != nil {
		t.Fatal(err)
	}
	if len(customizations) != 1 || customizations["centrex.dev/*"].Health == "" {
		t.Fatalf("not one script, for centrex.dev/*: %v", customizations)
	}
	return customizations["centrex.dev/*"].Health
}

// health runs the script as Argo CD does: with the base and table libraries only.
func health(t *testing.T, script string, object map[string]any) (status, message string) {
	t.Helper()
	vm := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer vm.Close()
	for name, open := range map[string]lua.LGFunction{"": lua.OpenBase, "table": lua.OpenTable} {
		if err := vm.CallByParam(lua.P{Fn: vm.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	vm.SetGlobal("obj", value(vm, object))
	if err := vm.DoString(script); err != nil {
		t.Fatal(err)
	}
	table, ok := vm.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returns a %s, no table", vm.Get(-1).Type())
	}
	return lua.LVAsString(table.RawGetString("status")), lua.LVAsString(table.RawGetString("message"))
}

// value converts a JSON value to Lua.
func value(vm *lua.LState, json any) lua.LValue {
	switch json := json.(type) {
	case bool:
		return lua.LBool(json)
	case int64:
		return lua.LNumber(json)
	case float64:
		return lua.LNumber(json)
	case string:
		return lua.LString(json)
	case []any:
		table := vm.NewTable()
		for _, item := range json {
			table.Append(value(vm, item))
		}
		return table
	case map[string]any:
		table := vm.NewTable()
		for key, item := range json {
			table.RawSetString(key, value(vm, item))
		}
		return table
	}
	return lua.LNil
}

// ready is the condition of `kubectl wait --for=condition=Ready`, for this generation.
func ready(t *testing.T, object *unstructured.Unstructured) bool {
	t.Helper()
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(conditions, func(condition any) bool {
		fields := condition.(map[string]any)
		observed, _, _ := unstructured.NestedInt64(fields, "observedGeneration")
		return fields["type"] == "Ready" && fields["status"] == "True" && observed >= object.GetGeneration()
	})
}

func TestEveryStateHasTheSameHealthEverywhere(t *testing.T) {
	script := script(t)
	states := read[[]state](t, "states.yaml")
	var tested []string
	for _, state := range states {
		path := filepath.Join("fixtures", state.Fixture+".yaml")
		tested = append(tested, path)
		t.Run(state.Fixture, func(t *testing.T) {
			object := &unstructured.Unstructured{Object: read[map[string]any](t, path)}
			// As a client decodes JSON: whole numbers are int64.
			if text, err := object.MarshalJSON(); err != nil {
				t.Fatal(err)
			} else if err := object.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
			if status, message := health(t, script, object.Object); status != state.ArgoCD || state.Message != "" && message != state.Message {
				t.Errorf("Argo CD: %s, %q", status, message)
			}
			if result, err := status.Compute(object); err != nil || result.Status.String() != state.Kstatus {
				t.Errorf("kstatus: %v, %v", result, err)
			}
			if ready := ready(t, object); ready != state.Wait {
				t.Errorf("kubectl wait: %v", ready)
			}
		})
	}
	files, _ := filepath.Glob("fixtures/*.yaml")
	for _, file := range files {
		if !slices.Contains(tested, file) {
			t.Errorf("%s is in no test", file)
		}
	}
}
