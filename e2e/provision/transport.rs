//! With TLS and without: certificates of the server and of phones, Digest, and who may do without TLS.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::client::{Request, connect_tls, digest};
use super::scene::{PASSWORD, Scene, device};
use crate::postgres::reachable_dir;
use crate::wait::{DEADLINE, until};

/// An authority that signs.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn server(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["phones.example.com".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A phone's certificate, with a name in its subject.
    fn phone(&self, part: DnType, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(part, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

fn write(directory: &Path, (certificate, key): &(rcgen::Certificate, KeyPair)) {
    for (name, text) in [("tls.crt", certificate.pem()), ("tls.key", key.serialize_pem())] {
        std::fs::write(directory.join("next"), text).unwrap();
        std::fs::rename(directory.join("next"), directory.join(name)).unwrap();
    }
}

/// What a program prints.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn tls_and_the_certificates_of_phones() {
    let test = "provision::transport::tls_and_the_certificates_of_phones";
    let directory = reachable_dir();
    let (web, vendor, stranger) =
        (Authority::new("Web CA"), Authority::new("Phone CA"), Authority::new("Other CA"));
    let first = web.server();
    write(directory.path(), &first);
    std::fs::write(directory.path().join("vendor.pem"), vendor.certificate.pem()).unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let devices = [
        device("acme", "desk", "80:5e:c0:00:00:01", ""),
        device("acme", "cisco", "00:56:2b:04:36:15", ", vendor: Cisco"),
        device("acme", "shut", "80:5e:c0:00:00:03", ", disabled: true"),
    ];
    let (certificate, key, authority) = (path("tls.crt"), path("tls.key"), path("vendor.pem"));
    let options = [
        "--provision-listen",
        "127.0.0.1:0",
        "--provision-tls-cert",
        &certificate,
        "--provision-tls-key",
        &key,
        "--provision-client-ca",
        &authority,
    ];
    let Some(mut scene) = Scene::start(test, &devices.concat(), &options).await else { return };
    let to = scene.tls();
    let trusted = web.certificate.der().clone();
    let user = scene.user("desk").await;
    let file = |name: &str| Request::get(name);
    let right = file("805ec0000001.cfg").basic(&user, PASSWORD);
    let answer = right.over(&mut connect_tls(to, &trusted, None));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(file("805ec0000001.cfg").over(&mut connect_tls(to, &trusted, None)).status, 401);

    let shows = |own: &Authority, part: DnType, name: &str, file: Request| {
        file.over(&mut connect_tls(to, &trusted, Some(own.phone(part, name)))).status
    };
    let own = "805EC0000001";
    assert_eq!(shows(&vendor, DnType::CommonName, own, file("805ec0000001.cfg")), 200);
    assert_eq!(shows(&vendor, DnType::StateOrProvinceName, "00562b043615", file("00562b043615.xml")), 200);
    for (what, own, part, name, file) in [
        ("another phone's file", &vendor, DnType::CommonName, own, "00562b043615.xml"),
        ("a disabled Device's", &vendor, DnType::CommonName, "805ec0000003", "805ec0000003.cfg"),
        ("an unknown phone's", &vendor, DnType::CommonName, "805ec0000099", "805ec0000099.cfg"),
        ("without a MAC address", &vendor, DnType::CommonName, "ciscogeneric", "805ec0000001.cfg"),
        ("of another authority", &stranger, DnType::CommonName, own, "805ec0000001.cfg"),
    ] {
        assert_eq!(shows(own, part, name, Request::get(file)), 401, "{what}");
    }
    // A phone that shows a certificate which nobody trusts still has its password, and a wrong password is wrong.
    assert_eq!(shows(&stranger, DnType::CommonName, own, right.clone()), 200);
    let wrong = file("805ec0000001.cfg").basic(&user, "wrong");
    assert_eq!(shows(&vendor, DnType::CommonName, own, wrong), 401);

    // A certificate of version 1, which no authority is found for, counts as none.
    std::fs::write(directory.path().join("web.pem"), web.certificate.pem()).unwrap();
    let (key, request, old) = (path("old.key"), path("old.csr"), path("old.crt"));
    let subject = ["-subj", "/CN=805EC0000001", "-newkey", "rsa:2048", "-nodes"];
    run("openssl", &[&["req", "-new", "-keyout", &key, "-out", &request], &subject[..]].concat());
    run("openssl", &["x509", "-req", "-in", &request, "-signkey", &key, "-out", &old]);
    let text = run("openssl", &["x509", "-in", &path("old.crt"), "-noout", "-text"]);
    assert!(text.contains("Version: 1 "), "{text}");
    let url = format!("https://phones.example.com:{}/provision/805ec0000001.cfg", to.port());
    let resolve = format!("phones.example.com:{}:127.0.0.1", to.port());
    for (credential, status) in [(format!("{user}:{PASSWORD}"), "200"), (format!("{user}:wrong"), "401")] {
        let told = run(
            "curl",
            &[
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--cacert",
                &path("web.pem"),
                "--cert",
                &path("old.crt"),
                "--key",
                &path("old.key"),
                "--resolve",
                &resolve,
                "-u",
                &credential,
                &url,
            ],
        );
        assert_eq!(told, status);
    }

    // A renewed certificate is served without a restart; half of a pair changes nothing.
    let second = web.server();
    std::fs::write(directory.path().join("tls.crt"), second.0.pem()).unwrap();
    scene.program.wait_until("a word about it", |program| {
        program.log().contains("the previous certificate is served to phones")
    });
    assert_eq!(right.over(&mut connect_tls(to, &trusted, None)).status, 200);
    write(directory.path(), &second);
    until(DEADLINE, || {
        let mut stream = connect_tls(to, &trusted, None);
        right.over(&mut stream);
        (stream.conn.peer_certificates()?.first()? == second.0.der()).then_some(())
    })
    .expect("the new certificate is served");
}

#[tokio::test]
async fn without_tls_only_devices_that_may_and_from_their_networks() {
    let test = "provision::transport::without_tls_only_devices_that_may_and_from_their_networks";
    let old = ", provisioning: {allowHttp: true, allowedNetworks: [192.0.2.0/24]}";
    let devices =
        [device("acme", "desk", "80:5e:c0:00:00:01", ""), device("acme", "old", "80:5e:c0:00:00:02", old)];
    let reachable = "http://phones.example.com:8080/provision";
    let options = ["--provision-http-url", reachable];
    let Some(scene) = Scene::start(test, &devices.concat(), &options).await else { return };
    let (desk, old) = (scene.user("desk").await, scene.user("old").await);
    let plain = |request: Request, from: &str| request.with("x-forwarded-for", from).send(scene.address);
    for (user, file) in [(&desk, "805ec0000001.cfg"), (&old, "805ec0000002.cfg"), (&old, "805ec0ffffff.cfg")]
    {
        let answer = plain(Request::get(file).basic(user, PASSWORD), "203.0.113.1");
        assert_eq!((answer.status, answer.body.as_str()), (403, "use https\n"), "{file}");
        assert_eq!(answer.header("location"), None, "no redirection: the password was sent already");
    }
    // From a network of such Devices, every other phone is refused like an unknown one.
    let here = "192.0.2.5";
    let challenge = plain(Request::get("805ec0000002.cfg"), here);
    let stable = |mut answer: super::client::Answer| {
        answer.headers.retain(|(_, value)| !value.contains("nonce="));
        answer
    };
    assert_eq!(challenge.status, 401);
    for request in [Request::get("805ec0ffffff.cfg"), Request::get("805ec0000001.cfg").basic(&desk, PASSWORD)]
    {
        let answer = plain(request, here);
        assert_eq!(answer.headers.len(), challenge.headers.len());
        assert_eq!(stable(answer), stable(challenge.clone()));
    }
    let answer = plain(Request::get("805ec0000002.cfg").basic(&old, PASSWORD), here);
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains(&format!("static.auto_provision.server.url = {reachable}/")),
        "{}",
        answer.body
    );
    for algorithm in ["MD5", "SHA-256"] {
        for method in ["GET", "HEAD"] {
            let request = Request::get("805ec0000002.cfg").method(method);
            let answer = digest(&challenge, algorithm, request.clone(), &old, PASSWORD);
            assert_eq!(plain(answer, here).status, 200, "{algorithm} {method}");
            for (user, password) in [(&old, "wrong"), (&desk, PASSWORD)] {
                let answer = digest(&challenge, algorithm, request.clone(), user, password);
                assert_eq!(plain(answer, here).status, 401, "{algorithm} {method}");
            }
        }
        // The answer for one file is none for another.
        let mut moved = digest(&challenge, algorithm, Request::get("805ec0000002.cfg"), &old, PASSWORD);
        moved.file = "805EC0000002.cfg".to_owned();
        assert_eq!(plain(moved, here).status, 401);
    }
}
