//! The HTTP/1.1 server of every listener: binding, connection limits, deadlines, body limit, credentials and
//! graceful drain. What is served, an Axum router, comes from the caller.

pub mod body;
pub mod connection_limit;
pub mod credentials;
pub mod listener;
pub mod metrics;
