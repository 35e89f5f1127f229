//! The loop between source and store.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use centrex::plan::PlatformPlan;
use centrex::reconcile::{NewStatus, Note, Outside, OutsideError, Reconciler};
use centrex::resources::{Extension, Tenant};
use centrex::source::{Change, Object, ObjectKey};
use centrex::store::Removed;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
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
    idle(&mut reconciler).await;
    let (revision, platform) = store.reader().load_platform().await.unwrap();
    assert_eq!((revision.number, platform), (1, PlatformPlan::default()));
}

/// Does everything there is to do.
async fn idle(reconciler: &mut Reconciler) {
    let work = async {
        while !reconciler.is_idle() {
            reconciler.work().await;
        }
    };
    timeout(Duration::from_secs(20), work).await.expect("it comes to an end");
}

/// A cluster that takes statuses, and never gets to write one.
#[derive(Default)]
struct Slow(Mutex<Vec<(ObjectKey, NewStatus)>>);

impl Slow {
    fn published(&self) -> Vec<ObjectKey> {
        self.0.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
    }
}

impl Outside for Slow {
    fn hold(&self, _: Arc<Tenant>) -> BoxFuture<'static, Result<(), OutsideError>> {
        ready(Ok(())).boxed()
    }

    fn release(&self, _: Arc<Tenant>, _: Removed) -> BoxFuture<'static, Result<(), OutsideError>> {
        ready(Ok(())).boxed()
    }

    fn make_credentials(&self, _: Arc<Extension>) {}

    fn publish(&self, object: &Object, status: NewStatus, _: Vec<Note>) {
        self.0.lock().unwrap().push((object.key(), status));
    }

    fn forget(&self) -> Vec<ObjectKey> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().map(|(key, _)| key).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_was_not_written_when_the_lead_was_lost_is_published_again() {
    let Some(database) = Database::start("reconcile::a_status_that_was_not_written").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let outside = Arc::new(Slow::default());
    let mut reconciler = Reconciler::new(watch::channel(Default::default()).0, Some(outside.clone()), None);
    let tenant = serde_json::json!({
        "apiVersion": "centrex.dev/v1alpha1", "kind": "Tenant",
        "metadata": { "name": "north", "namespace": "north", "uid": "1", "generation": 1 },
        "spec": { "domains": ["north.example.com"] },
    });
    let tenant = Object::from_json("Tenant", tenant).unwrap().unwrap();
    let key = tenant.key();
    reconciler.lead(store.clone());
    reconciler.take_in(vec![Change::Upsert(tenant)], true);
    idle(&mut reconciler).await;
    assert!(outside.published().contains(&key));

    // Postgres went, and came back: the Lease was ours all the while.
    reconciler.lead(store);
    assert!(outside.published().is_empty());
    idle(&mut reconciler).await;
    assert!(outside.published().contains(&key), "nobody else says it");
}
