//! The webhook: `kubectl apply` refuses what compile would refuse, and names the field.

use centrex::resources::{Number, Tenant};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Site;
use crate::program::Program;

/// A webhook on loopback, which the API server calls by URL: this cluster has no Services.
pub fn configuration(port: u16, bundle: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n\
         metadata: {{name: centrex}}\nwebhooks:\n- name: validate.centrex.dev\n  admissionReviewVersions: [v1]\n\
         \x20 sideEffects: None\n  failurePolicy: Fail\n  timeoutSeconds: 5\n\
         \x20 clientConfig: {{url: \"https://127.0.0.1:{port}/validate\"{bundle}}}\n\
         \x20 rules: [{{apiGroups: [centrex.dev], apiVersions: [v1alpha1], operations: [CREATE, UPDATE], resources: ['*']}}]\n"
    )
}

/// An operator whose webhook receives all requests; the API server refuses what it cannot ask about.
fn operator(site: &Site) -> Program {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    site.cluster.apply(&configuration(port, ""));
    let listen = format!("127.0.0.1:{port}");
    let options =
        ["--webhook-listen", &listen, "--webhook-service", "localhost", "--webhook-configuration", "centrex"];
    let mut operator = site.operator(&options);
    operator.wait_until("readiness", |operator| operator.get("/readyz").0 == 200);
    operator
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_refuses_what_compile_refuses() {
    let Some(site) = Site::start("operator::what_compile_refuses").await else { return };
    let _operator = operator(&site);
    site.tenant("north", "");
    site.cluster.apply(&site.extension("north", 100));
    site.wait_for("north", "extension/e100", "Programmed=True Programmed");

    std::thread::sleep(std::time::Duration::from_millis(1100)); // creation times are in whole seconds
    // A number of an older extension: refused, and nothing is stored; dry runs too.
    let second = site.extension("north", 100).replace("name: e100", "name: again");
    for dry in [&["apply", "-f", "-"][..], &["apply", "--dry-run=server", "-f", "-"]] {
        let refused = site.cluster.kubectl_with(dry, &second);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && text.contains("spec.number") && text.contains("Conflict"),
            "{text}"
        );
    }
    assert!(site.get("north", "extension/again").is_none());

    // A reference to a missing resource is accepted with a warning: the order of applies does not matter.
    let group = "apiVersion: centrex.dev/v1alpha1\nkind: RingGroup\nmetadata: {name: sales, namespace: north}\n\
                 spec: {tenantRef: {name: north}, number: \"200\", members: [{extensionRef: {name: e101}}]}\n";
    let taken = site.cluster.kubectl_with(&["apply", "-f", "-"], group);
    let text = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(taken.status.success() && text.contains("Warning") && text.contains("e101"), "{text}");
    site.cluster.apply(&site.extension("north", 101));

    // A routing test that fails is accepted, with a warning of the result: the test may be applied before
    // what it tests. A change that makes a test fail is accepted, with a warning that names the test.
    let test = "apiVersion: centrex.dev/v1alpha1\nkind: RoutingTest\nmetadata: {name: reception, namespace: north}\n\
                spec: {tenantRef: {name: north}, from: {extensionRef: {name: e100}}, dial: \"101\", \
                at: \"2027-03-03T12:00:00\", expect: {kind: Extension, name: e100}}\n";
    let taken = site.cluster.kubectl_with(&["apply", "-f", "-"], test);
    let text = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(taken.status.success() && text.contains("Warning") && text.contains("spec.expect"), "{text}");
    assert!(text.contains("Extension e100 who dials 101 then ends at Extension e101"), "{text}");
    site.wait_for("north", "routingtest/reception", "Accepted=False TestFailed");
    let right =
        test.replace("name: e100}}", "name: e101}}").replace("name: e101}}, dial", "name: e100}}, dial");
    site.cluster.apply(&right);
    site.wait_for("north", "routingtest/reception", "Accepted=True Accepted");
    let moved = site.extension("north", 101).replace("\"101\"", "\"102\"");
    let taken = site.cluster.kubectl_with(&["apply", "-f", "-"], &moved);
    let text = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(taken.status.success() && text.contains("RoutingTest north/reception"), "{text}");
    site.wait_for("north", "routingtest/reception", "Accepted=False TestFailed");
    site.cluster.apply(&site.extension("north", 101));
    site.wait_for("north", "routingtest/reception", "Accepted=True Accepted");

    // A domain of another tenant.
    let south = "apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {name: south, namespace: north}\n\
                 spec: {domains: [north.example.com]}\n";
    let refused = site.cluster.kubectl_with(&["apply", "-f", "-"], south);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("spec.domains"), "{text}");
}

fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_does_not_refuse_for_objects_it_has_not_seen_yet() {
    let Some(site) = Site::start("operator::what_the_watches_have_not_told").await else { return };
    let _operator = operator(&site);
    site.cluster.kubectl_ok(&["create", "namespace", "carriers"]);
    let platform = "apiVersion: centrex.dev/v1alpha1\nkind: SipProfile\nmetadata: {name: external}\n\
         spec: {role: Trunks, sipPort: 5080}\n---\napiVersion: centrex.dev/v1alpha1\nkind: Trunk\n\
         metadata: {name: carrier, namespace: carriers}\nspec: {sipProfileRef: {name: external}, \
         gateways: [{host: 192.0.2.10}], allowedNamespaces: {from: Selector, selector: {matchLabels: {carrier: \"yes\"}}}}\n";
    // There may be a warning: the SipProfile is as new as the Trunk that names it.
    let applied = site.cluster.kubectl_with(&["apply", "-f", "-"], platform);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    site.wait_for("carriers", "trunk/carrier", "Accepted=True Accepted");
    // Without kubectl, which takes longer to start than any watch is late.
    let client = site.cluster.client().await;
    let create = PostParams::default();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let numbers = |namespace: &str| Api::<Number>::namespaced(client.clone(), namespace);
    let number = |namespace: &str, number: &str| -> Number {
        read(
            json!({"metadata": {"name": "main", "namespace": namespace}, "spec": {"tenantRef": {"name": namespace},
            "number": number, "trunkRef": {"name": "carrier", "namespace": "carriers"},
            "destination": {"kind": "Conference", "name": "room"}}}),
        )
    };
    let domain = |name: &str| json!({"domains": [format!("{name}.example.com")]});
    let mut refused = Vec::new();
    for round in 0..40 {
        let name = format!("tenant-{round}");
        let namespace = json!({"metadata": {"name": name, "labels": {"carrier": "yes"}}});
        namespaces.create(&create, &read(namespace)).await.unwrap();
        let tenants: Api<Tenant> = Api::namespaced(client.clone(), &name);
        let tenant = json!({"metadata": {"name": name}, "spec": domain(&name)});
        tenants.create(&create, &read(tenant)).await.unwrap();
        let number = number(&name, &format!("+4930{round:06}"));
        refused.extend(numbers(&name).create(&create, &number).await.err());
    }
    assert!(refused.is_empty(), "{} of 40 in a namespace just made: {:?}", refused.len(), refused.first());

    // A namespace without the label is refused as soon as it has a Tenant that the Trunk does not allow.
    let without = json!({"metadata": {"name": "without"}});
    namespaces.create(&create, &read(without)).await.unwrap();
    let tenants: Api<Tenant> = Api::namespaced(client.clone(), "without");
    tenants
        .create(&create, &read(json!({"metadata": {"name": "without"}, "spec": domain("without")})))
        .await
        .unwrap();
    site.wait_for("without", "tenant/without", "Accepted=True Accepted");
    let denied = numbers("without").create(&create, &number("without", "+4930999999")).await.unwrap_err();
    assert!(denied.to_string().contains("RefNotPermitted"), "{denied}");

    // A number that one tenant releases is free for another at once.
    let mut refused = Vec::new();
    for round in 1..40 {
        let (from, to) = (format!("tenant-{round}"), format!("tenant-{}", (round + 20) % 40));
        let given = format!("+4930{round:06}");
        numbers(&from).delete("main", &DeleteParams::default()).await.unwrap();
        let mut taken = number(&to, &given);
        taken.metadata.name = Some(format!("from-{round}"));
        refused.extend(numbers(&to).create(&create, &taken).await.err());
    }
    assert!(refused.is_empty(), "{} of 39 given up before: {:?}", refused.len(), refused.first());
}
