//! Documents that were used a moment ago: many devices have the same.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use syncline_domain::device::DocumentDigest;

use crate::{Engine, Result};

/// Most bytes that are kept.
const MOST: usize = 64 << 20;

/// A document.
#[derive(Debug)]
pub(crate) struct Cached {
    pub content_type: String,
    pub body: Bytes,
}

#[derive(Debug, Default)]
pub(crate) struct Documents(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    by_digest: HashMap<DocumentDigest, Arc<Cached>>,
}

impl Engine {
    /// The document of this digest.
    pub(crate) async fn document(&self, digest: &DocumentDigest) -> Result<Arc<Cached>> {
        if let Some(known) = self.inner.devices.documents.0.lock().by_digest.get(digest) {
            return Ok(Arc::clone(known));
        }
        let stored = self.db().document(digest).await?;
        let cached = Arc::new(Cached { content_type: stored.content_type, body: stored.body.into() });
        let mut kept = self.inner.devices.documents.0.lock();
        if kept.bytes + cached.body.len() > MOST {
            *kept = Kept::default();
        }
        kept.bytes += cached.body.len();
        kept.by_digest.insert(digest.clone(), Arc::clone(&cached));
        Ok(cached)
    }
}
