//! Lookups of mod_xml_curl: a route for each section of FreeSWITCH's configuration.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use futures::FutureExt;
use tokio::time::Instant;

use super::guarded;
use super::metrics::{Metrics, Outcome};
use crate::freeswitch::xml::form::Form;
use crate::freeswitch::xml::{Answer, AnswerError, Answers, NOT_FOUND, Section};
use crate::http::body::{LimitedBody, media_type};
use crate::http::credentials::Credentials;

/// `POST /freeswitch/{section}` for every section.
pub(super) fn router(
    answers: Arc<Answers>,
    metrics: Arc<Metrics>,
    credentials: Option<&Credentials>,
) -> Router {
    Section::ALL.into_iter().fold(Router::new(), |router, section| {
        let answers = answers.clone();
        let lookup = async move |_: FormType, LimitedBody(body): LimitedBody| {
            respond(answers.answer(section, &Form::parse(&body)))
        };
        let observer = Observer { section, metrics: metrics.clone() };
        let route = guarded(post(lookup), credentials).layer(from_fn_with_state(observer, observe));
        router.route(&format!("/freeswitch/{}", section.name()), route)
    })
}

/// Extractor that refuses any content type but a form's, before the body is read.
struct FormType;

impl<S: Sync> FromRequestParts<S> for FormType {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        match media_type(&parts.headers).eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            true => Ok(Self),
            false => Err((
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be application/x-www-form-urlencoded\n",
            )),
        }
    }
}

/// The metrics of one section's route.
#[derive(Clone)]
struct Observer {
    section: Section,
    metrics: Arc<Metrics>,
}

/// Middleware: records each request with its outcome, and answers a panic with 500. A lookup changes nothing, so
/// a panic leaves nothing half done.
async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(section = observer.section.name(), "a lookup panicked");
        failed()
    });
    let outcome = response.extensions().get().copied();
    let outcome = outcome.unwrap_or_else(|| Outcome::of_refusal(response.status()));
    observer.metrics.observe(observer.section, outcome, start.elapsed());
    response
}

/// The response to a lookup, with its [`Outcome`] as an extension.
fn respond(answer: Result<Answer, AnswerError>) -> Response {
    match answer {
        Ok(Answer::Document(document)) => xml(Outcome::Found, document),
        Ok(Answer::NotFound) => xml(Outcome::NotFound, Bytes::from_static(NOT_FOUND)),
        Err(error @ AnswerError::NotReady(_)) => {
            let text = format!("{error}\n");
            (StatusCode::SERVICE_UNAVAILABLE, Extension(Outcome::NotReady), text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, category = error.category(), "a lookup could not be answered");
            failed()
        }
    }
}

fn xml(outcome: Outcome, document: Bytes) -> Response {
    ([(CONTENT_TYPE, "text/xml; charset=utf-8")], Extension(outcome), document).into_response()
}

fn failed() -> Response {
    let text = "this answer could not be made\n";
    (StatusCode::INTERNAL_SERVER_ERROR, Extension(Outcome::Error), text).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use tower::ServiceExt;

    use super::super::Probe;
    use super::*;
    use crate::replica::tenants::Replica;

    struct Ready;

    impl Probe for Ready {
        fn missing(&self) -> Vec<String> {
            Vec::new()
        }

        fn replica_age(&self) -> Option<Duration> {
            None
        }
    }

    /// The status of a request to a handler, and the result that was counted.
    async fn observed(make: fn() -> Response) -> (StatusCode, String) {
        let metrics = Arc::new(Metrics::new(Arc::new(Replica::default()), Arc::new(Ready)));
        let observer = Observer { section: Section::Directory, metrics: metrics.clone() };
        let route = post(async move || make()).layer(from_fn_with_state(observer, observe));
        let request = Request::post("/").body(Body::empty()).unwrap();
        let response = Router::new().route("/", route).oneshot(request).await.unwrap();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, metrics.registry()).unwrap();
        let counted = text.lines().find(|line| line.contains("xml_requests_total") && line.ends_with(" 1"));
        let result = counted.unwrap().split("result=\"").nth(1).unwrap().split('"').next().unwrap();
        (response.status(), result.to_owned())
    }

    #[tokio::test]
    async fn a_panic_and_a_failed_template_are_errors() {
        let error = (StatusCode::INTERNAL_SERVER_ERROR, "error".to_owned());
        assert_eq!(observed(|| panic!("of the test")).await, error);
        let template = || respond(Err(AnswerError::Template(tera::Error::message("of the test").into())));
        assert_eq!(observed(template).await, error);
    }

    #[tokio::test]
    async fn a_miss_is_not_an_error_and_an_error_is_not_a_miss() {
        let miss = observed(|| respond(Ok(Answer::NotFound))).await;
        assert_eq!(miss, (StatusCode::OK, "not_found".to_owned()));
        let not_ready = observed(|| respond(Err(AnswerError::NotReady("tenants are")))).await;
        assert_eq!(not_ready, (StatusCode::SERVICE_UNAVAILABLE, "not_ready".to_owned()));
    }

    #[tokio::test]
    async fn a_refusal_is_counted_by_its_status() {
        let refused = observed(|| StatusCode::UNAUTHORIZED.into_response()).await;
        assert_eq!(refused.1, "unauthorized");
        let refused = observed(|| StatusCode::PAYLOAD_TOO_LARGE.into_response()).await;
        assert_eq!(refused.1, "bad_request");
    }
}
