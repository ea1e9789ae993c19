{{/* What concerns more than one value; the schema says the rest. Each message names the values and the mend. */}}
{{- define "tfc-token-operator.validate" -}}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) -}}
{{- fail "replicaCount is more than 1, but leaderElection.enabled is false: two operators would rotate the same tokens; set replicaCount to 1 or leaderElection.enabled to true" -}}
{{- end -}}
{{- if and (not .Values.namespaceLabels) (not .Values.installationID) -}}
{{- fail "namespaceLabels is false, so the operator can't read the UID by which it tells clusters apart: set installationID, and always the same for this installation" -}}
{{- end -}}
{{- if and .Values.caBundle.configMapName .Values.caBundle.secretName -}}
{{- fail "caBundle.configMapName and caBundle.secretName are both set: give one of them" -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and .enabled (ne (toString .minAvailable) "") (ne (toString .maxUnavailable) "") -}}
{{- fail "podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable are both set: a PodDisruptionBudget takes one of them" -}}
{{- end -}}
{{- end -}}
{{- with .Values.prometheus -}}
{{- if and .servicemonitor.enabled .podmonitor.enabled -}}
{{- fail "prometheus.servicemonitor.enabled and prometheus.podmonitor.enabled are both true: every replica would be scraped twice; enable one of them" -}}
{{- end -}}
{{- if and (not .enabled) (or .servicemonitor.enabled .podmonitor.enabled .prometheusrule.enabled) -}}
{{- fail "prometheus.enabled is false, so there is nothing to scrape: set it to true, or prometheus.servicemonitor.enabled, prometheus.podmonitor.enabled and prometheus.prometheusrule.enabled to false" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.prometheus.servicemonitor.enabled (not .Values.service.enabled) -}}
{{- fail "prometheus.servicemonitor.enabled needs the Service: set service.enabled to true, or take prometheus.podmonitor.enabled" -}}
{{- end -}}
{{- if eq (int .Values.prometheus.port) (int .Values.healthProbe.port) -}}
{{- fail "prometheus.port and healthProbe.port are the same: give each its own" -}}
{{- end -}}
{{- end -}}
