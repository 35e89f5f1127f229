//! This machine.

/// Its host name.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
