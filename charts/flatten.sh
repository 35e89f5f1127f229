#!/bin/sh
# The chart with its defaults as one manifest, for those without Helm: deploy/install.yaml.
set -eu
cd "$(dirname "$0")/.."
cat <<'EOF'
# Centrex without Helm: the chart charts/centrex with its defaults. Made by `make chart`; do not edit.
#
#   kubectl apply -f deploy/install.yaml
#   kubectl set image -n centrex deployment/centrex-operator operator=REGISTRY/centrex:VERSION
#
# It waits for two Secrets in the namespace centrex: centrex-encryption-keys and centrex-postgres.
# charts/centrex/README.md says how to make them.
apiVersion: v1
kind: Namespace
metadata:
  name: centrex
  labels:
    # The operator needs no more.
    pod-security.kubernetes.io/enforce: restricted
EOF
helm template centrex charts/centrex --namespace centrex --kube-version 1.30 \
    --set postgres.existingSecret.name=centrex-postgres |
    sed -e '/helm.sh\/chart:/d' -e 's/managed-by: Helm$/managed-by: kubectl/' |
    # Helm 3 and 4 differ in empty lines before a document.
    awk '/^$/ { empty++; next } /^---$/ { empty = 0 } { for (; empty > 0; empty--) print ""; print }'
