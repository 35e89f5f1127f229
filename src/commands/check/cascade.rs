//! Problems that only follow from an error that is reported already, and are not reported.
//!
//! Compile misses every object with an error in its file. Each resource that refers to such an object would be told
//! that the object is missing: only the error in the file is.

use std::collections::{BTreeSet, HashSet};

use crate::compile::{About, Problem, Reason};
use crate::resources::Kind;
use crate::source::ObjectKey;

/// Returns the problems that would be left if the `refused` objects had been read. Where a file cannot be
/// parsed (`unknown`), every missing object may be in it.
pub(super) fn without_cascades(
    mut problems: Vec<Problem>,
    refused: &BTreeSet<ObjectKey>,
    unknown: bool,
) -> Vec<Problem> {
    let mut absent: HashSet<ObjectKey> = refused.iter().cloned().collect();
    loop {
        let (held_back, rest): (Vec<_>, Vec<_>) = problems
            .into_iter()
            .partition(|problem| follows(problem, &absent) || (unknown && may_follow(problem.reason)));
        problems = rest;
        // A resource that is refused for a problem that is not reported keeps others out in turn.
        let out = held_back.iter().filter(|problem| problem.effect.is_kept_out());
        let before = absent.len();
        absent.extend(out.map(|problem| problem.resource.clone()));
        if absent.len() == before {
            return problems;
        }
    }
}

/// Whether a problem is that one of the absent objects is missing or refused.
fn follows(problem: &Problem, absent: &HashSet<ObjectKey>) -> bool {
    match (problem.reason, &problem.about) {
        (Reason::RefNotFound | Reason::RefRefused | Reason::CredentialsPending, Some(about)) => match about {
            About::Object(object) => absent.contains(object),
            About::AnyOf(kind) => is_any_of(*kind, &problem.resource, absent),
        },
        // A call goes another way when anything on its way is missing.
        (Reason::TestFailed, _) => !absent.is_empty(),
        _ => false,
    }
}

/// Whether an object of a kind is absent in the namespace of a resource.
fn is_any_of(kind: Kind, resource: &ObjectKey, absent: &HashSet<ObjectKey>) -> bool {
    absent.iter().any(|object| object.kind == kind && object.namespace == resource.namespace)
}

/// Whether a problem may exist only because something is missing: the object referred to, the labels of its
/// namespace, or what a call would have come to.
fn may_follow(reason: Reason) -> bool {
    use Reason::{CredentialsPending, RefNotFound, RefNotPermitted, TestFailed};
    matches!(reason, RefNotFound | CredentialsPending | RefNotPermitted | TestFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_routes_and_failed_tests_follow_from_a_refused_route() {
        let key =
            |kind, name: &str| ObjectKey { kind, namespace: Some("acme".to_owned()), name: name.to_owned() };
        let problem = |kind, reason, message: &str| {
            Problem::refused(key(kind, "welcome"), "spec.otherwise", reason, message)
        };
        let unreached = "no OutboundRoute of tenant acme leads to +442079460123";
        let any = Some(About::AnyOf(Kind::OutboundRoute));
        let problems = vec![
            Problem { about: any, ..problem(Kind::IvrMenu, Reason::RefNotFound, unreached) },
            problem(Kind::RoutingTest, Reason::TestFailed, "the call ends elsewhere"),
            problem(Kind::Queue, Reason::RefNotFound, "tenant acme has no Extension alice")
                .about(key(Kind::Extension, "alice")),
        ];
        let route = BTreeSet::from([key(Kind::OutboundRoute, "abroad")]);
        let left = without_cascades(problems.clone(), &route, false);
        assert_eq!(left, problems[2..]);
        assert_eq!(without_cascades(problems.clone(), &BTreeSet::new(), false), problems);
    }
}
