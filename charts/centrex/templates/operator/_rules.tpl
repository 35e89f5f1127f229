{{/* What the operator may do where tenants are: in every namespace, or in those it is given. */}}
{{- define "centrex.tenantRules" -}}
# Watches every kind of centrex.dev: they are what it works from.
- apiGroups: [centrex.dev]
  resources: ["*"]
  verbs: [get, list, watch]
# Says in the status what is true on the switches. It never writes a spec.
- apiGroups: [centrex.dev]
  resources: ["*/status"]
  verbs: [patch]
# Puts its finalizer on a Tenant and takes it off: its schema outlives it, or goes with it.
- apiGroups: [centrex.dev]
  resources: [tenants]
  verbs: [patch]
# The same where the API server checks who may set finalizers and blocking owners
# (OwnerReferencesPermissionEnforcement); an Extension owns its generated Secret.
- apiGroups: [centrex.dev]
  resources: [tenants/finalizers, extensions/finalizers]
  verbs: [update]
# Reads the passwords that Extensions and Trunks name, sees them change, and makes one for an
# Extension that names none. It changes and deletes no Secret.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create]
# Reads the sounds that MediaFiles name.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
# Tells people what they should know; a repeated event counts up the first.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
