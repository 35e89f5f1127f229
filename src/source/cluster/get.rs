//! One object as the API server has it now.

use kube::Resource;
use kube::api::GetParams;
use kube::core::Request;
use tokio::time::timeout;

use super::failure::Failure;
use super::kinds::{KINDS, WatchMode, WatchedKind};
use super::raw_object::RawObject;
use super::read;
use super::wire::ANSWER_TIMEOUT;
use crate::source::{Change, Object, ObjectKey, Unreadable};

/// Reads one object. None where it may not be read, or is of a kind that is not watched: what the
/// watches tell is all there is.
///
/// # Errors
/// Why the API server could not be asked, for people.
pub async fn get(client: &kube::Client, key: &ObjectKey) -> Result<Option<Change>, String> {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == key.kind) else { return Ok(None) };
    let raw = match get_raw(client, kind, key).await {
        Ok(raw) => raw,
        Err(failure) if failure.is_not_found() => return Ok(Some(Change::Remove(key.clone()))),
        Err(Failure::Refused { code: 403, .. }) => return Ok(None),
        Err(failure) => return Err(failure.to_string()),
    };
    let (WatchMode::Whole(read) | WatchMode::Metadata(read) | WatchMode::FetchOnReference(read)) = kind.mode;
    Ok(Some(match read::object(kind, read, raw.json()) {
        // A Tenant that is being deleted is removed from the index.
        Ok(Object::Tenant(tenant)) if tenant.metadata.deletion_timestamp.is_some() => {
            Change::Remove(key.clone())
        }
        Ok(object) => Change::Upsert(object),
        Err(message) => Change::Unreadable(Unreadable { key: key.clone(), tenant: None, message }),
    }))
}

/// One complete object. (`kube::Api::get` would write an answer that it cannot parse to the log, and the
/// answer may be a Secret.)
///
/// # Errors
/// When the API server refuses, cannot be reached, or does not answer in time.
pub(super) async fn get_raw(
    client: &kube::Client,
    kind: &WatchedKind,
    key: &ObjectKey,
) -> Result<RawObject<false>, Failure> {
    let path = RawObject::<false>::url_path(&kind.resource, key.namespace.as_deref());
    let request = Request::new(path).get(&key.name, &GetParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    let answer = timeout(ANSWER_TIMEOUT, client.request_text(request)).await;
    let text = answer.map_err(|_| Failure::TimedOut(ANSWER_TIMEOUT))??;
    serde_json::from_str(&text).map_err(Failure::Unreadable)
}
