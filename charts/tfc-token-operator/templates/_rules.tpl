{{/*
What the operator may do: the least that works. tests/it/chart/rights.rs runs the operator under exactly these rules, and shows that it
uses every one of them.
*/}}

{{/* In each namespace that it serves. */}}
{{- define "tfc-token-operator.rules" -}}
# Finalizers, and the wishes in their annotations.
- apiGroups: [terraformcloud.dev]
  resources: [terraformcloudconfigs, terraformcloudroles]
  verbs: [get, list, watch, patch]
- apiGroups: [terraformcloud.dev]
  resources: [terraformcloudconfigs/status, terraformcloudroles/status]
  verbs: [patch]
# The tokens, the admin tokens and, where a config says so, CA bundles. RBAC can't tell Secrets apart by label.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.rolloutRestart.enabled }}
# rolloutRestart.enabled: workloads that opt in get a new annotation in their pod template.
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [list, patch]
{{- end }}
{{- end -}}

{{/* Of namespaces, which no Role can grant. */}}
{{- define "tfc-token-operator.namespaceRules" -}}
{{- if and .Values.namespaceLabels .Values.watchNamespaces }}
# namespaceLabels: for a config's `allow`. Lists and watches are bound to one name each.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: {{ toJson .Values.watchNamespaces }}
  verbs: [list, watch]
{{- else if .Values.namespaceLabels }}
# namespaceLabels: for a config's `allow`.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- if not .Values.installationID }}
{{ include "tfc-token-operator.installationRules" . }}
{{- end }}
{{- end -}}

{{- define "tfc-token-operator.installationRules" -}}
# Without installationID: the UID of this namespace tells clusters apart.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end -}}

{{/* In the operator's own namespace: the leader's Lease, and one for each single slot in use. */}}
{{- define "tfc-token-operator.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, delete]
# The leader's: whoever waits for it is told when it is handed over.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [tfc-token-operator]
  verbs: [watch]
{{- end -}}

{{/* What `tfc-token-operator uninstall` may do in each namespace that is served. It runs once, before the release goes. */}}
{{- define "tfc-token-operator.uninstallRules" -}}
- apiGroups: [terraformcloud.dev]
  resources: [terraformcloudconfigs, terraformcloudroles]
  verbs: [get, list, patch]
- apiGroups: [terraformcloud.dev]
  resources: [terraformcloudroles/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* Of namespaces, which no Role can grant. */}}
{{- define "tfc-token-operator.uninstallNamespaceRules" -}}
{{- if and .Values.namespaceLabels .Values.watchNamespaces }}
# namespaceLabels: whether a config's `allow` lets a role keep its token.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: {{ toJson .Values.watchNamespaces }}
  verbs: [get]
{{- else if .Values.namespaceLabels }}
# namespaceLabels: whether a config's `allow` lets a role keep its token.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
{{- if not .Values.installationID }}
{{ include "tfc-token-operator.installationRules" . }}
{{- end }}
{{- end -}}
