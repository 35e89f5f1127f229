//! What is asked of the API server: pages of a list, a watch, one object. Each within its time.

use std::borrow::Cow;
use std::time::Duration;

use futures::AsyncBufRead;
use kube::api::{GetParams, ListParams, WatchParams};
use kube::core::{Request, request};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::failure::Failure;
use super::kinds::WatchedKind;
use crate::source::ObjectKey;
use crate::util::backoff::jitter;

/// Objects a page.
const PAGE: u32 = 500;
/// How long a page of a list may take.
const PAGE_TIME: Duration = Duration::from_secs(60);
/// How long one object, or the beginning of a watch, may take.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// After how long the API server ends a watch, at least and at most.
const WATCH_TIME: (Duration, Duration) = (Duration::from_secs(240), Duration::from_secs(290));

/// A page of a list, cut into objects.
#[derive(Debug, Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    pub metadata: PageMetadata<'a>,
    /// Null in a list of nothing, as some servers write it.
    #[serde(borrow, default)]
    pub items: Option<Vec<&'a RawValue>>,
}

/// Where a page stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata<'a> {
    /// Version of the list: where a watch goes on from.
    #[serde(borrow)]
    pub resource_version: Cow<'a, str>,
    /// What to ask the next page with; empty on the last.
    #[serde(rename = "continue", default)]
    pub next: String,
}

/// Requests for the objects of a kind, in a namespace or in all.
pub(super) struct Requests {
    client: kube::Client,
    path: Request,
    metadata_only: bool,
}

impl Requests {
    /// Requests for a kind.
    pub fn new(client: kube::Client, kind: &WatchedKind, namespace: Option<&str>) -> Self {
        Self { client, path: Request::new(kind.path(namespace)), metadata_only: kind.metadata_only() }
    }

    /// A page of the list, as JSON; the first for no token.
    pub async fn page(&self, token: &str) -> Result<String, Failure> {
        let mut parameters = ListParams::default().limit(PAGE);
        if !token.is_empty() {
            parameters = parameters.continue_token(token);
        }
        let request = match self.metadata_only {
            true => self.path.list_metadata(&parameters),
            false => self.path.list(&parameters),
        };
        within(PAGE_TIME, self.client.request_text(request.map_err(unbuilt)?)).await
    }

    /// A watch that goes on from a version: a line of JSON an event.
    pub async fn watch(&self, version: &str) -> Result<impl AsyncBufRead + use<>, Failure> {
        let seconds = u32::try_from(jitter(WATCH_TIME.0, WATCH_TIME.1).as_secs()).unwrap_or_default();
        let parameters = WatchParams::default().timeout(seconds);
        let request = match self.metadata_only {
            true => self.path.watch_metadata(&parameters, version),
            false => self.path.watch(&parameters, version),
        };
        let mut request = request.map_err(unbuilt)?;
        // Since 1.37 each event is compressed by itself, and the client would read only the first.
        let identity = http::header::HeaderValue::from_static("identity");
        request.headers_mut().insert(http::header::ACCEPT_ENCODING, identity);
        within(ANSWER_TIME, self.client.request_stream(request)).await
    }
}

/// One object, as JSON.
pub(super) async fn get(
    client: &kube::Client,
    kind: &WatchedKind,
    key: &ObjectKey,
) -> Result<String, Failure> {
    let path = Request::new(kind.path(key.namespace.as_deref()));
    let request = path.get(&key.name, &GetParams::default()).map_err(unbuilt)?;
    within(ANSWER_TIME, client.request_text(request)).await
}

async fn within<T>(time: Duration, answer: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    Ok(timeout(time, answer).await.map_err(|_| Failure::Silent(time))??)
}

fn unbuilt(error: request::Error) -> Failure {
    kube::Error::BuildRequest(error).into()
}
