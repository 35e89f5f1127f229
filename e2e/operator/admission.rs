//! The webhook: what compile would refuse is refused at `kubectl apply`, with the field.

use super::Site;

/// A webhook on loopback; the API server is told where by URL, for it has no Services here.
pub fn configuration(port: u16, bundle: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n\
         metadata: {{name: centrex}}\nwebhooks:\n- name: validate.centrex.dev\n  admissionReviewVersions: [v1]\n\
         \x20 sideEffects: None\n  failurePolicy: Fail\n  timeoutSeconds: 5\n\
         \x20 clientConfig: {{url: \"https://127.0.0.1:{port}/validate\"{bundle}}}\n\
         \x20 rules: [{{apiGroups: [centrex.dev], apiVersions: [v1alpha1], operations: [CREATE, UPDATE], resources: ['*']}}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_compile_refuses_is_refused_at_apply() {
    let Some(site) = Site::start("operator::what_compile_refuses").await else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    site.cluster.apply(&configuration(port, ""));
    let listen = format!("127.0.0.1:{port}");
    let options =
        ["--webhook-listen", &listen, "--webhook-service", "localhost", "--webhook-configuration", "centrex"];
    let operator = site.operator(&options);
    let mut operator = operator;
    operator.wait_until("readiness", |operator| operator.get("/readyz").0 == 200);
    site.tenant("north", "");
    site.cluster.apply(&site.extension("north", 100));
    site.wait_for("north", "extension/e100", "Programmed=True Programmed");

    std::thread::sleep(std::time::Duration::from_millis(1100)); // ages are counted in seconds
    // A number that an older extension has: refused, and nothing is stored; dry runs too.
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

    // A reference to what is not there yet is taken, with a warning: order does not matter.
    let group = "apiVersion: centrex.dev/v1alpha1\nkind: RingGroup\nmetadata: {name: sales, namespace: north}\n\
                 spec: {tenantRef: {name: north}, number: \"200\", members: [{extensionRef: {name: e101}}]}\n";
    let taken = site.cluster.kubectl_with(&["apply", "-f", "-"], group);
    let text = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(taken.status.success() && text.contains("Warning") && text.contains("e101"), "{text}");
    site.cluster.apply(&site.extension("north", 101));

    // A routing test that fails is taken, with a warning of what becomes of the call: it may be there
    // before what it tests. So is what makes one fail, with the name of the test.
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

    // A domain that another tenant has.
    let south = "apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {name: south, namespace: north}\n\
                 spec: {domains: [north.example.com]}\n";
    let refused = site.cluster.kubectl_with(&["apply", "-f", "-"], south);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("spec.domains"), "{text}");
}
