package chart

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
)

func statefulSet(t *testing.T, all objects) (set apps.StatefulSet, sidecar, freeswitch core.Container) {
	t.Helper()
	set = as[apps.StatefulSet](t, all, "StatefulSet/centrex-switch")
	return set, set.Spec.Template.Spec.InitContainers[0], set.Spec.Template.Spec.Containers[0]
}

func volume(t *testing.T, pod core.PodSpec, name string) core.VolumeSource {
	t.Helper()
	index := slices.IndexFunc(pod.Volumes, func(volume core.Volume) bool { return volume.Name == name })
	if index < 0 {
		t.Fatalf("no volume %s", name)
	}
	return pod.Volumes[index].VolumeSource
}

func environment(container core.Container) map[string]core.EnvVar {
	all := map[string]core.EnvVar{}
	for _, variable := range container.Env {
		all[variable.Name] = variable
	}
	return all
}

func TestASwitch(t *testing.T) {
	all := render(t, switches())
	set, sidecar, freeswitch := statefulSet(t, all)
	// The sidecar starts before FreeSWITCH, and ends after it.
	if *sidecar.RestartPolicy != core.ContainerRestartPolicyAlways || sidecar.StartupProbe.HTTPGet.Path != "/readyz" ||
		sidecar.LivenessProbe.HTTPGet.Path != "/healthz" || sidecar.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("%+v", sidecar)
	}
	contains(t, strings.Join(sidecar.Args, " "), "switch ", "--xml-listen=127.0.0.1:8080", "--health-listen=0.0.0.0:8081", "--data-dir=/var/lib/centrex/data")
	ours, theirs := environment(sidecar), environment(freeswitch)
	if ours["CENTREX_XML_PASSWORD"].ValueFrom.SecretKeyRef.Name != "centrex-switch-credentials" ||
		ours["CENTREX_XML_PASSWORD"].ValueFrom.SecretKeyRef.Key != theirs["CENTREX_XML_PASSWORD"].ValueFrom.SecretKeyRef.Key ||
		ours["CENTREX_XML_USERNAME"].Value != theirs["CENTREX_XML_USERNAME"].Value ||
		ours["CENTREX_SWITCH_NAME"].ValueFrom.FieldRef.FieldPath != "metadata.name" ||
		theirs["CENTREX_XML_URL"].Value != "http://127.0.0.1:8080" {
		t.Errorf("%v %v", ours, theirs)
	}
	if theirs["CENTREX_DATABASE_URL"].Name != "" || slices.ContainsFunc(freeswitch.VolumeMounts, func(mount core.VolumeMount) bool { return mount.Name == "encryption-keys" || mount.Name == "database" }) {
		t.Error("FreeSWITCH has what it needs not")
	}
	if pod := set.Spec.Template.Spec; pod.HostNetwork || *pod.AutomountServiceAccountToken || volume(t, pod, "run").EmptyDir.Medium != "Memory" {
		t.Errorf("%+v", pod)
	}
	if set.Spec.VolumeClaimTemplates[0].Name != "data" || freeswitch.Image != "registry.example.com/freeswitch:latest" {
		t.Errorf("%+v", set.Spec)
	}
	if headless := as[core.Service](t, all, "Service/centrex-switch"); headless.Spec.ClusterIP != "None" || set.Spec.ServiceName != headless.Name {
		t.Errorf("%+v", headless)
	}
	for key := range all {
		if strings.Contains(key, "Role") && strings.Contains(key, "switch") {
			t.Errorf("a switch needs no right: %s", key)
		}
	}
	contains(t, refused(t, with("switch.enabled=true")), "switch.freeswitch.image.repository is required")
	contains(t, refused(t, switches("switch.rtp.start=30000", "switch.rtp.end=20000")), "switch.rtp")
}

// The kubelet knows no address of a pod on the node's network when it runs a hook: a hook without a host
// would fail there, and the pod's end would cut every call.
func TestThePreStopHookWaitsForCalls(t *testing.T) {
	for network, host := range map[string]string{"false": "", "true": "127.0.0.1"} {
		_, sidecar, freeswitch := statefulSet(t, render(t, switches("switch.hostNetwork="+network, "switch.drainSeconds=40", "switch.ports.health=18081", "switch.terminationGracePeriodSeconds=70")))
		hook := freeswitch.Lifecycle.PreStop.HTTPGet
		if hook.Host != host || hook.Path != "/drained?seconds=40" || hook.Port.IntVal != 18081 {
			t.Errorf("hostNetwork=%s: %+v", network, hook)
		}
		contains(t, strings.Join(sidecar.Lifecycle.PreStop.Exec.Command, " "), "/usr/local/bin/centrex switch drain --ending ", "--limit=40")
	}
	contains(t, refused(t, switches("switch.drainSeconds=50")), "switch.drainSeconds: must be at least 20 less")
}

