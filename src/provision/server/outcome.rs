//! What comes of a request.

/// What comes of a request. Its name is a label of the metrics, and the result in the history of a Device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The phone got the file.
    Served,
    /// The phone has the file already.
    NotModified,
    /// The phone got its provisioning password.
    Enrolled,
    /// The credential is right, and phones of this model get no such file.
    NotMade,
    /// No phone asks for such a file.
    NoFile,
    /// Another method than GET and HEAD.
    Method,
    /// Without TLS, from a network where no Device may do so.
    NeedsTls,
    /// A limit of requests is reached.
    Throttled,
    /// The address is in no allowed network.
    Network,
    /// No credential was sent.
    Challenged,
    /// The credential is wrong, or of no Device.
    Credential,
    /// The tenant is suspended.
    Suspended,
    /// The Device is disabled.
    Disabled,
    /// The file is another phone's.
    OtherMac,
    /// The phone says that it has another MAC address.
    Contradiction,
    /// The tenants, or the phone's passwords, cannot be read now.
    Unavailable,
    /// The file cannot be made.
    Failed,
}

impl Outcome {
    /// A name that does not change.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::NotModified => "not_modified",
            Self::Enrolled => "enrolled",
            Self::NotMade => "not_made",
            Self::NoFile => "no_file",
            Self::Method => "method",
            Self::NeedsTls => "needs_tls",
            Self::Throttled => "throttled",
            Self::Network => "network",
            Self::Challenged => "challenged",
            Self::Credential => "credential",
            Self::Suspended => "suspended",
            Self::Disabled => "disabled",
            Self::OtherMac => "other_mac",
            Self::Contradiction => "contradiction",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}
