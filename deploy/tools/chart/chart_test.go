// Package chart holds the Helm chart against Helm's own lint and against the types of Kubernetes, by Helm as a library.
package chart

import (
	"io"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const folder = "../../helm/locus"

// everything switches on what the default values leave out.
const everything = `
replicas: 3
image: { repository: registry.example.com/locus, tag: 1.2.3, pullPolicy: Always }
config: { blob-store: "s3://blobs/pds?endpoint=https://s3.example.com&region=eu", trusted-proxies: [10.0.0.0/8] }
env: [{ name: LOCUS_S3_SECRET_KEY, valueFrom: { secretKeyRef: { name: s3, key: secret } } }]
volumes: [{ name: more, secret: { secretName: more } }]
volumeMounts: [{ name: more, mountPath: /etc/locus-more, readOnly: true }]
service: { type: LoadBalancer, port: 8080 }
ingress:
  enabled: true
  className: nginx
  annotations: { nginx.ingress.kubernetes.io/proxy-body-size: 110m }
  hosts: [pds.example.com, "*.pds.example.com"]
  tls: [{ secretName: pds, hosts: [pds.example.com, "*.pds.example.com"] }]
serviceMonitor: true
nodeSelector: { kubernetes.io/arch: arm64 }
tolerations: [{ key: pds, operator: Exists, effect: NoSchedule }]
affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: kubernetes.io/hostname, labelSelector: { matchLabels: { app.kubernetes.io/name: locus } } }] } }
`

// serviceMonitor is of Prometheus's operator, as far as the chart uses it.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port string `json:"port"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// manifests are what a release consists of.
type manifests struct {
	deployments []appsv1.Deployment
	services    []corev1.Service
	maps        []corev1.ConfigMap
	budgets     []policyv1.PodDisruptionBudget
	ingresses   []networkingv1.Ingress
	monitors    []serviceMonitor
}

func TestChart(t *testing.T) {
	for name, text := range map[string]string{"as it is": "", "everything": everything} {
		t.Run(name, func(t *testing.T) {
			var values map[string]any
			if err := yaml.Unmarshal([]byte(text), &values); err != nil {
				t.Fatal(err)
			}
			for _, m := range lint.All(folder, values, "default", true).Messages {
				if m.Severity > support.InfoSev {
					t.Errorf("helm lint: %s", m)
				}
			}
			m := render(t, values)
			if len(m.deployments) != 1 || len(m.services) != 2 || len(m.maps) != 1 || len(m.budgets) != 1 {
				t.Fatalf("%+v", m)
			}
			if more := text != ""; (len(m.ingresses) == 1) != more || (len(m.monitors) == 1) != more {
				t.Errorf("%d ingresses, %d monitors", len(m.ingresses), len(m.monitors))
			}
			fits(t, m)
		})
	}
}

// TestChartRefuses: values that nobody can mean are refused by the schema, before anything is installed.
func TestChartRefuses(t *testing.T) {
	for _, text := range []string{"replicas: 0", "config: { listen: ':1' }", "config: { database-url: x }", "nosuch: 1", "service: { type: Odd }"} {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(text), &values); err != nil {
			t.Fatal(err)
		}
		if _, err := installed(values); err == nil {
			t.Errorf("taken: %s", text)
		}
	}
}

// installed is what 'helm template' prints.
func installed(values map[string]any) (string, error) {
	c, err := loader.Load(folder)
	if err != nil {
		return "", err
	}
	i := action.NewInstall(&action.Configuration{
		KubeClient: &fake.PrintingKubeClient{Out: io.Discard}, Capabilities: chartutil.DefaultCapabilities, Log: func(string, ...any) {},
	})
	i.ClientOnly, i.DryRun, i.ReleaseName, i.Namespace = true, true, "pds", "default"
	release, err := i.Run(c, values)
	if err != nil {
		return "", err
	}
	return release.Manifest, nil
}

// render decodes each manifest as Kubernetes has it: what it does not know is an error.
func render(t *testing.T, values map[string]any) (m manifests) {
	t.Helper()
	text, err := installed(values)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range strings.Split("\n"+text, "\n---\n") {
		if strings.TrimSpace(one) == "" {
			continue
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(one), &kind); err != nil {
			t.Fatalf("%v\n%s", err, one)
		}
		switch kind.APIVersion + " " + kind.Kind {
		case "apps/v1 Deployment":
			m.deployments = strict(t, m.deployments, one)
		case "v1 Service":
			m.services = strict(t, m.services, one)
		case "v1 ConfigMap":
			m.maps = strict(t, m.maps, one)
		case "policy/v1 PodDisruptionBudget":
			m.budgets = strict(t, m.budgets, one)
		case "networking.k8s.io/v1 Ingress":
			m.ingresses = strict(t, m.ingresses, one)
		case "monitoring.coreos.com/v1 ServiceMonitor":
			m.monitors = strict(t, m.monitors, one)
		default:
			t.Errorf("nobody knows %+v", kind)
		}
	}
	return m
}

func strict[T any](t *testing.T, all []T, text string) []T {
	t.Helper()
	var v T
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	return append(all, v)
}

// fits looks whether the parts name each other rightly.
func fits(t *testing.T, m manifests) {
	t.Helper()
	d := m.deployments[0]
	pod := d.Spec.Template
	chosen := func(what string, selector map[string]string) {
		t.Helper()
		for k, v := range selector {
			if pod.Labels[k] != v {
				t.Errorf("%s wants %s=%s, and pods have %q", what, k, v, pod.Labels[k])
			}
		}
		if len(selector) == 0 {
			t.Errorf("%s chooses everything", what)
		}
	}
	chosen("the deployment", d.Spec.Selector.MatchLabels)
	chosen("the budget", m.budgets[0].Spec.Selector.MatchLabels)
	c := pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for _, s := range m.services {
		chosen("service "+s.Name, s.Spec.Selector)
		for _, p := range s.Spec.Ports {
			if !ports[p.TargetPort.StrVal] {
				t.Errorf("service %s leads to the port %q, which containers have not", s.Name, p.TargetPort.StrVal)
			}
		}
	}
	for what, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil || !ports[p.HTTPGet.Port.StrVal] {
			t.Errorf("the %s probe asks at a port that is not there: %+v", what, p)
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, at := range c.VolumeMounts {
		if !volumes[at.Name] {
			t.Errorf("%s is mounted from %s, which is not there", at.MountPath, at.Name)
		}
	}
	if s := c.SecurityContext; s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Errorf("the container may do too much: %+v", s)
	}
	if s := pod.Spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot {
		t.Errorf("the pod may be root: %+v", s)
	}
	for _, i := range m.ingresses {
		for _, r := range i.Spec.Rules {
			if b := r.HTTP.Paths[0].Backend.Service; b == nil || b.Name != m.services[0].Name || b.Port.Name != m.services[0].Spec.Ports[0].Name {
				t.Errorf("%s leads to %+v", r.Host, b)
			}
		}
	}
	for _, s := range m.monitors {
		found := false
		for _, service := range m.services {
			all := true
			for k, v := range s.Spec.Selector.MatchLabels {
				all = all && service.Labels[k] == v
			}
			if all {
				found = service.Spec.Ports[0].Name == s.Spec.Endpoints[0].Port
			}
		}
		if !found {
			t.Errorf("the monitor finds no service: %+v", s.Spec)
		}
	}
	var config map[string]any
	if err := yaml.UnmarshalStrict([]byte(m.maps[0].Data["locus.yaml"]), &config); err != nil || config["database-url-file"] == nil {
		t.Errorf("the configuration: %v, %v", config, err)
	}
}
