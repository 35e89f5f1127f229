//! The measured phone systems: equal tenants, one file each, every extension with a Secret.

use std::fmt::Write;
use std::path::Path;

/// Extensions of a tenant, numbered from [`FIRST`].
pub const EXTENSIONS: usize = 100;
/// The first extension's number.
const FIRST: usize = 1000;

/// The platform's manifests, with the SIP ports of the switches on loopback.
pub fn platform(phones: u16, trunks: u16) -> String {
    let profile = |name, role, port| {
        format!(
            "apiVersion: centrex.dev/v1alpha1\nkind: SipProfile\nmetadata: {{name: {name}}}\n\
             spec: {{role: {role}, sipPort: {port}, bindAddress: 127.0.0.1}}\n"
        )
    };
    format!("{}---\n{}", profile("internal", "Phones", phones), profile("external", "Trunks", trunks))
}

/// Name of a tenant.
pub fn name(tenant: usize) -> String {
    format!("t{tenant:04}")
}

/// SIP domain of a tenant.
pub fn domain(tenant: usize) -> String {
    format!("t{tenant:04}.example.com")
}

/// Number of an extension.
pub fn number(extension: usize) -> String {
    (FIRST + extension).to_string()
}

/// Manifests of a tenant; `first` replaces the number of its first extension.
pub fn tenant(tenant: usize, first: Option<&str>) -> String {
    let name = name(tenant);
    let domain = domain(tenant);
    let mut text = format!(
        "apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: {name}, namespace: {name}}}\n\
         spec:\n  displayName: Tenant {tenant}\n  domains: [{domain}]\n  timeZone: Europe/Berlin\n"
    );
    for extension in 0..EXTENSIONS {
        let number = match first.filter(|_| extension == 0) {
            Some(first) => first.to_owned(),
            None => self::number(extension),
        };
        let _ = write!(
            text,
            "---\napiVersion: centrex.dev/v1alpha1\nkind: Extension\n\
             metadata: {{name: e{extension}, namespace: {name}}}\n\
             spec:\n  tenantRef: {{name: {name}}}\n  number: \"{number}\"\n  displayName: Person {extension}\n  \
             tollClasses: [Local, National]\n  voicemail: {{enabled: true}}\n  \
             forwarding:\n    noAnswer: {{kind: Voicemail, name: e{extension}}}\n\
             ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: e{extension}-sip, namespace: {name}}}\n\
             stringData: {{password: \"dummy-{tenant}-{extension}\"}}\n"
        );
    }
    text
}

/// Writes the folder of manifests.
pub fn write(folder: &Path, tenants: usize, platform: &str) {
    std::fs::create_dir_all(folder).expect("folder of manifests");
    std::fs::write(folder.join("platform.yaml"), platform).expect("platform.yaml");
    for index in 0..tenants {
        std::fs::write(file(folder, index), tenant(index, None)).expect("manifests of a tenant");
    }
}

/// The file of a tenant.
pub fn file(folder: &Path, tenant: usize) -> std::path::PathBuf {
    folder.join(format!("{}.yaml", name(tenant)))
}
