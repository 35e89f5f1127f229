//! One request: who asks, what for, and the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Serves;
use crate::cdr::document::Encoding;
use crate::cdr::intake::Intake;
use crate::cdr::spool::Received;
use crate::freeswitch::metrics::{Metrics, Outcome};
use crate::freeswitch::xml::form::Form;
use crate::freeswitch::xml::{Answer, AnswerError, Answers, NOT_FOUND, Section};
use crate::http::body;
use crate::http::connection_limit::{ConnectionLimit, Peer};
use crate::http::credentials::Credentials;
use crate::http::deadline::ConnectionDeadline;
use crate::http::probe::Probe;
use crate::plan::report::{GONE, SwitchReport};

/// Longest wait for calls to end, in seconds.
const LONGEST_DRAIN: u32 = 86_400;

const LOOKUPS: &str = "/freeswitch/";
const CDRS: &str = "/freeswitch/cdr";
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Everything a request needs.
#[derive(Debug)]
pub(super) struct Handler {
    pub credentials: Option<Credentials>,
    pub answers: Arc<Answers>,
    pub probe: Arc<dyn Probe>,
    pub metrics: Metrics,
    /// What is found on the switch, where somebody asks it.
    pub findings: Option<watch::Receiver<SwitchReport>>,
    /// Who waits for calls to end.
    pub waiters: Arc<ConnectionLimit>,
    /// Takes call records in, once it is there.
    pub cdrs: OnceLock<Intake>,
}

impl Handler {
    /// Answers a request.
    pub async fn handle(
        &self,
        request: Request<Incoming>,
        serves: Serves,
        peer: Peer,
        patience: &ConnectionDeadline,
    ) -> Response<Full<Bytes>> {
        let response = self.response(request, serves, peer, patience).await;
        patience.answered();
        response
    }

