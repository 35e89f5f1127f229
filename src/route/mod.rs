//! What a call does under a plan: pure, with the time given. The switch renders what it says;
//! routing tests and traces ask it the same questions.

pub mod digits;
pub mod signing;
pub mod view;

pub use signing::SigningKey;
pub use view::TenantView;
