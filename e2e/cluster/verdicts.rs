//! A real API server accepts and refuses the same cases as the checks in process.

use std::collections::BTreeMap;

use centrex::resources::crd;
use http::{Method, Request, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::Cluster;
use crate::cases::{Case, changes, creations, sample, samples};

/// Cases that the checks in process refuse, because nothing else would, and an API server accepts: kind,
/// field, value, and the reason for the difference.
const STRICTER_IN_PROCESS: &[(&str, &str, &str, &str)] = &[
    ("Extension", "/metadata/name", "x-pre-process", NO_CRD),
    ("SipProfile", "/metadata/namespace", "acme", NO_NAMESPACE),
    ("Namespace", "/metadata/namespace", "acme", NO_NAMESPACE),
];
const NO_CRD: &str = "a pattern cannot say \"not this word\": what reads a cluster must refuse it";
const NO_NAMESPACE: &str = "dropped without a word, while in a folder it says that something is mistaken";

/// An API server, called with `fieldValidation=Strict` as `kubectl` does.
struct Judge {
    client: kube::Client,
    /// Path of the objects of each kind; `NAMESPACE` stands for their namespace.
    paths: BTreeMap<String, String>,
}

/// An answer of the API server.
struct Verdict {
    status: StatusCode,
    warnings: Vec<String>,
    /// The object, or the reason for the refusal.
    body: Value,
}

impl Judge {
    async fn new(cluster: &Cluster) -> Self {
        let mut paths = BTreeMap::new();
        for definition in crd::all() {
            let spec = definition.spec;
            let place = if spec.scope == "Namespaced" { "namespaces/NAMESPACE/" } else { "" };
            paths.insert(spec.names.kind, format!("/apis/centrex.dev/v1alpha1/{place}{}", spec.names.plural));
        }
        for (kind, path) in [
            ("Namespace", "namespaces"),
            ("ConfigMap", "namespaces/NAMESPACE/configmaps"),
            ("Secret", "namespaces/NAMESPACE/secrets"),
        ] {
            paths.insert(kind.to_owned(), format!("/api/v1/{path}"));
        }
        Self { client: cluster.client().await, paths }
    }

    /// Sends a manifest to the path of its kind.
    async fn ask(&self, method: Method, kind: &str, name: &str, options: &str, manifest: &Value) -> Verdict {
        let namespace = sample(kind)["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let path = self.paths[kind].replace("NAMESPACE", &namespace);
        let uri = format!("{path}{name}?fieldValidation=Strict{options}");
        let request = Request::builder().method(method).uri(uri).header("content-type", "application/json");
        let request = request.body(Body::from(manifest.to_string().into_bytes())).unwrap();
        let response = self.client.send(request).await.unwrap();
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.map(|text| text.to_str().unwrap().to_owned()).collect();
        let status = response.status();
        let body = response.into_body().collect_bytes().await.unwrap();
        Verdict { status, warnings, body: serde_json::from_slice(&body).unwrap() }
    }

    /// Whether an object could be created, as a dry run.
    async fn could_create(&self, kind: &str, manifest: &Value) -> Verdict {
        self.ask(Method::POST, kind, "", "&dryRun=All", manifest).await
    }
}

/// A sample that can be created: without the fields of a stored object, and with a new name.
fn fresh(mut manifest: Value) -> Value {
    if let Some(metadata) = manifest["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        if metadata.get("name") == Some(&json!("acme")) && manifest["kind"] == "Namespace" {
            manifest["metadata"]["name"] = json!("another");
        }
    }
    manifest
}

/// The difference between a verdict and the one in process; empty if they agree.
fn difference(case: &Case, verdict: &Verdict) -> Option<String> {
    let message = verdict.body["message"].as_str().unwrap_or_default();
    let in_process_only = STRICTER_IN_PROCESS.iter().any(|(kind, pointer, value, _)| {
        case.kind == *kind && case.pointer == *pointer && case.value == *value
    });
    let refused = case.refused.as_ref().filter(|_| !in_process_only);
    let right = match refused {
        None => verdict.status.is_success() && verdict.warnings.is_empty(),
        Some(refusal) if refusal.by_rule => {
            let said = message.contains(refusal.message) && message.contains(&refusal.field);
            said && verdict.status == StatusCode::UNPROCESSABLE_ENTITY
        }
        Some(_) => [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY].contains(&verdict.status),
    };
    let Verdict { status, warnings, .. } = verdict;
    (!right).then(|| format!("{}: {status} {warnings:?} {message}", case.name()))
}

#[tokio::test]
async fn the_api_server_decides_every_case_as_the_checks_in_process_do() {
    let Some(cluster) = Cluster::own("cluster: accept and reject tables") else { return };
    cluster.install_crds();
    for name in ["acme", "carriers"] {
        cluster.kubectl_ok(&["create", "namespace", name]);
    }
    let judge = Judge::new(&cluster).await;
    let mut differences = Vec::new();
    for manifest in samples() {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        let verdict = judge.could_create(&kind, &fresh(manifest)).await;
        let Verdict { status, warnings, body } = verdict;
        assert!(status == StatusCode::CREATED && warnings.is_empty(), "{kind}: {warnings:?} {body:#}");
    }
    for case in creations() {
        let verdict = judge.could_create(case.kind, &fresh(case.manifest())).await;
        differences.extend(difference(&case, &verdict));
    }
    let mut stored = BTreeMap::new();
    for kind in crd::KINDS {
        let verdict = judge.ask(Method::POST, kind, "", "", &fresh(sample(kind))).await;
        assert_eq!(verdict.status, StatusCode::CREATED, "{kind}: {:#}", verdict.body);
        stored.insert(*kind, verdict.body);
    }
    for case in changes() {
        let (old, mut new) = (&stored[case.kind], case.manifest());
        new["metadata"] = old["metadata"].clone();
        let name = format!("/{}", old["metadata"]["name"].as_str().unwrap());
        let verdict = judge.ask(Method::PUT, case.kind, &name, "&dryRun=All", &new).await;
        differences.extend(difference(&case, &verdict));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
