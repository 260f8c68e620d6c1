//! Changes that are not published yet: the devices that they are about show it.

use syncline_domain::device::Publication;
use syncline_store::DeliveryKey;

use super::{Batch, Becomes, Change, PATIENCE, Pages, Published};
use crate::{Engine, Error, Result, devices::rules::Rules};

impl Engine {
    /// Looks for devices for which a change has something change, and marks them. Goes on to its end if that takes long, and even
    /// if the caller goes away.
    pub(in crate::devices) async fn note_change(&self, what: Publication) -> Result<()> {
        let engine = self.clone();
        let work = self.inner.tasks.spawn(async move {
            let noted = engine.note_change_now(&what).await;
            if let Err(error) = &noted {
                tracing::error!(%error, "Devices whose policy changed could not be marked; the server's synchronisation gives them the change");
            }
            noted
        });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(ended) => ended.map_err(Error::internal)?,
            Err(_) => Ok(()),
        }
    }

    async fn note_change_now(&self, what: &Publication) -> Result<()> {
        let rules = Rules::read(self, what.application.as_ref(), None).await?;
        let mut pages = Pages::of(&what.scope);
        while let Some(devices) = self.next_devices(&mut pages).await? {
            let _turn = self.inner.devices.publishing.lock().await;
            let batch = self.work_out(&rules, what, &devices, &mut Published::default()).await?;
            self.note_batch(&batch).await?;
        }
        Ok(())
    }

    /// Marks the devices of a batch for which something changes that is not published, and those no more for which nothing does.
    pub(crate) async fn note_batch(&self, batch: &Batch) -> Result<()> {
        let (changed, same): (Vec<_>, Vec<_>) =
            batch.changes.iter().partition(|one| matches!(one.becomes, Becomes::Wanted(..)));
        let keys =
            |some: Vec<&Change>| some.into_iter().map(|one| one.key.clone()).collect::<Vec<DeliveryKey>>();
        self.db().forget_unpublished(&keys(same), batch.read_at).await?;
        Ok(self.db().note_unpublished(&keys(changed)).await?)
    }
}
