//! What someone on the device asks for: syncs, and activation codes.

use syncline_protocol::items::{Activation, Body, Id, Item, SyncRequest};
use tokio::{sync::oneshot, time::Instant};

use super::{Agent, LocalSync, Request, SYNC_TIMEOUT, SyncEnd, draw};
use crate::{error::Result, state::outbox};

impl Agent {
    /// Someone on the device asked. Says whether to stop.
    pub(super) async fn requested(&mut self, request: Option<Request>) -> Result<bool> {
        match request {
            Some(Request::Sync(answer)) => self.begin_local(answer)?,
            Some(Request::Stop) | None => return Ok(true),
        }
        Ok(false)
    }

    /// Asks the server for a sync, and looks at the files meanwhile.
    pub(super) fn begin_local(&mut self, answer: oneshot::Sender<SyncEnd>) -> Result<()> {
        self.take_inbox()?;
        let id = draw().to_vec();
        let request = SyncRequest { sync_id: id.clone(), reason: "asked for on the device".to_owned() };
        let item = self.client.item(Body::SyncRequest(request));
        self.client.queue(item);
        self.local.push(LocalSync { id, until: Instant::now() + SYNC_TIMEOUT, answer });
        self.contact.asked(self.worker.clock.now());
        self.start_work();
        Ok(())
    }

    pub(super) fn give_up_local(&mut self) {
        let now = Instant::now();
        for at in (0..self.local.len()).rev() {
            if self.local[at].until <= now {
                let why = format!("the server gave no result within {} s", SYNC_TIMEOUT.as_secs());
                // Who asked may have gone.
                let _ = self.local.swap_remove(at).answer.send(SyncEnd::Failed(why));
            }
        }
    }

    /// Sends activation codes that were typed in since.
    pub(super) fn take_inbox(&mut self) -> Result<()> {
        for name in self.worker.state.list("inbox")? {
            let Ok(id) = uuid::Uuid::try_parse(&name) else { continue };
            let path = format!("inbox/{name}");
            let code =
                String::from_utf8_lossy(&self.worker.state.bytes(&path)?.unwrap_or_default()).into_owned();
            let body = Body::Activation(Activation { activation_id: id.into_bytes().to_vec(), code });
            // The item has the id of the attempt: taken twice after a crash, it is still one.
            let item = Item::new(Id::from(id), self.worker.clock.now(), body);
            self.keep(item)?;
            self.worker.state.remove(&path)?;
        }
        Ok(())
    }

    /// Says an item until the server has it, through restarts of the agent.
    pub(super) fn keep(&mut self, item: Item) -> Result<()> {
        outbox::add(&self.worker.state, &item)?;
        self.client.queue(item);
        Ok(())
    }
}
