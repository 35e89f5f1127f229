//! Call routing under a plan. Pure: the caller passes the time. The switch renders the answers; routing
//! tests and `centrex trace` use the same code.

pub mod app;
pub mod call;
pub mod decide;
pub mod dial_string;
pub mod digits;
mod emergency;
pub mod explain;
mod features;
pub mod holidays;
pub mod legal;
pub mod media;
pub mod names;
mod outbound;
mod recording;
pub mod rules;
pub mod schedule;
pub mod targets;
pub mod token;
mod toll;
pub mod view;

pub use crate::secrets::signing_key::SigningKey;
pub use app::Action;
pub use call::{Answer, Call};
pub use emergency::EmergencyCall;
pub use explain::Tracer;
pub use token::Caller;
pub use view::{SipUser, TenantView};
