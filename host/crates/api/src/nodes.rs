//! Nodes: the running hosts that share the database.

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use syncline_domain::ids::NodeId;
use syncline_engine::Engine;
use syncline_store::NodeRecord;

use crate::{
    auth::Viewer,
    input::Params,
    page::{Items, PageParams},
    problem::Result,
};

/// A node.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NodeView {
    /// Id.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Version of its program.
    version: String,
    /// When it last gave a sign.
    pub last_seen: Timestamp,
    /// Whether it gives none any more.
    pub gone: bool,
    /// Whether it is the one that answers.
    answers: bool,
}

impl NodeView {
    /// A node as it is seen from this one.
    pub fn new(node: NodeRecord, engine: &Engine) -> Self {
        // A node gives a sign three times within its lease: after two leases it is not just slow.
        let silent = engine.clock().now().duration_since(node.last_seen);
        let gone = u64::try_from(silent.as_secs()).is_ok_and(|s| s > 2 * engine.config().lease.as_secs());
        let answers = node.id == engine.node();
        let NodeRecord { id, name, version, last_seen } = node;
        Self { id, name, version, last_seen, gone: gone && !answers, answers }
    }
}

/// List nodes.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "server",
    params(PageParams),
    responses((status = 200, description = "Sorted by id: oldest first", body = Items<NodeView>)),
    security(("token" = ["viewer"])),
)]
pub(crate) async fn list_nodes(
    _: Viewer,
    State(engine): State<Engine>,
    Params(params): Params<PageParams>,
) -> Result<Items<NodeView>> {
    let page = params.page()?;
    let nodes = engine.db().nodes().await?.into_iter().map(|node| NodeView::new(node, &engine)).collect();
    Ok(Items::of(nodes, &page, |node: &NodeView| node.id.to_string()))
}
