//! The control plane of a test: the behaviour that other tests rely on.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use super::Cluster;

#[tokio::test]
async fn the_control_plane_stores_objects_and_counts_writes() {
    let Some(cluster) = Cluster::own("cluster: a control plane of a test's own") else { return };
    let client = cluster.client().await;
    let version = client.apiserver_version().await.unwrap();
    assert!(version.git_version.starts_with("v1."), "{version:?}");

    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let map: ConfigMap = serde_json::from_str(r#"{"metadata": {"name": "kept"}}"#).unwrap();
    let before = cluster.writes();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry_run, &map).await.unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.list(&Default::default()).await.unwrap();
    let written = cluster.writes().since(&before);
    assert_eq!(written.count("POST core/configmaps"), 2, "{written:?}");
    assert_eq!(written.of("centrex.dev").total(), 0, "{written:?}");

    cluster.stop_api_server();
    assert!(maps.get("kept").await.is_err());
    cluster.start_api_server();
    maps.get("kept").await.unwrap();

    // The controllers work again: they empty a namespace that is deleted.
    cluster.kubectl_ok(&["create", "namespace", "gone"]);
    cluster.kubectl_ok(&["create", "configmap", "inside", "--namespace=gone"]);
    cluster.kubectl_ok(&["delete", "namespace", "gone", "--timeout=300s"]);
    maps.delete("kept", &DeleteParams::default()).await.unwrap();

    let directory = cluster.kubeconfig().parent().unwrap().to_owned();
    drop(cluster);
    assert!(!directory.exists());
    assert!(maps.list(&Default::default()).await.is_err());
}

#[tokio::test]
async fn all_tests_share_one_control_plane() {
    let test = "cluster: shared by all tests";
    let (Some(one), Some(other)) = (Cluster::shared(test), Cluster::shared(test)) else { return };
    assert_eq!(one.kubeconfig(), other.kubeconfig());
    one.install_crds();
    one.client().await.apiserver_version().await.unwrap();
}
