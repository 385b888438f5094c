{{- define "elasticjob.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "elasticjob.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (printf "%s-operator" (include "elasticjob.name" .)) -}}
{{- end -}}

{{- define "elasticjob.selector" -}}
app.kubernetes.io/name: elasticjob-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "elasticjob.labels" -}}
{{ include "elasticjob.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: elasticjob
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The Secret that holds the operator's own secret. */}}
{{- define "elasticjob.key" -}}
{{- printf "%s-operator-key" (include "elasticjob.name" .) -}}
{{- end -}}

{{/* Not the operator's selector: no Service and no budget may count the test's pod. */}}
{{- define "elasticjob.testLabels" -}}
app.kubernetes.io/name: elasticjob-test
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: elasticjob
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* An image's full name; call with a dict of root and image. */}}
{{- define "elasticjob.image" -}}
{{- printf "%s%s:%s" .root.Values.image.prefix .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}

{{/* What the operator may do in the namespaces that it serves. */}}
{{- define "elasticjob.rules" -}}
- apiGroups: [rdzv.dev]
  resources: [elasticjobs]
  # Delete: runPolicy.ttlSecondsAfterFinished.
  verbs: [get, list, watch, delete]
- apiGroups: [rdzv.dev]
  resources: [elasticjobs/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
# The line that says why training failed is quoted in the status.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- if not .Values.operator.watchNamespace }}
# Pods on a node that is lost are replaced without waiting for its kubelet.
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
{{- end }}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, create, patch, delete]
# Only tried (dry run), to say in the job's status why a store has no volume.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, patch]
# spec.autoscaling.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, create, patch, delete]
# spec.gangScheduling: Kubernetes' own, scheduler-plugins', Volcano's.
- apiGroups: [scheduling.k8s.io, scheduling.x-k8s.io, scheduling.volcano.sh]
  resources: [podgroups]
  verbs: [get, create, patch]
# Made once, never read: with patch, update or a list one would see what is in them.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create{{ if .Values.rbac.readSecrets }}, get{{ end }}]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
