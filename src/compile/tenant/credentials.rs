//! Passwords and PINs of a tenant's resources, read from its Secrets.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::Secret;

use super::compiler::{TenantCompiler, name_of};
use crate::compile::secrets::{self, SecretError};
use crate::resources::common::SecretKeyRef;
use crate::resources::{Device, Extension};

/// The SIP password of an extension: from the Secret that its spec names, else from the generated Secret
/// `<name>-sip`.
pub fn sip_password(compiler: &TenantCompiler, extension: &Extension) -> Result<String, SecretError> {
    let named = extension.spec.credentials.as_ref().map(|credentials| &credentials.secret_ref);
    let made = || SecretKeyRef { name: format!("{}-sip", name_of(extension)), key: None };
    let reference = named.map_or_else(|| Cow::Owned(made()), Cow::Borrowed);
    let secret = secret(compiler, &reference);
    if named.is_none() && secret.is_none() {
        let why = format!("there is no Secret {} yet, which is made because none is named", reference.name);
        return Err(SecretError::Missing { secret: reference.name.clone(), why });
    }
    secrets::password(secret, &reference, "password")
}

/// A password of a device: from the Secret that its spec names, else from the generated Secret `<name>-device`.
pub fn device_password(compiler: &TenantCompiler, device: &Device, key: &str) -> Result<String, SecretError> {
    let named = device.spec.credentials.as_ref().map(|credentials| credentials.secret_ref.name.clone());
    let is_made = named.is_none();
    let name = named.unwrap_or_else(|| format!("{}-device", name_of(device)));
    let reference = SecretKeyRef { name, key: Some(key.to_owned()) };
    let secret = secret(compiler, &reference);
    if is_made && secret.is_none() {
        let why = format!("there is no Secret {} yet, which is made because none is named", reference.name);
        return Err(SecretError::Missing { secret: reference.name, why });
    }
    secrets::letters_and_digits(secret, &reference, key, 128)
}

/// The password of a phone's own menu.
pub fn admin_password(compiler: &TenantCompiler, reference: &SecretKeyRef) -> Result<String, SecretError> {
    secrets::letters_and_digits(secret(compiler, reference), reference, "password", 32)
}

/// The PIN that a reference names.
pub fn pin(compiler: &TenantCompiler, reference: &SecretKeyRef) -> Result<String, SecretError> {
    secrets::pin(secret(compiler, reference), reference)
}

fn secret<'a>(compiler: &TenantCompiler<'a>, reference: &SecretKeyRef) -> Option<&'a Secret> {
    compiler.snapshot.secrets.get(&reference.name).map(|secret| &**secret)
}
