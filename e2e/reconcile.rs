//! The loop between source and store.

use centrex::plan::PlatformPlan;
use centrex::reconcile::Reconciler;
use tokio::sync::watch;

use crate::postgres::{Database, keyring};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_for_gone_before_the_world_was_told() {
    let Some(database) = Database::start("reconcile::nothing_is_taken_for_gone").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, _stored) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(store.clone(), progress);
    assert_eq!(reconciler.retry_after(), None, "a folder that is still being read is no empty world");

    reconciler.update(Vec::new(), true).await;
    assert_eq!(reconciler.retry_after(), None, "an empty world is written, and nothing is left to do");
    let (revision, platform) = store.reader().load_platform().await.unwrap();
    assert_eq!((revision.number, platform), (1, PlatformPlan::default()));
}
