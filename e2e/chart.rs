//! The chart: what it renders (Go), and on a real API server.

mod account;
mod fixtures;
mod install;
mod pod;
pub mod release;
mod rights;
mod roles;

#[test]
fn the_chart_renders_what_its_values_say() {
    crate::go::run("chart: rendered", "e2e/chart");
}

#[test]
fn argo_cd_and_kstatus_compute_the_same_health() {
    crate::go::run("chart: Argo CD's health script", "e2e/argocd");
}
