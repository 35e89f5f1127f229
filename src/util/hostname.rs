//! The host name.

/// The host name of this machine, as `uname -n` prints it.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