    async fn response(
        &self,
        request: Request<Incoming>,
        serves: Serves,
        peer: Peer,
        patience: &ConnectionDeadline,
    ) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/healthz" => get(request.method(), || text(StatusCode::OK, "ok\n")),
            "/readyz" => get(request.method(), || ready(&self.probe.missing())),
            "/readyz/freeswitch" => get(request.method(), || ready(&self.freeswitch())),
            "/metrics" => get(request.method(), || self.scrape()),
            "/drained" if request.method() == Method::GET => {
                patience.head_came(Instant::now());
                self.drained(request.uri().query().unwrap_or_default(), peer).await
            }
            CDRS if serves == Serves::All => self.cdr(request, patience).await,
            path => match path.strip_prefix(LOOKUPS).and_then(Section::by_name) {
                Some(section) if serves == Serves::All => self.lookup(section, request, patience).await,
                _ => text(StatusCode::NOT_FOUND, "nothing is served here\n"),
            },
        }
    }

    /// Answers when no call is up and none comes any more, or when so many seconds are over: for the
    /// hook that FreeSWITCH's container has before it ends. It only waits; draining is asked for
    /// elsewhere.
    async fn drained(&self, query: &str, peer: Peer) -> Response<Full<Bytes>> {
        let seconds = query.strip_prefix("seconds=").and_then(|text| text.parse::<u32>().ok());
        let Some(seconds) = seconds.filter(|seconds| *seconds <= LONGEST_DRAIN) else {
            return text(StatusCode::BAD_REQUEST, "allowed is /drained?seconds=N, N up to 86400\n");
        };
        let Some(mut findings) = self.findings.clone() else {
            return text(StatusCode::OK, "nobody asks FreeSWITCH (--esl-address): nothing is waited for\n");
        };
        let Some(_place) = self.waiters.take(peer) else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many wait here already\n");
        };
        let limit = Duration::from_secs(seconds.into());
        let ended = tokio::time::timeout(limit, ended(&mut findings)).await;
        text(StatusCode::OK, ended.unwrap_or("calls are up, and the time is over\n"))
    }

    async fn lookup(
        &self,
        section: Section,
        request: Request<Incoming>,
        patience: &ConnectionDeadline,
    ) -> Response<Full<Bytes>> {
        let start = Instant::now();
        patience.head_came(start);
        let (outcome, response) = match self.body(request, patience, form).await {
            Ok((body, ())) => answer(section, || self.answers.answer(section, &Form::parse(&body))),
            Err(response) => (Outcome::of_refusal(response.status()), response),
        };
        self.metrics.observe(section, outcome, start.elapsed());
        response
    }

    /// Takes a call record in: 200 when it is on a disk, 503 when it has to be sent again.
    async fn cdr(&self, request: Request<Incoming>, patience: &ConnectionDeadline) -> Response<Full<Bytes>> {
        patience.head_came(Instant::now());
        let refused = match self.body(request, patience, cdr_encoding).await {
            Err(response) => response,
            Ok((body, _)) if body.is_empty() => text(StatusCode::BAD_REQUEST, "the body is empty\n"),
            Ok((body, encoding)) => match self.cdrs.get() {
                None => text(StatusCode::SERVICE_UNAVAILABLE, "call records are not taken in yet\n"),
                // The intake counts what it takes and what it cannot.
                Some(intake) => {
                    return match intake.take(Received { at: Timestamp::now(), encoding, body }).await {
                        Ok(()) => text(StatusCode::OK, "kept\n"),
                        Err(refusal) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")),
                    };
                }
            },
        };
        self.metrics.cdrs.count("refused", 1);
        refused
    }

    /// The body of a request that may be answered, with what its head says of it; or what to say
    /// instead.
    async fn body<T>(
        &self,
        request: Request<Incoming>,
        patience: &ConnectionDeadline,
        kind: fn(&HeaderMap) -> Result<T, &'static str>,
    ) -> Result<(Bytes, T), Response<Full<Bytes>>> {
        if request.method() != Method::POST {
            return Err(with_header(
                text(StatusCode::METHOD_NOT_ALLOWED, "lookups are posted\n"),
                (ALLOW, "POST"),
            ));
        }
        if !self.may_ask(request.headers()) {
            tracing::warn!("a request with a wrong user name or password, or none, was refused");
            let response = text(StatusCode::UNAUTHORIZED, "user name or password is wrong\n");
            return Err(with_header(response, (WWW_AUTHENTICATE, "Basic realm=\"centrex\"")));
        }
        let kind =
            kind(request.headers()).map_err(|message| text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))?;
        let body = body::read(request.into_body(), patience).await.map_err(|status| {
            text(
                status,
                match status {
                    StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than 1 MiB\n",
                    StatusCode::REQUEST_TIMEOUT => "the body did not come in time\n",
                    _ => "the body broke off\n",
                },
            )
        })?;
        Ok((body, kind))
    }

    fn may_ask(&self, headers: &HeaderMap) -> bool {
        let Some(credentials) = &self.credentials else { return true };
        credentials.accept(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes))
    }

    /// Why FreeSWITCH should be sent no calls, in words.
    fn freeswitch(&self) -> Vec<&'static str> {
        match &self.findings {
            Some(findings) => findings.borrow().missing(),
            None => vec!["nobody asks FreeSWITCH (--esl-address)"],
        }
    }

    fn scrape(&self) -> Response<Full<Bytes>> {
        match self.metrics.encode() {
            Ok(metrics) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                with_header(text(StatusCode::OK, metrics), (CONTENT_TYPE, kind))
            }
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n"),
        }
    }
}

/// Waits until no call is up and none comes any more, or FreeSWITCH has ended.
async fn ended(findings: &mut watch::Receiver<SwitchReport>) -> &'static str {
    let drained = |found: &SwitchReport| found.draining && found.calls == 0 && found.connected == Some(true);
    let away = |found: &SwitchReport| found.connected == Some(false);
    loop {
        match findings.wait_for(|found| drained(found) || away(found)).await {
            Ok(found) if away(&found) => {}
            _ => return "no call is up\n",
        }
        // A connection that is made again is none that ended.
        if tokio::time::timeout(GONE, findings.wait_for(|found| !away(found))).await.is_err() {
            return "FreeSWITCH has ended: no call is up\n";
        }
    }
}

