{{/* The beginning of every name. */}}
{{- define "centrex.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that select a component's pods: (list $ "operator"). They never change. */}}
{{- define "centrex.selector" -}}
app.kubernetes.io/name: {{ default (index . 0).Chart.Name (index . 0).Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object: (list $ "operator"). */}}
{{- define "centrex.labels" -}}
{{ include "centrex.selector" . }}
app.kubernetes.io/part-of: centrex
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{/* An image's reference: (list image defaultTag). */}}
{{- define "centrex.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default (index . 1) $image.tag }}
{{- end -}}
{{- end -}}

{{/* Pod security, as the Pod Security level "restricted" wants it. */}}
{{- define "centrex.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurity.runAsUser }}
runAsGroup: {{ .Values.podSecurity.runAsGroup }}
fsGroup: {{ .Values.podSecurity.fsGroup }}
# A volume with many recordings is not gone through at every start.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "centrex.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where Postgres is: the Secret's name and key. */}}
{{- define "centrex.databaseSecret" -}}
{{- if and .Values.postgres.cnpg.enabled .Values.postgres.existingSecret.name -}}
{{- fail "postgres: name an existingSecret or enable cnpg, not both" -}}
{{- else if .Values.postgres.cnpg.enabled -}}
{name: {{ include "centrex.fullname" . }}-postgres-app, key: uri}
{{- else -}}
{name: {{ required "postgres.existingSecret.name is required: a Secret with the URL of Postgres; or set postgres.cnpg.enabled" .Values.postgres.existingSecret.name }}, key: {{ .Values.postgres.existingSecret.key }}}
{{- end -}}
{{- end -}}

{{/* The volume of the URL of Postgres: a Secret's name and key. A file, and not the environment, so that a new
     password is taken up without a restart, which ends calls. */}}
{{- define "centrex.databaseVolume" -}}
- name: database
  secret:
    secretName: {{ .name }}
    defaultMode: 0400
    items: [{key: {{ .key }}, path: url}]
{{- end -}}

{{/* The volume of the encryption keys. Mode 0400 becomes 0440 with fsGroup: root's, read by our group. */}}
{{- define "centrex.keysVolume" -}}
- name: encryption-keys
  secret:
    secretName: {{ .Values.encryption.existingSecret.name }}
    defaultMode: 0400
    items: [{key: {{ .Values.encryption.existingSecret.key }}, path: encryption-keys}]
{{- end -}}

{{/* The media's volume. */}}
{{- define "centrex.mediaVolume" -}}
- name: media
  {{- if .Values.media.persistent }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-media" (include "centrex.fullname" .)) .Values.media.existingClaim }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end -}}

{{/* Spread over hosts and zones: (list $ "operator" given). */}}
{{- define "centrex.topologySpread" -}}
{{- if index . 2 -}}
{{ toYaml (index . 2) }}
{{- else -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "centrex.selector" (list (index $ 0) (index $ 1)) | nindent 6 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* True where the operator answers the API server. */}}
{{- define "centrex.webhook" -}}
{{- if .Values.webhook.enabled -}}
{{- if and .Values.namespaces (not .Values.webhook.certManager.enabled) -}}
{{- fail "webhook: with namespaces, the operator may not write its certificate into the cluster's ValidatingWebhookConfiguration; set webhook.enabled=false or webhook.certManager.enabled=true" -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{/* True where the API server holds the operator's account to what it needs. With `namespaces`, whoever
installs it may perhaps make no object of the cluster. */}}
{{- define "centrex.admissionPolicy" -}}
{{- if and .Values.admissionPolicy.enabled (or (not .Values.namespaces) .Values.admissionPolicy.withNamespaces) -}}
true
{{- end -}}
{{- end -}}

{{/* The beginning of names that are the cluster's: two releases of one name may be in two namespaces. */}}
{{- define "centrex.clusterName" -}}
{{- $name := include "centrex.fullname" . -}}
{{- if eq $name .Release.Namespace -}}
{{ $name }}
{{- else -}}
{{ printf "%s-%s" .Release.Namespace $name }}
{{- end -}}
{{- end -}}

{{- define "centrex.webhookConfiguration" -}}
{{ include "centrex.clusterName" . }}
{{- end -}}

{{/* A file of FreeSWITCH's configuration as it is called in its folder, and as a key of the ConfigMap. */}}
{{- define "centrex.freeswitchPath" -}}
{{ trimPrefix "files/freeswitch/" . }}
{{- end -}}
{{- define "centrex.freeswitchKey" -}}
{{ include "centrex.freeswitchPath" . | replace "/" "__" }}
{{- end -}}

{{/* What FreeSWITCH shows to Centrex, in both containers. */}}
{{- define "centrex.xmlCredentials" -}}
- name: CENTREX_XML_USERNAME
  value: {{ .Values.switch.xmlUsername | quote }}
- name: CENTREX_XML_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .Values.switch.credentials.existingSecret.name }}, key: {{ .Values.switch.credentials.existingSecret.xmlPasswordKey }}}
{{- end -}}
