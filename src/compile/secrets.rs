//! Values of Secrets, validated.

use k8s_openapi::api::core::v1::Secret;

use crate::resources::common::SecretKeyRef;

/// Why a secret value cannot be used.
#[derive(Debug, PartialEq)]
pub enum SecretError {
    /// The Secret, or the key in it, is missing, or the value is empty.
    Missing {
        /// Name of the Secret.
        secret: String,
        /// Why, for people.
        why: String,
    },
    /// The value exists but breaks a rule; the message says which.
    Invalid(String),
}

/// A password: 8 to 128 printable ASCII characters. Phones differ in how they send longer values and other
/// characters.
pub fn password(
    secret: Option<&Secret>,
    reference: &SecretKeyRef,
    default_key: &str,
) -> Result<String, SecretError> {
    let value = text(secret, reference, default_key)?;
    let printable = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    // FreeSWITCH's preprocessor acts on this word anywhere in the XML (contract §1.6).
    let preprocessed = value.to_ascii_lowercase().contains("x-pre-process");
    if printable && !preprocessed && (8..=128).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    Err(SecretError::Invalid(format!(
        "the value of key {} in Secret {} must be 8 to 128 printable ASCII characters",
        reference.key.as_deref().unwrap_or(default_key),
        reference.name
    )))
}

/// A password that every phone's configuration file can have: 8 letters and digits at least.
pub fn letters_and_digits(
    secret: Option<&Secret>,
    reference: &SecretKeyRef,
    default_key: &str,
    longest: usize,
) -> Result<String, SecretError> {
    let value = text(secret, reference, default_key)?;
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric()) && (8..=longest).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    Err(SecretError::Invalid(format!(
        "the value of key {} in Secret {} must be 8 to {longest} letters and digits",
        reference.key.as_deref().unwrap_or(default_key),
        reference.name
    )))
}

/// A PIN: 4 to 12 digits.
pub fn pin(secret: Option<&Secret>, reference: &SecretKeyRef) -> Result<String, SecretError> {
    let value = text(secret, reference, "pin")?;
    if value.bytes().all(|byte| byte.is_ascii_digit()) && (4..=12).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    Err(SecretError::Invalid(format!(
        "the value of key {} in Secret {} must be 4 to 12 digits",
        reference.key.as_deref().unwrap_or("pin"),
        reference.name
    )))
}

fn text<'a>(
    secret: Option<&'a Secret>,
    reference: &SecretKeyRef,
    default_key: &str,
) -> Result<&'a str, SecretError> {
    let key = reference.key.as_deref().unwrap_or(default_key);
    let missing = |why| SecretError::Missing { secret: reference.name.clone(), why };
    let Some(secret) = secret else {
        return Err(missing(format!("there is no Secret {} yet", reference.name)));
    };
    // A manifest from a folder may use `stringData`; an API server merges it into `data`.
    let from_text = secret.string_data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
    let bytes = || secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice());
    let value = from_text
        .or_else(bytes)
        .ok_or_else(|| missing(format!("Secret {} has no key {key}; create it there", reference.name)))?;
    let value = str::from_utf8(value)
        .map_err(|_| SecretError::Invalid(format!("key {key} of Secret {} is not text", reference.name)))?;
    // `echo` and editors append a newline that is not part of the value.
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        let why = format!("key {key} of Secret {} is empty, as one that is withdrawn", reference.name);
        return Err(missing(why));
    }
    Ok(value)
}