fn ready(missing: &[impl AsRef<str>]) -> Response<Full<Bytes>> {
    if missing.is_empty() {
        return text(StatusCode::OK, "ready\n");
    }
    let lines: Vec<&str> = missing.iter().map(AsRef::as_ref).collect();
    text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready:\n{}\n", lines.join("\n")))
}

/// Makes an answer. One that panics is an error of ours, and nobody else's: nothing is changed by a
/// lookup, so nothing is left half done.
fn answer(
    section: Section,
    make: impl FnOnce() -> Result<Answer, AnswerError>,
) -> (Outcome, Response<Full<Bytes>>) {
    match catch_unwind(AssertUnwindSafe(make)) {
        Ok(Ok(Answer::Found(document))) => (Outcome::Found, xml(document)),
        Ok(Ok(Answer::NotFound)) => (Outcome::NotFound, xml(Bytes::from_static(NOT_FOUND))),
        Ok(Err(error @ AnswerError::NotReady(_))) => {
            (Outcome::NotReady, text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")))
        }
        Ok(Err(error)) => {
            tracing::error!(%error, category = error.category(), "a lookup could not be answered");
            (Outcome::Error, failed())
        }
        Err(_) => {
            tracing::error!(section = section.name(), "a lookup panicked");
            (Outcome::Error, failed())
        }
    }
}

fn failed() -> Response<Full<Bytes>> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "this answer could not be made\n")
}

fn get(method: &Method, answer: impl FnOnce() -> Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    if method == Method::GET || method == Method::HEAD {
        return answer();
    }
    with_header(text(StatusCode::METHOD_NOT_ALLOWED, "this is only read\n"), (ALLOW, "GET, HEAD"))
}

/// A lookup is a form.
fn form(headers: &HeaderMap) -> Result<(), &'static str> {
    match media_type(headers).eq_ignore_ascii_case(FORM) {
        true => Ok(()),
        false => Err("Content-Type must be application/x-www-form-urlencoded\n"),
    }
}

/// How a call record is written.
fn cdr_encoding(headers: &HeaderMap) -> Result<Encoding, &'static str> {
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err("Content-Encoding is not supported: send the record as it is\n");
    }
    Encoding::of_media_type(media_type(headers)).ok_or(
        "Content-Type must be text/xml, application/x-www-form-urlencoded, \
         application/x-www-form-base64-encoded or application/x-www-form-plaintext\n",
    )
}

/// What `Content-Type` says, without its parameters.
fn media_type(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

fn xml(document: Bytes) -> Response<Full<Bytes>> {
    let response = Response::new(Full::new(document));
    with_header(response, (CONTENT_TYPE, "text/xml; charset=utf-8"))
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    with_header(response, (CONTENT_TYPE, "text/plain; charset=utf-8"))
}

fn with_header(
    mut response: Response<Full<Bytes>>,
    (name, value): (hyper::header::HeaderName, &'static str),
) -> Response<Full<Bytes>> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_and_a_failed_template_are_errors_of_ours_and_nothing_is_told() {
        let (outcome, response) = answer(Section::Directory, || panic!("of the test"));
        assert_eq!((outcome, response.status()), (Outcome::Error, StatusCode::INTERNAL_SERVER_ERROR));
        let template =
            || Err(tera::Error::message("of the test")).map_err(|error| AnswerError::Template(error.into()));
        let (outcome, response) = answer(Section::Directory, template);
        assert_eq!((outcome, response.status()), (Outcome::Error, StatusCode::INTERNAL_SERVER_ERROR));
    }

    #[test]
    fn a_miss_is_not_an_error_and_an_error_is_not_a_miss() {
        let (outcome, response) = answer(Section::Directory, || Ok(Answer::NotFound));
        assert_eq!((outcome, response.status()), (Outcome::NotFound, StatusCode::OK));
        let (outcome, response) = answer(Section::Directory, || Err(AnswerError::NotReady("tenants are")));
        assert_eq!((outcome, response.status()), (Outcome::NotReady, StatusCode::SERVICE_UNAVAILABLE));
    }
}