// A Service sends calls to ready pods, and an upgrade waits until a pod is ready.
func TestAPodIsReadyWhenItsFreeswitchIs(t *testing.T) {
	set, _, freeswitch := statefulSet(t, render(t, switches("switch.hostNetwork=true", "switch.ports.health=18081", "switch.minReadySeconds=7")))
	probe := freeswitch.ReadinessProbe.HTTPGet
	// The kubelet sends probes to the pod's address, where the sidecar listens on either network.
	if probe.Path != "/readyz/freeswitch" || probe.Port.IntVal != 18081 || probe.Host != "" {
		t.Errorf("%+v", probe)
	}
	if set.Spec.MinReadySeconds != 7 || set.Spec.UpdateStrategy.Type != "RollingUpdate" || set.Spec.UpdateStrategy.RollingUpdate != nil {
		t.Errorf("%+v", set.Spec)
	}
}

// kubectl logs shows the log of FreeSWITCH.
func TestFreeswitchLogsToTheContainersOutput(t *testing.T) {
	all := render(t, switches())
	_, _, freeswitch := statefulSet(t, all)
	if environment(freeswitch)["CENTREX_LOG_FILE"].Value != "/dev/stdout" {
		t.Error("the log goes to a file of the container")
	}
	contains(t, as[core.ConfigMap](t, all, "ConfigMap/centrex-switch").Data["autoload_configs__logfile.conf.xml"], `name="logfile" value="$${centrex_log_file}"`)
}

func TestASwitchMayHaveItsOwnLogin(t *testing.T) {
	secret := func(all objects) string {
		set, sidecar, _ := statefulSet(t, all)
		contains(t, strings.Join(sidecar.Args, " "), "--database-url-file=/etc/centrex/database/url")
		url := volume(t, set.Spec.Template.Spec, "database").Secret
		return url.SecretName + "/" + url.Items[0].Key
	}
	if got := secret(render(t, switches())); got != "centrex-postgres/uri" {
		t.Error(got)
	}
	own := render(t, switches("switch.postgres.existingSecret.name=reader", "switch.postgres.existingSecret.key=url"))
	if got := secret(own); got != "reader/url" {
		t.Error(got)
	}
	if deployment, _ := operator(t, own); volume(t, deployment.Spec.Template.Spec, "database").Secret.SecretName != "centrex-postgres" {
		t.Error("the operator has the switches' login")
	}
}

func TestFreeswitchGetsTheRepositorysFiles(t *testing.T) {
	all := render(t, switches())
	set, _, _ := statefulSet(t, all)
	data := as[core.ConfigMap](t, all, "ConfigMap/centrex-switch").Data
	mounted := map[string]string{}
	for _, item := range volume(t, set.Spec.Template.Spec, "configuration").ConfigMap.Items {
		mounted[item.Path] = data[item.Key]
	}
	folder, files := root+"/deploy/freeswitch", 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".xml" {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		if mounted[name] != string(text) {
			t.Errorf("%s is not as in %s", name, folder)
		}
		return err
	})
	if err != nil || files != len(mounted) || files < 10 {
		t.Errorf("%v, %d files, %d mounted", err, files, len(mounted))
	}
}

func TestSwitchesOfOtherKinds(t *testing.T) {
	all := render(t, everything)
	set, sidecar, freeswitch := statefulSet(t, all)
	pod := set.Spec.Template.Spec
	if !pod.HostNetwork || pod.DNSPolicy != core.DNSClusterFirstWithHostNet {
		t.Error("hostNetwork")
	}
	if volume(t, pod, "tls").Secret.SecretName != "tls" {
		t.Error("tlsSecret")
	}
	contains(t, strings.Join(freeswitch.Args, " "), "-certs /etc/freeswitch-tls")
	if service := as[core.Service](t, all, "Service/centrex-sip"); service.Spec.Type != "LoadBalancer" || service.Spec.ExternalTrafficPolicy != "Local" {
		t.Errorf("%+v", service.Spec)
	}
	// One media volume, mounted at one path everywhere.
	deployment, container := operator(t, all)
	for _, spec := range []core.PodSpec{pod, deployment.Spec.Template.Spec} {
		if volume(t, spec, "media").PersistentVolumeClaim.ClaimName != "centrex-media" {
			t.Errorf("%+v", spec.Volumes)
		}
	}
	for _, program := range []core.Container{sidecar, freeswitch, container} {
		if !slices.ContainsFunc(program.VolumeMounts, func(mount core.VolumeMount) bool { return mount.MountPath == "/var/lib/centrex/media" }) {
			t.Errorf("%s has no media", program.Name)
		}
	}
	contains(t, strings.Join(container.Args, " "), "--media-dir=/var/lib/centrex/media")
	if all["PersistentVolumeClaim/centrex-media"].GetAnnotations()["helm.sh/resource-policy"] != "keep" {
		t.Error("recordings go with the release")
	}

	all = render(t, switches("switch.data.persistent=false", "switch.service.enabled=false", "media.persistent=true", "media.existingClaim=ours", "switch.updateStrategy=OnDelete"))
	set, _, _ = statefulSet(t, all)
	if len(set.Spec.VolumeClaimTemplates) != 0 || volume(t, set.Spec.Template.Spec, "data").EmptyDir == nil || set.Spec.UpdateStrategy.Type != "OnDelete" {
		t.Error("data.persistent=false")
	}
	if all["Service/centrex-sip"] != nil || all["PersistentVolumeClaim/centrex-media"] != nil || volume(t, set.Spec.Template.Spec, "media").PersistentVolumeClaim.ClaimName != "ours" {
		t.Error("service.enabled, existingClaim")
	}
}

