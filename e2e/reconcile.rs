//! The loop between source and store.

use centrex::plan::PlatformPlan;
use centrex::reconcile::Reconciler;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::postgres::{Database, keyring};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_for_gone_before_the_world_was_told() {
    let Some(database) = Database::start("reconcile::nothing_is_taken_for_gone").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, _stored) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, None, None);
    reconciler.lead(store.clone());
    let early = timeout(Duration::from_millis(500), reconciler.work()).await;
    assert!(early.is_err(), "a folder that is still being read is no empty world");
    let (revision, _) = store.reader().load_platform().await.unwrap();
    assert_eq!(revision.number, 0);

    reconciler.take_in(Vec::new(), true);
    let idle = async {
        while !reconciler.is_idle() {
            reconciler.work().await;
        }
    };
    timeout(Duration::from_secs(20), idle)
        .await
        .expect("an empty world is written, and nothing is left to do");
    let (revision, platform) = store.reader().load_platform().await.unwrap();
    assert_eq!((revision.number, platform), (1, PlatformPlan::default()));
}
