package chart

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// known tells whether a metric exists: it is registered in src/, or is one of Prometheus.
func known(t *testing.T, metric string) bool {
	t.Helper()
	if metric == "up" {
		return true
	}
	file, name := "freeswitch/listener", strings.TrimPrefix(metric, "centrex_")
	if operator, ours := strings.CutPrefix(name, "operator_"); ours {
		file, name = "operator", operator
	}
	source := readFile(t, fmt.Sprintf("%s/src/%s/metrics.rs", root, file))
	registered := func(name string) bool { return strings.Contains(source, fmt.Sprintf("%q", name)) }
	// Suffixes that the exposition format adds: counters, histograms, units.
	for _, suffix := range []string{"_total", "_bucket", "_count", "_sum"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return registered(name) || registered(strings.TrimSuffix(name, "_seconds"))
}

func expressions(t *testing.T, what string, all []string) {
	t.Helper()
	name := regexp.MustCompile(`\b(centrex_[a-z_]+|up)\b\{`)
	for _, expression := range all {
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(expression); err != nil {
			t.Errorf("%s: %s: %v", what, expression, err)
		}
		found := name.FindAllStringSubmatch(expression, -1)
		if len(found) == 0 {
			t.Errorf("%s: %s speaks of nothing", what, expression)
		}
		for _, metric := range found {
			if !known(t, metric[1]) {
				t.Errorf("%s: nobody counts %s", what, metric[1])
			}
		}
	}
}

func TestAlerts(t *testing.T) {
	all := render(t, everything)
	var expressionsOf []string
	for _, group := range all["PrometheusRule/centrex"].Object["spec"].(map[string]any)["groups"].([]any) {
		for _, rule := range group.(map[string]any)["rules"].([]any) {
			rule := rule.(map[string]any)
			expressionsOf = append(expressionsOf, rule["expr"].(string))
			if rule["for"] == nil || rule["labels"].(map[string]any)["severity"] == nil || rule["annotations"].(map[string]any)["summary"] == nil {
				t.Errorf("%v", rule)
			}
		}
	}
	if len(expressionsOf) < 11 {
		t.Errorf("%d alerts", len(expressionsOf))
	}
	expressions(t, "alert", expressionsOf)
	for _, component := range []string{"operator", "switch"} {
		monitor, service := all["ServiceMonitor/centrex-"+component], all["Service/centrex-"+component]
		wanted := monitor.Object["spec"].(map[string]any)["selector"].(map[string]any)["matchLabels"].(map[string]any)
		for key, value := range wanted {
			if service.GetLabels()[key] != value {
				t.Errorf("%s: the ServiceMonitor does not find its Service by %s", component, key)
			}
		}
	}
	if all["ServiceMonitor/centrex-switch"] == nil || render(t, with("metrics.serviceMonitor.enabled=true"))["ServiceMonitor/centrex-switch"] != nil {
		t.Error("ServiceMonitor of the switches")
	}
}

func TestTheDashboard(t *testing.T) {
	type panel struct {
		Title, Description string
		Targets            []struct{ Expr string }
		GridPos            struct{ X, Y, W, H int }
	}
	var dashboard struct {
		Title, UID string
		Panels     []panel
	}
	data, _, _ := unstructured.NestedString(render(t, everything)["ConfigMap/centrex-dashboard"].Object, "data", "centrex.json")
	if err := json.Unmarshal([]byte(data), &dashboard); err != nil {
		t.Fatal(err)
	}
	taken := map[[2]int]string{}
	var all []string
	for _, panel := range dashboard.Panels {
		if panel.Title == "" || panel.Description == "" {
			t.Errorf("a panel does not say what it shows: %+v", panel)
		}
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%s lies over %s", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
		for _, target := range panel.Targets {
			// Grafana replaces its variables before Prometheus sees the query.
			all = append(all, strings.NewReplacer("$__rate_interval", "5m", "$namespace", "centrex").Replace(target.Expr))
		}
	}
	if len(all) < 10 || dashboard.UID == "" {
		t.Errorf("%d expressions", len(all))
	}
	expressions(t, "dashboard", all)
}
