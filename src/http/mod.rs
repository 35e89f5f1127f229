//! The HTTP server of every listener: binding, connection limits, deadlines, body limit, credentials and
//! graceful drain. The caller supplies the Axum router.

pub mod body;
pub mod client_certificate;
pub mod connection_limit;
pub mod credentials;
pub mod listener;
pub mod metrics;
