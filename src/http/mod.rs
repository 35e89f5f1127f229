//! What every HTTP listener shares: credentials, body limit, deadlines, limits of connections.

pub mod body;
pub mod connection_limit;
pub mod credentials;
pub mod deadline;
pub mod probe;