func TestPortsAreConsistent(t *testing.T) {
	all := render(t, values{set: switches("switch.rtp.start=20000", "switch.rtp.end=21000", "switch.ports.xml=18080", "switch.ports.eventSocket=18021", "switch.ports.health=18081").set,
		file: "switch: {sip: {ports: [{name: sips, port: 5061, protocol: TCP}]}}"})
	_, sidecar, freeswitch := statefulSet(t, all)
	theirs := environment(freeswitch)
	same(t, "environment", []string{theirs["CENTREX_RTP_START_PORT"].Value, theirs["CENTREX_RTP_END_PORT"].Value, theirs["CENTREX_ESL_PORT"].Value, theirs["CENTREX_XML_URL"].Value},
		[]string{"20000", "21000", "18021", "http://127.0.0.1:18080"})
	contains(t, strings.Join(sidecar.Args, " "), "--xml-listen=127.0.0.1:18080", "--health-listen=0.0.0.0:18081")
	if sidecar.Ports[0].ContainerPort != 18081 || as[core.Service](t, all, "Service/centrex-switch").Spec.Ports[0].Port != 18081 {
		t.Error("ports.health")
	}
	if freeswitch.Ports[0].ContainerPort != 5061 || as[core.Service](t, all, "Service/centrex-sip").Spec.Ports[0].Port != 5061 {
		t.Error("sip.ports")
	}
	ports := as[network.NetworkPolicy](t, all, "NetworkPolicy/centrex-switch").Spec.Ingress[0].Ports
	if ports[0].Port.IntVal != 5061 || ports[1].Port.IntVal != 20000 || *ports[1].EndPort != 21000 {
		t.Errorf("%+v", ports)
	}
}

// The relay for browsers is off at first; FreeSWITCH's own WebSocket is never a port.
func TestTheRelayForBrowsers(t *testing.T) {
	off := render(t, switches())
	_, sidecar, _ := statefulSet(t, off)
	if strings.Contains(strings.Join(sidecar.Args, " "), "sip-websocket") || off["Service/centrex-sip-websocket"] != nil {
		t.Error("the relay is on")
	}
	contains(t, refused(t, switches("switch.sipWebSocket.enabled=true")), "switch.sipWebSocket.origins is required")
	contains(t, refused(t, switches("switch.sipWebSocket.enabled=true", "switch.sipWebSocket.origins={https://portal.example.com/}")), "origins")
	all := render(t, switches("switch.sipWebSocket.enabled=true", "switch.sipWebSocket.port=8099",
		"switch.sipWebSocket.origins={https://portal.example.com,https://b.example.com:8443}", "switch.sipWebSocket.trustedProxies={10.0.0.0/8}"))
	_, sidecar, freeswitch := statefulSet(t, all)
	contains(t, strings.Join(sidecar.Args, " "), "--sip-websocket-listen=0.0.0.0:8099", "--sip-websocket-origin=https://portal.example.com",
		"--sip-websocket-origin=https://b.example.com:8443", "--sip-websocket-trusted-proxy=10.0.0.0/8")
	service := as[core.Service](t, all, "Service/centrex-sip-websocket")
	if port := service.Spec.Ports[0]; port.Port != 8099 || port.TargetPort.StrVal != "sip-websocket" || service.Spec.SessionAffinity != core.ServiceAffinityClientIP {
		t.Errorf("%+v", service.Spec)
	}
	if !slices.ContainsFunc(sidecar.Ports, func(port core.ContainerPort) bool { return port.Name == "sip-websocket" && port.ContainerPort == 8099 }) {
		t.Errorf("%+v", sidecar.Ports)
	}
	if slices.ContainsFunc(freeswitch.Ports, func(port core.ContainerPort) bool { return strings.Contains(port.Name, "web") }) {
		t.Errorf("%+v", freeswitch.Ports)
	}
	policy := as[network.NetworkPolicy](t, all, "NetworkPolicy/centrex-switch")
	if !slices.ContainsFunc(policy.Spec.Ingress, func(rule network.NetworkPolicyIngressRule) bool {
		return rule.Ports[0].Port.IntVal == 8099 && len(rule.From) == 0
	}) {
		t.Errorf("%+v", policy.Spec.Ingress)
	}
}
