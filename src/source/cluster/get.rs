//! One object as the API server has it now.

use super::failure::Failure;
use super::kinds::{KINDS, WatchMode};
use super::{read, requests};
use crate::source::{Change, Object, ObjectKey, Unreadable};

/// Reads one object. None where it may not be read, or is of a kind that is not watched: what the
/// watches tell is all there is.
///
/// # Errors
/// Why the API server could not be asked, for people.
pub async fn get(client: &kube::Client, key: &ObjectKey) -> Result<Option<Change>, String> {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == key.kind) else { return Ok(None) };
    let text = match requests::get(client, kind, key).await {
        Ok(text) => text,
        Err(failure) if failure.is_not_found() => return Ok(Some(Change::Remove(key.clone()))),
        Err(Failure::Refused { code: 403, .. }) => return Ok(None),
        Err(failure) => return Err(failure.to_string()),
    };
    let (WatchMode::Whole(read) | WatchMode::Metadata(read) | WatchMode::OnUse(read)) = kind.taken;
    Ok(Some(match read::object(kind, read, &text) {
        // A Tenant that is being deleted is no part of the world any more.
        Ok(Object::Tenant(tenant)) if tenant.metadata.deletion_timestamp.is_some() => {
            Change::Remove(key.clone())
        }
        Ok(object) => Change::Upsert(object),
        Err(message) => Change::Unreadable(Unreadable { key: key.clone(), tenant: None, message }),
    }))
}
