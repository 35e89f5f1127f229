//! Kubernetes' side of the reconcile loop. Every replica watches; the leader writes.

pub(crate) mod api;
pub(crate) mod api_reachability;
pub(crate) mod device_alerts;
pub(crate) mod emergency_calls;
pub(crate) mod events;
pub(crate) mod generated_secrets;
pub(crate) mod health;
pub(crate) mod leader;
pub mod lease;
pub(crate) mod metrics;
pub(crate) mod resource_sink;
pub(crate) mod status_queue;
pub(crate) mod switches;
pub(crate) mod unreadable;
pub(crate) mod webhook;

pub use api::FINALIZER;
