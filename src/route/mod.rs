//! What a call does under a plan: pure, with the time given. The switch renders what it says;
//! routing tests and traces ask it the same questions.

pub mod app;
pub mod call;
pub mod decide;
pub mod dial_string;
pub mod digits;
mod emergency;
pub mod explain;
mod features;
pub mod legal;
pub mod media;
pub mod names;
mod outbound;
mod recording;
pub mod rules;
pub mod schedule;
pub mod targets;
pub mod token;
pub mod view;

pub use crate::secrets::signing_key::SigningKey;
pub use app::Action;
pub use call::{Answer, Call};
pub use explain::Tracer;
pub use token::Caller;
pub use view::TenantView;
