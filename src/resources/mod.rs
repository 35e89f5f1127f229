//! The custom resources `centrex.dev/v1alpha1`, one file a kind, and their CRDs.

// kube's printcolumn repeats its keys, which clippy takes for a slip.
#![allow(clippy::duplicated_attributes)]

pub mod common;
pub mod conference;
pub mod crd;
pub mod device;
pub mod dial_rule;
pub mod emergency;
pub mod extension;
pub mod feature_code;
pub mod ivr_menu;
pub mod kind;
pub mod media_file;
pub mod nearest;
pub mod number;
pub mod outbound_route;
pub mod path;
pub mod pattern;
pub mod publish;
pub mod quantity;
pub mod queue;
pub mod ring_group;
pub mod routing_test;
pub mod rules;
pub mod schedule;
pub mod schema;
pub mod sip_profile;
pub mod status;
pub mod switch;
pub mod tenant;
pub mod tenant_profile;
pub mod trunk;

pub use conference::Conference;
pub use device::Device;
pub use dial_rule::DialRule;
pub use extension::Extension;
pub use feature_code::FeatureCode;
pub use ivr_menu::IvrMenu;
pub use kind::Kind;
pub use media_file::MediaFile;
pub use number::Number;
pub use outbound_route::OutboundRoute;
pub use queue::Queue;
pub use ring_group::RingGroup;
pub use routing_test::RoutingTest;
pub use schedule::Schedule;
pub use sip_profile::SipProfile;
pub use switch::Switch;
pub use tenant::Tenant;
pub use tenant_profile::TenantProfile;
pub use trunk::Trunk;

/// Calls a macro with the names of all our kinds and of `$more`. This is the only list of our kinds.
macro_rules! with_kinds {
    ($macro:ident $(, $more:ident)*) => {
        $macro!(
            Conference, Device, DialRule, Extension, FeatureCode, IvrMenu, MediaFile, Number,
            OutboundRoute, Queue, RingGroup, RoutingTest, Schedule, SipProfile, Switch, Tenant,
            TenantProfile, Trunk $(, $more)*
        );
    };
}
pub(crate) use with_kinds;

/// API group of every kind.
pub const GROUP: &str = "centrex.dev";
/// `apiVersion` of every kind.
pub const API_VERSION: &str = "centrex.dev/v1alpha1";
